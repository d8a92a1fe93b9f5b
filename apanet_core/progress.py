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
ENDLESS_LINE = "{desc}: {n_fmt}, {rate_fmt}, {elapsed} gone{postfix}"


def progress_bar(items: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:
    """Make a progress bar on stderr.

    Args:
        items: the items to iterate over; None for a bar that is updated by hand.
        **options: of tqdm: desc, total, unit, initial, disable.

    Returns:
        The bar.
    """
    style: Any = {}
    if not sys.stderr.isatty():
        line = ENDLESS_LINE if items is None and options.get("total") is None else LINE
        style = {"file": _Lines(), "mininterval": LINE_EVERY_S, "miniters": 1, "maxinterval": 0, "bar_format": line}
    bar: tqdm[Any] = tqdm(items, **style, **options)
    _bars.add(bar)
    return bar


def close_bars() -> None:
    """Close every bar that an error left open, so that the next text starts on a new line."""
    for bar in list(_bars):
        bar.close()


class _Lines:
    """A stream for tqdm that writes each state of a bar as a line on stderr, instead of drawing over the last one."""

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        if text and "\x1b" not in text:  # nor cursor movements
            sys.stderr.write(text + "\n")

    def flush(self) -> None:
        sys.stderr.flush()
