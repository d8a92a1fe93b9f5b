"""Measure what networks do to dry textures that look like rain.

Run: python -m tools.measure_textures tiny small
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import skimage.data
import torch

from apanet_core import StereoDerainer
from apanet_core.evaluation.depth import bad_pixel_rate
from apanet_core.images.metrics import psnr
from apanet_core.stereo.sgbm import sgbm_disparity

TEXTURE_DISPARITY, BAR_DISPARITY = 40, 60  # px
BAR_SPACING, LINE_SPACING = 40, 14  # px
MAX_DISPARITY = 96  # px

Pair = tuple[np.ndarray, np.ndarray]


def flat(texture: np.ndarray) -> Pair:
    """Return a plane at `TEXTURE_DISPARITY` with a grey texture (H, W) on it."""
    colour = np.repeat(texture[..., None], 3, axis=2)
    return colour[:, :-TEXTURE_DISPARITY], colour[:, TEXTURE_DISPARITY:]


def behind(spacing: int, draw: Callable[[np.ndarray, int], object]) -> Pair:
    """Return the motorcycle behind marks at `BAR_DISPARITY`; `draw` paints one from a column on, `spacing` px apart."""
    left, right, _ = skimage.data.stereo_motorcycle()
    height, width = left.shape[:2]
    for view, shift in ((left, BAR_DISPARITY), (right, 0)):
        for column in range(shift % spacing - spacing * (height // spacing), width, spacing):
            draw(view, column)
    return left, right


def barred(width: int, grey: int) -> Pair:
    """Return the motorcycle behind vertical bars of a width in px."""

    def bar(view: np.ndarray, column: int) -> None:
        cv2.rectangle(view, (column, 0), (column + width - 1, view.shape[0]), 3 * (grey,), cv2.FILLED)

    return behind(BAR_SPACING, bar)


def lined() -> Pair:
    """Return the motorcycle behind thin slanted white lines."""

    def line(view: np.ndarray, column: int) -> None:
        height = view.shape[0]
        cv2.line(view, (column + height // 4, 0), (column, height), (255, 255, 255), 1, cv2.LINE_AA)

    return behind(LINE_SPACING, line)


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
    before, after = (torch.from_numpy(np.stack(pair)[None]).float() / 255 for pair in (dry, derained))
    change = 255 * (after - before).abs().mean()
    truth, disparity = (sgbm_disparity(*pair, MAX_DISPARITY) for pair in (dry, derained))
    return f"{psnr(after, before).item():.1f} | {change:.2f} | {100 * bad_pixel_rate(disparity, truth):.1f}"


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
