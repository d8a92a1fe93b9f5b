"""Drops on the glass in front of a camera: blurred, inverted small pictures of the scene, without disparity."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from apanet_core.rain.light import to_linear, to_srgb

PICTURE_WIDTH = 160  # px of the small picture that drops refract; their blur hides more detail


@dataclass(frozen=True)
class WetLens:
    """Drops that stick to the glass of one camera, independent of those of the other camera.

    Args:
        drops: mean number of drops in a view.
        smallest_rad: smallest radius in radians, seen from the camera: 0.5 mm at 4 cm is 0.0125.
        largest_rad: largest radius in radians.
        blur: softness of a drop's edge as a share of its radius.
    """

    drops: float
    smallest_rad: float = 0.01
    largest_rad: float = 0.05
    blur: float = 0.6

    def __post_init__(self) -> None:
        if not (self.drops >= 0 and 0 < self.smallest_rad <= self.largest_rad and 0 < self.blur <= 1):
            raise ValueError(
                "a wet lens needs drops >= 0, 0 < smallest_rad <= largest_rad and a blur in (0, 1]: got "
                f"{self.drops}, {self.smallest_rad}, {self.largest_rad}, {self.blur}"
            )


def wet_lens(
    view: np.ndarray, lens: WetLens, focal_px: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Render drops on the glass in front of one camera.

    Args:
        view: (H, W, 3) uint8 RGB.
        lens: number, size and blur of the drops.
        focal_px: focal length of this view.
        rng: random numbers; call once per view, so that the drops of the views are independent.

    Returns:
        The view through the wet glass, (H, W, 3) uint8, and a mask (H, W) bool, True where a drop is.
    """
    height, width = view.shape[:2]
    wet, covered = view.copy(), np.zeros((height, width), bool)
    picture = to_linear(cv2.resize(view, (PICTURE_WIDTH, PICTURE_WIDTH), interpolation=cv2.INTER_AREA))
    for _ in range(rng.poisson(lens.drops)):
        # small drops are more frequent: the logarithm of the radius is uniform
        radius = focal_px * np.exp(rng.uniform(np.log(lens.smallest_rad), np.log(lens.largest_rad)))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        reach = 1.6 * radius
        top, bottom = max(int(y - reach), 0), min(int(y + reach) + 1, height)
        first, last = max(int(x - reach), 0), min(int(x + reach) + 1, width)
        dx = (np.arange(first, last, dtype=np.float32)[None] + 0.5 - x) / radius
        dy = (np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5 - y) / radius
        opacity, shown = _drop(dx, dy, picture, lens.blur, rng)
        patch = wet[top:bottom, first:last]
        light = to_linear(patch)
        patch[:] = np.rint(to_srgb(light + opacity[..., None] * (shown - light)))
        covered[top:bottom, first:last] |= opacity > 0.05
    return wet, covered


def _drop(
    dx: np.ndarray, dy: np.ndarray, picture: np.ndarray, blur: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return opacity (h, w) and refracted light (h, w, 3) of a drop, at offsets from its centre in radii."""
    squash, bumps, phase = rng.uniform(0.8, 1.1), rng.uniform(0, 0.12, 2), rng.uniform(0, 2 * np.pi, 2)
    dy = dy * np.float32(squash)
    angle = np.arctan2(dy, dx)
    outline = 1 + bumps[0] * np.cos(2 * angle + phase[0]) + bumps[1] * np.cos(3 * angle + phase[1])
    rho = (np.hypot(dx, dy) / outline).astype(np.float32)
    edge = np.clip((1 + blur / 2 - rho) / blur, 0, 1)
    opacity = rng.uniform(0.7, 1) * edge * edge * (3 - 2 * edge)
    # Inverted and wide-angle: the middle of a drop shows the middle of the scene, its rim the far opposite side.
    bend = rng.uniform(0.35, 0.5) * (0.55 + 0.45 * np.minimum(rho, 1.2) ** 2)
    size = picture.shape[0]
    column = (size * (rng.uniform(0.4, 0.6) - bend * dx)).astype(np.float32)
    row = (size * (rng.uniform(0.4, 0.6) - bend * dy)).astype(np.float32)
    soft = cv2.GaussianBlur(picture, (0, 0), float(size * (0.02 + 0.1 * blur * rng.uniform(0.5, 1))))
    shown = cv2.remap(soft, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    rim = 1 - rng.uniform(0.2, 0.6) * np.clip((rho - 0.5) / 0.6, 0, 1) ** 2  # light from the side misses the camera
    return opacity.astype(np.float32), (shown * rim[..., None]).astype(np.float32)
