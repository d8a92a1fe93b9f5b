"""Inputs of an evaluation, found and checked before any work: pairs, other methods' outputs, true disparities."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from apanet_core.data.layouts import find_pairs
from apanet_core.images.files import by_stem, list_images, read_image
from apanet_core.images.sizes import SMALLEST_SIDE_PX, check_pair
from apanet_core.progress import progress_bar
from apanet_core.stereo.disparity import disparity_of, find_disparities, read_disparity

Views = tuple[np.ndarray, np.ndarray]
Files = tuple[Path, Path]
SIDES = ("left", "right")


@dataclass(frozen=True)
class Sample:
    """One pair of a data set.

    Attributes:
        name: name of the rainy left file, without suffix.
        rainy: left and right file; the same file in sets of single images.
        clean: left and right file; the same file in sets of single images.
        outputs: left and right file by method.
        disparity: file of the true disparity of the left view.
    """

    name: str
    rainy: Files
    clean: Files
    outputs: dict[str, Files] = field(default_factory=dict)
    disparity: Path | None = None

    @property
    def is_stereo(self) -> bool:
        """Whether the two views are different images."""
        return self.rainy[0] != self.rainy[1]


def find_samples(
    data: Path, outputs: dict[str, Path], disparity: Path | None = None, limit: int | None = None
) -> list[Sample]:
    """List the pairs of a data set with their outputs and disparities.

    Args:
        data: a folder in a layout that `find_pairs` knows.
        outputs: folder by method, with left/NAME.* and right/NAME.*, NAME being the rainy left file's; `right` may
            also have the rainy right file's names, and is not needed for single images.
        disparity: folder of true disparities of the left view, named as the rainy or clean left file, or as a part of
            that name before an underscore (000046_10.png for 000046_10_rain_2_50.jpg).
        limit: largest number of pairs.

    Returns:
        At least one sample.

    Raises:
        FileNotFoundError: something is missing; the message names the first file.
        ValueError: two images share a name.
    """
    for name, folder in outputs.items():
        if not folder.is_dir():
            raise FileNotFoundError(f"outputs of {name}: no folder at {folder}")
    truths = {} if disparity is None else find_disparities(disparity)
    listings: dict[Path, dict[str, Path]] = {}
    samples: dict[str, Sample] = {}
    for rainy_left, rainy_right, clean_left, clean_right in find_pairs(data)[:limit]:
        name = rainy_left.stem
        if name in samples:
            raise ValueError(f"{rainy_left.parent} holds two images named {name!r}: rename one")
        sample = Sample(name, (rainy_left, rainy_right), (clean_left, clean_right))
        for method, folder in outputs.items():
            files = []
            for side, rainy in zip(SIDES[: 1 + sample.is_stereo], sample.rainy):
                here = folder / side
                if here not in listings:
                    listings[here] = by_stem(list_images(here)) if here.is_dir() else {}
                found = listings[here].get(name) or listings[here].get(rainy.stem)
                if found is None:
                    raise FileNotFoundError(f"outputs of {method}: no {here / name}.png (or other image type)")
                files.append(found)
            sample.outputs[method] = (files[0], files[-1])
        truth = None
        if disparity is not None:
            truth = disparity_of(truths, name, clean_left.stem)
            if truth is None:
                raise FileNotFoundError(
                    f"no true disparity for {name} in {disparity}: expected {name}.png, .npy or .pfm"
                )
        samples[name] = Sample(name, sample.rainy, sample.clean, sample.outputs, truth)
    if not samples:
        raise FileNotFoundError(f"no images in {data}")
    return list(samples.values())


def check_samples(
    samples: list[Sample], max_disparity: int, smallest_px: int = SMALLEST_SIDE_PX, disparity_scale: float | None = None
) -> None:
    """Read every file once, so that no error interrupts the work later.

    Args:
        samples: the pairs to evaluate.
        max_disparity: search range of the matcher, px.
        smallest_px: smallest height and width.
        disparity_scale: grey levels per px of disparities in PNG; None: 256.

    Raises:
        ValueError: a file is unreadable or has another size, or a true disparity exceeds the search range.
    """
    for sample in progress_bar(samples, desc="check", unit="pair"):
        try:
            left, right = (read_image(path) for path in sample.rainy)
            check_pair(left, right)
        except ValueError as error:
            raise ValueError(f"{sample.rainy[0]}: {error}") from error
        size = left.shape[:2]
        if min(size) < smallest_px:
            raise ValueError(f"{sample.rainy[0]} is {size[1]}x{size[0]}: LPIPS needs {smallest_px} px each way")
        for path in {*sample.clean, *(path for files in sample.outputs.values() for path in files)}:
            _same_size(path, read_image(path).shape[:2], size)
        if sample.disparity is not None:
            truth = read_disparity(sample.disparity, disparity_scale)
            _same_size(sample.disparity, truth.shape, size)
            if np.nanmax(truth, initial=0) > max_disparity:
                most = int(np.ceil(np.nanmax(truth)))
                raise ValueError(
                    f"{sample.disparity} reaches {most} px, beyond the search of {max_disparity}: give "
                    f"--max_disparity {most}, or --disparity_scale if the grey levels are not px times 256"
                )


def read_views(files: Files) -> Views:
    """Read a pair; a file that is both views is read once."""
    left = read_image(files[0])
    return left, left if files[0] == files[1] else read_image(files[1])


def _same_size(path: Path, size: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if size != expected:
        raise ValueError(
            f"{path} is {size[1]}x{size[0]}, the rainy image {expected[1]}x{expected[0]}: all files of a pair must "
            "have one size"
        )
