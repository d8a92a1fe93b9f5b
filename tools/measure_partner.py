"""Measure what a worthless right view costs the left one: PSNR against that with the left view given twice.

Run: python -m tools.measure_partner RAIN tiny small
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from apanet_core import StereoDerainer
from apanet_core.data.augment import crop_pair
from apanet_core.evaluation.inputs import find_samples
from apanet_core.images.files import read_image
from apanet_core.images.metrics import psnr

SIZE = (320, 640)  # largest height and width of the part in the middle
SKIN, MUD = (190, 140, 115), (70, 55, 40)  # RGB
SHADE_PX = 40  # Gaussian of the hand's shading


def hand(right: np.ndarray) -> np.ndarray:
    """Return smooth skin with the noise of a sensor, of the shape of the right view."""
    random = np.random.default_rng(0)
    shade = cv2.GaussianBlur(random.normal(0, 1, right.shape[:2]), (0, 0), SHADE_PX)
    shade = 15 * shade / shade.std()
    return np.clip(SKIN + shade[..., None] + random.normal(0, 3, right.shape), 0, 255).astype(np.uint8)


def half_mud(right: np.ndarray) -> np.ndarray:
    """Return the right view under mud in its left half."""
    covered = right.copy()
    covered[:, : right.shape[1] // 2] = MUD
    return covered


PARTNERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "upside down": lambda right: right[::-1, ::-1],
    "half mud": half_mud,
    "hand": hand,
}


def left_psnr(derainer: StereoDerainer, left: np.ndarray, right: np.ndarray, clean: np.ndarray) -> float:
    """Return the PSNR in dB of the left view that is derained with a right view."""
    derained, _ = derainer(np.ascontiguousarray(left), np.ascontiguousarray(right))
    views = [torch.from_numpy(view).permute(2, 0, 1)[None].float() / 255 for view in (derained, clean)]
    return float(psnr(*views))


def main() -> None:
    """Print one row for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="pairs with rain and without, in a layout of docs/data.md")
    parser.add_argument("models", nargs="+", help="presets or checkpoints")
    args = parser.parse_args()
    print("| model |", " | ".join(f"{name} (dB)" for name in PARTNERS), "|")
    print("|---|" + "---|" * len(PARTNERS))
    samples = find_samples(args.data, {})
    for model in args.models:
        derainer = StereoDerainer(model, engine="torch", precision="float32")
        losses: dict[str, list[float]] = {name: [] for name in PARTNERS}
        for sample in samples:
            views = dict(zip(("left", "right", "clean"), map(read_image, (*sample.rainy, sample.clean[0]))))
            height, width = (min(sides) for sides in zip(views["left"].shape, SIZE))
            left, right, clean = crop_pair(views, (height, width)).values()
            twice = left_psnr(derainer, left, left, clean)
            for name, partner in PARTNERS.items():
                losses[name].append(left_psnr(derainer, left, partner(right), clean) - twice)
        cells = (f"{np.mean(values):+.2f} (least {min(values):+.2f})" for values in losses.values())
        print(f"| `{model}` |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
