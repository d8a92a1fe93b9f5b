"""Progress of long work: a bar in a terminal, a line every half minute in a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from tqdm import tqdm

LINE_EVERY_S = 30.0
_bars: WeakSet[tqdm[Any]] = WeakSet()
LINE = "{desc}: {n_fmt} of {total_fmt}, {rate_fmt}, {elapsed} gone, {remaining} left{postfix}"


def progress_bar(items: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:
    """Make a progress bar on stderr.

    Args:
        items: what to iterate over, if anything.
        **options: of tqdm: desc, total, unit, initial, disable.

    Returns:
        The bar.
    """
    style: Any = {}
    if not sys.stderr.isatty():
        style = {"file": _Lines(), "mininterval": LINE_EVERY_S, "miniters": 1, "maxinterval": 0, "bar_format": LINE}
    bar: tqdm[Any] = tqdm(items, **style, **options)
    _bars.add(bar)
    return bar


def close_bars() -> None:
    """Close every bar that an error left open, so that the next text starts on a new line."""
    for bar in list(_bars):
        bar.close()


class _Lines:
    """stderr, for what draws over its last line."""

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        if text and "\x1b" not in text:  # nor cursor movements
            sys.stderr.write(text + "\n")

    def flush(self) -> None:
        sys.stderr.flush()
