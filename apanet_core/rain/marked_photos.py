"""Photographs with strokes, grain and bars that look like rain, so that only the second view tells them from rain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.photos import read_photos
from apanet_core.rain.splat import Segments, draw_segments

# one photograph in so many is added with strokes, one as grain in its colour, one behind the bars of a fence
EVERY_STROKED, EVERY_GRAINED, EVERY_FENCED = 3, 8, 12
MOST_STROKES = 6_000  # limit per photograph


def training_atlas(folders: list[Path], seed: int, device: torch.device | str = "cpu") -> PhotoAtlas:
    """Read the photographs for training, add marked ones, and place all on the device."""
    return PhotoAtlas(with_marks(read_photos(folders), seed), device)


@torch.no_grad()
def with_marks(photos: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Add marked copies of some photographs: strokes on a surface move with it from view to view, streaks do not.

    Args:
        photos: (H, W, 3) uint8 RGB each.
        seed: seed of the marks.

    Returns:
        The photographs, followed by those with strokes, with grain and with bars.
    """
    stroked = [_stroked(photo, _numbers(seed, n)) for n, photo in enumerate(photos) if n % EVERY_STROKED == 1]
    grained = [_grained(photo, _numbers(seed, n)) for n, photo in enumerate(photos) if n % EVERY_GRAINED == 2]
    fenced = [_fenced(photo, _numbers(seed, n)) for n, photo in enumerate(photos) if n % EVERY_FENCED == 3]
    return [*photos, *stroked, *grained, *fenced]


def _numbers(seed: int, index: int) -> CounterRandom:
    return CounterRandom(seed, torch.tensor([index]))


def _stroked(photo: np.ndarray, random: CounterRandom) -> np.ndarray:
    """Draw bright or dark strokes of one family: like streaks of rain, scratches, grass or bark."""
    height, width = photo.shape[:2]
    length, thick = random.log_uniform("long", low=15, high=200), random.log_uniform("thick", low=1, high=8)
    cover = random.uniform("cover", low=0.02, high=0.4)
    count = int((cover * height * width / (length * thick)).clamp(max=MOST_STROKES))
    angle = torch.deg2rad(random.uniform("angle", low=-45, high=45) + 5 * random.normal("lean", count))
    size = random.uniform("size", count, low=0.5, high=1.5)
    u, v = random.uniform("u", count, high=width)[0], random.uniform("v", count, high=height)[0]
    du, dv = (length / 2 * size * angle.sin())[0], (length / 2 * size * angle.cos())[0]
    strength = random.log_uniform("strength", low=0.06, high=0.6) * random.uniform("value", count, low=0.3)
    segments = Segments(
        image=torch.zeros(count, dtype=torch.long),
        u0=u - du,
        v0=v - dv,
        u1=u + du,
        v1=v + dv,
        width=thick.expand(count),
        value=strength[0],
        disparity=torch.full((count,), torch.inf),
        fade=random.uniform("fade").expand(count),
        soft=random.happens("soft", 0.5).expand(count),
    )
    layer = draw_segments(segments, torch.zeros(1, height, width))[0, :, :, None].clamp(max=1).numpy()
    colour = float(torch.where(random.happens("dark", 0.3), 20.0, random.uniform("colour", low=150, high=255)))
    return (photo + layer * (colour - photo.astype(np.float32))).round().clip(0, 255).astype(np.uint8)


def _grained(photo: np.ndarray, random: CounterRandom) -> np.ndarray:
    """Draw noise that is stretched in one direction, with the mean colour of a photograph: like wood, cloth or bark."""
    height, width = photo.shape[:2]
    mean = photo.reshape(-1, 3).mean(0)
    image = np.zeros((height, width), np.float32)
    for octave in range(3):
        across = float(random.log_uniform(f"across {octave}", low=2, high=12))
        along = across * float(random.log_uniform(f"along {octave}", low=1, high=40))
        cells = max(2, round(height / along)), max(2, round(width / across))
        noise = random.normal(f"noise {octave}", 1, *cells)
        image += F.interpolate(noise, (height, width), mode="bicubic")[0, 0].numpy()
    light = 1 + float(random.log_uniform("contrast", low=0.02, high=0.2)) * image
    return (mean * light[..., None]).round().clip(0, 255).astype(np.uint8)


def _fenced(photo: np.ndarray, random: CounterRandom) -> np.ndarray:
    """Draw bars at equal distances, bright or dark: like a fence, a railing or a facade."""
    height, width = photo.shape[:2]
    distance = float(random.log_uniform("distance", low=6, high=60))
    thick = distance * float(random.uniform("bar", low=0.1, high=0.5))
    lean = float(random.uniform("slope", low=-0.1, high=0.1))
    colour = float(torch.where(random.happens("white", 0.5), 245.0, random.uniform("tone", high=230)))
    place = (np.arange(width) + lean * np.arange(height)[:, None]) % distance
    return np.where((place < thick)[..., None], np.uint8(colour), photo)
