"""Training samples from folders of stereo pairs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from apanet_core.data.augment import Views, crop_pair, mirror_pair
from apanet_core.data.layouts import VIEWS, find_pairs, find_unpaired
from apanet_core.images.files import read_image
from apanet_core.progress import progress_bar

FEW_SCENES = 5  # with fewer scenes by name, every image is a scene: one of ten would be too much to hold out


class PairedFolders(Dataset[dict[str, torch.Tensor]]):
    """Samples of a paired data set: rainy and clean views.

    Args:
        root: a data set that `find_pairs` reads.
        split: "train" crops and mirrors at random; "validation" takes the pairs of every tenth scene and crops their
            centre. Names that differ only in the last number are one scene: seq3_0001.png and seq3_0002.png.
        size: (height, width) of a sample in px.
        limit: largest number of pairs.
        samples: length of the data set, in which the pairs repeat with other crops; None: every pair once.
        seed: seed of the crops; seed and index determine a sample.

    Raises:
        FileNotFoundError: no known layout in `root`; the message lists the known ones.
        ValueError: a file has no partner, or there are too few pairs to split.
    """

    def __init__(
        self,
        root: Path,
        split: str,
        size: tuple[int, int],
        limit: int | None = None,
        samples: int | None = None,
        seed: int = 0,
    ) -> None:
        pairs = find_pairs(root)
        held_out = split == "validation"
        scenes = _scenes([pair[2] for pair in pairs])
        self.files = [pair for pair, scene in zip(pairs, scenes) if (scene % 10 == 0) == held_out][:limit]
        if not self.files:
            raise ValueError(f"{root} holds {len(pairs)} clean pair: at least 2 are needed, one of them for validation")
        self.crop_at_random = not held_out
        self.size = size
        self.samples = len(self.files) if samples is None else samples
        self.seed = seed

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return rainy_left, rainy_right, clean_left, clean_right: (3, H, W) uint8 RGB."""
        files = dict(zip(VIEWS, self.files[index % len(self.files)]))
        return _sample(files, self.size, np.random.default_rng([self.seed, index]) if self.crop_at_random else None)


class UnpairedFolders(Dataset[dict[str, torch.Tensor]]):
    """Samples of a data set of rainy pairs without clean partners, for distillation.

    Args:
        root: a data set that `find_unpaired` reads.
        size: (height, width) of a sample in px.
        samples: length of the data set, in which the pairs repeat with other crops; None: every pair once.
        seed: seed of the crops; seed and index determine a sample.
    """

    def __init__(self, root: Path, size: tuple[int, int], samples: int | None = None, seed: int = 0) -> None:
        self.files = find_unpaired(root)
        self.size = size
        self.samples = len(self.files) if samples is None else samples
        self.seed = seed

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return rainy_left, rainy_right: (3, H, W) uint8 RGB."""
        files = dict(zip(VIEWS, self.files[index % len(self.files)]))
        return _sample(files, self.size, np.random.default_rng([self.seed, index]))


def check_files(pairs: Sequence[tuple[Path, ...]], size: tuple[int, int]) -> None:
    """Read every view once, with a progress bar, so that a run does not stop at one of them after hours.

    Args:
        pairs: views of each pair, as `find_pairs` and `find_unpaired` return them.
        size: (height, width) of the largest sample in px.

    Raises:
        ValueError: a file is damaged, smaller than `size`, or not of the size of its partners.
    """
    with ThreadPoolExecutor(os.cpu_count()) as readers:
        checks = readers.map(lambda files: _read(dict(zip(VIEWS, files)), size, None), pairs)
        for _ in progress_bar(checks, desc="check files", total=len(pairs), unit="pair"):
            pass


def _scenes(clean: list[Path]) -> list[int]:
    """Return the scene number of each clean image; every image is a scene if the names give fewer than FEW_SCENES."""
    names = [re.sub(r"[_-]?\d+$", "", path.stem) for path in clean]
    if len(set(names)) < FEW_SCENES:
        names = [str(path) for path in clean]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]


def _sample(files: dict[str, Path], size: tuple[int, int], rng: np.random.Generator | None) -> dict[str, torch.Tensor]:
    """Read the views and cut one window out of all: at random and perhaps mirrored; without `rng`, the centre."""
    views = _read(files, size, rng)
    if rng is not None and rng.uniform() < 0.5:
        views = mirror_pair(views)
    return {name: torch.from_numpy(np.ascontiguousarray(v.transpose(2, 0, 1))) for name, v in views.items()}


def _read(files: dict[str, Path], size: tuple[int, int], rng: np.random.Generator | None) -> Views:
    """Read the views, which must have one size, and cut the same window out of all."""
    read = {path: read_image(path) for path in dict.fromkeys(files.values())}
    views: Views = {name: read[path] for name, path in files.items()}
    sizes = {name: view.shape[:2] for name, view in views.items()}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"the views of {files['rainy_left']} differ in size (height, width): {sizes}")
    try:
        return crop_pair(views, size, rng)
    except ValueError as error:
        raise ValueError(f"{files['rainy_left']}: {error}") from error
