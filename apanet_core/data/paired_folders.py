"""Data sets on disk: rainy and clean stereo pairs in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from apanet_core.data.augment import crop_pair, mirror_pair
from apanet_core.data.images import list_images, read_image

VIEWS = ("rainy_left", "rainy_right", "clean_left", "clean_right")
# Folder of each view, in the order of VIEWS, by layout.
LAYOUTS: dict[str, tuple[str, str, str, str]] = {
    "RainKITTI as APANet reads it": ("rain_left", "rain_right", "gt_left", "gt_right"),
    "RainKITTI as released": ("image_2_3_rain50", "image_3_2_rain50", "image_2_3_norain", "image_3_2_norain"),
    "StereoCityscapes": ("rain/left", "rain/right", "norain/left", "norain/right"),
}


class PairedFolders(Dataset[dict[str, torch.Tensor]]):
    """Rainy and clean pairs, matched by the order of their sorted file names.

    Args:
        root: a folder that has one of `LAYOUTS`.
        split: "train" crops and mirrors at random; "validation" takes every tenth pair and cuts its centre.
        size: (height, width) of a sample in px.
        limit: at most this many pairs.

    Raises:
        FileNotFoundError: no known layout in `root`; the message lists those there are.
        ValueError: the folders hold different numbers of images, or too few to split.
    """

    def __init__(self, root: Path, split: str, size: tuple[int, int], limit: int | None = None) -> None:
        files = find_pairs(root)
        held_out = split == "validation"
        self.files = [pair for i, pair in enumerate(files) if (i % 10 == 0) == held_out][:limit]
        if not self.files:
            raise ValueError(f"{root} holds {len(files)} pairs: at least 2 are needed, one of them for validation")
        self.crop_at_random = not held_out
        self.size = size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """rainy_left, rainy_right, clean_left, clean_right: (3, H, W) uint8 RGB."""
        views = {name: read_image(path) for name, path in zip(VIEWS, self.files[index])}
        sizes = {name: view.shape[:2] for name, view in views.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"the views of {self.files[index][0].name} differ in size (height, width): {sizes}")
        if self.crop_at_random:
            # torch seeds every worker differently; a resumed run draws other crops than an uninterrupted one
            rng = np.random.default_rng(int(torch.randint(2**31, (1,))))
            views = crop_pair(views, self.size, rng)
            views = mirror_pair(views) if rng.uniform() < 0.5 else views
        else:
            views = crop_pair(views, self.size)
        return {name: torch.from_numpy(np.ascontiguousarray(v.transpose(2, 0, 1))) for name, v in views.items()}


def find_pairs(root: Path) -> list[tuple[Path, ...]]:
    """List the pairs of a data set: (rainy left, rainy right, clean left, clean right) each."""
    root = Path(root)
    for folders in LAYOUTS.values():
        if all((root / folder).is_dir() for folder in folders):
            views = [list_images(root / folder) for folder in folders]
            if len({len(v) for v in views}) != 1:
                counts = ", ".join(f"{folder}: {len(v)}" for folder, v in zip(folders, views))
                raise ValueError(f"every folder of {root} must hold as many images as the others: {counts}")
            return list(zip(*views))
    layouts = "; ".join(f"{name}: {', '.join(folders)}" for name, folders in LAYOUTS.items())
    found = ", ".join(sorted(p.name for p in root.iterdir())) if root.is_dir() else "no such folder"
    raise FileNotFoundError(f"{root} has no layout known here ({layouts}); found: {found}")
