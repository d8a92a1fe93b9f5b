"""Effects of a camera: gain, noise, quantisation, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from apanet_core.rain.light import SRGB_TO_LINEAR, to_srgb


@dataclass(frozen=True)
class Sensor:
    """Sensor properties of the two cameras of a pair.

    Args:
        noise: standard deviation of the noise in grey levels, independent in the views.
        gain_spread: standard deviation of the logarithm of a view's gain, which also applies to the clean view.
        jpeg_quality: 1 to 100; None: no compression.
    """

    noise: float = 0.0
    gain_spread: float = 0.0
    jpeg_quality: int | None = None

    def __post_init__(self) -> None:
        if not (self.noise >= 0 and self.gain_spread >= 0):
            raise ValueError(f"noise and gain_spread must be >= 0: got {self.noise}, {self.gain_spread}")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality must be 1 to 100: got {self.jpeg_quality}")


def apply_camera_gains(
    left: np.ndarray, right: np.ndarray, sensor: Sensor, rng: np.random.Generator
) -> list[np.ndarray]:
    """Apply to each clean view, (H, W, 3) uint8, the gain of its camera in linear light; call it before the rain."""
    if not sensor.gain_spread:
        return [left, right]
    gains = np.exp(rng.normal(0, sensor.gain_spread, 2))
    return [
        cv2.LUT(np.ascontiguousarray(view), np.rint(to_srgb(gain * SRGB_TO_LINEAR)).astype(np.uint8))
        for view, gain in zip((left, right), gains)
    ]


def expose(view: np.ndarray, sensor: Sensor, rng: np.random.Generator) -> np.ndarray:
    """Add noise and compression of `sensor` to one rainy view, (H, W, 3) uint8."""
    if sensor.noise:
        noise = rng.standard_normal(view.shape, np.float32)
        view = np.clip(np.rint(view + np.float32(sensor.noise) * noise), 0, 255).astype(np.uint8)
    if sensor.jpeg_quality is not None:
        quality = [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg_quality]
        encoded = cv2.imencode(".jpg", cv2.cvtColor(view, cv2.COLOR_RGB2BGR), quality)[1]
        view = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return view
