"""Measure what networks do to dry textures that look like rain.

Run: python -m tools.measure_textures small small-stereo
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import cv2
import numpy as np
import skimage.data

from apanet_core import StereoDerainer
from apanet_core.stereo.sgbm import sgbm_disparity

TEXTURE_DISPARITY, BAR_DISPARITY = 40, 60  # px
BAR_SPACING, LINE_SPACING = 40, 14  # px
MAX_DISPARITY = 96  # px
WRONG_PX = 3

Pair = tuple[np.ndarray, np.ndarray]


def flat(texture: np.ndarray) -> Pair:
    """Return a plane at `TEXTURE_DISPARITY` with a grey texture (H, W) on it."""
    colour = np.repeat(texture[..., None], 3, axis=2)
    return colour[:, :-TEXTURE_DISPARITY], colour[:, TEXTURE_DISPARITY:]


def barred(width: int, grey: int) -> Pair:
    """Return the motorcycle behind vertical bars of a width in px, `BAR_SPACING` apart."""
    left, right, _ = skimage.data.stereo_motorcycle()
    for view, first in ((left, BAR_DISPARITY), (right, 0)):
        for x in range(first % BAR_SPACING, view.shape[1], BAR_SPACING):
            view[:, x : x + width] = grey
    return left, right


def lined() -> Pair:
    """Return the motorcycle behind thin slanted white lines, `LINE_SPACING` apart."""
    left, right, _ = skimage.data.stereo_motorcycle()
    for view, first in ((left, BAR_DISPARITY), (right, 0)):
        height, width = view.shape[:2]
        for x in range(first % LINE_SPACING - height // 4, width, LINE_SPACING):
            cv2.line(view, (x + height // 4, 0), (x, height), (255, 255, 255), 1, cv2.LINE_AA)
    return left, right


def textures() -> Iterator[tuple[str, Pair]]:
    """Yield each dry pair with its name."""
    grass = skimage.data.grass()
    yield "grass", flat(grass)
    yield "grass at half the size", flat(cv2.resize(grass, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    yield "gravel", flat(skimage.data.gravel())
    yield "bricks", flat(skimage.data.brick())
    yield "white bars, 1 px wide", barred(1, 255)
    yield "white bars, 3 px wide", barred(3, 255)
    yield "grey bars, 3 px wide", barred(3, 128)
    yield "railing, bars 6 px wide", barred(6, 60)
    yield "thin slanted white lines", lined()


def changes(dry: Pair, derained: Pair) -> str:
    """Return PSNR in dB and mean change in grey levels of both views, and the share of moved disparities in %."""
    difference = np.stack(derained).astype(np.float32) - np.stack(dry)
    squared = max(float(np.square(difference).mean()), 1e-3)
    before, after = (sgbm_disparity(*pair, MAX_DISPARITY) for pair in (dry, derained))
    seen = np.isfinite(before)
    moved = 100 * (~(np.abs(after - before) <= WRONG_PX))[seen].mean()
    return f"{10 * np.log10(255**2 / squared):.1f} | {np.abs(difference).mean():.2f} | {moved:.1f}"


def main() -> None:
    """Print one row for each texture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="presets or checkpoints")
    models = parser.parse_args().models
    derainers = [StereoDerainer(model, engine="torch", precision="float32") for model in models]
    columns = [f"`{model}`: PSNR (dB) | mean change (grey levels) | moved (%)" for model in models]
    print("| dry texture |", " | ".join(columns), "|")
    print("|---|" + "---|" * (3 * len(models)))
    for name, dry in textures():
        print(f"| {name} |", " | ".join(changes(dry, derainer(*dry)) for derainer in derainers), "|", flush=True)


if __name__ == "__main__":
    main()
