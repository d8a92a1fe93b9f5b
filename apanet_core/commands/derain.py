"""apanet derain"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from apanet_core.atomic import check_can_be_made
from apanet_core.engines.options import DerainerOptions
from apanet_core.images.files import read_image, write_image
from apanet_core.images.pair_files import match_pairs
from apanet_core.images.sizes import check_pair
from apanet_core.progress import progress_bar

Views = tuple[np.ndarray, np.ndarray]


def run(*, left: Path, right: Path, output: Path, options: DerainerOptions) -> None:
    """Remove the rain from one stereo pair, or from two folders of pairs matched by name.

    Args:
        left: left image, or folder of left images.
        right: right image, or folder of right images.
        output: folder for the clean pairs: left/NAME.png and right/NAME.png.
        options: model, engine and device.
    """
    check_can_be_made(output)
    pairs = match_pairs(left, right)  # first, since loading torch and the model takes seconds
    from apanet_core.derainer import StereoDerainer, WarmDerainer

    derainer = StereoDerainer(**asdict(options))
    print(f"model {derainer.model}, engine {derainer.engine.name}, device {derainer.engine.device}", file=sys.stderr)
    count = derain_files(pairs, output, WarmDerainer(derainer))
    print(f"{count} pairs written to {output}")


def derain_files(pairs: list[tuple[Path, Path]], output: Path, derainer: Callable[..., Views]) -> int:
    """Derain every pair into `output`/left/NAME.png and `output`/right/NAME.png.

    Every input is read and checked before the first output is written.

    Args:
        pairs: left and right image of each pair.
        output: folder; made if it does not exist.
        derainer: function from left and right view, (H, W, 3) uint8 RGB, to the clean views.

    Returns:
        The number of pairs.
    """
    inputs = {path.resolve().parent for pair in pairs for path in pair}
    for folder in (output, output / "left", output / "right"):
        if folder.resolve() in inputs:
            raise ValueError(f"output {output} would put results among the inputs in {folder}: choose another")
    for paths in progress_bar(pairs, desc="check", unit="pair", disable=len(pairs) < 2):
        try:
            check_pair(*(read_image(path) for path in paths))
        except ValueError as error:
            raise ValueError(f"{paths[0].name}: {error}") from error
    for side in ("left", "right"):
        (output / side).mkdir(parents=True, exist_ok=True)
    for paths in progress_bar(pairs, desc="derain", unit="pair"):
        views = derainer(*(read_image(path) for path in paths))
        for side, view in zip(("left", "right"), views):
            write_image(output / side / f"{paths[0].stem}.png", view)
    return len(pairs)
