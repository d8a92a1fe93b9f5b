"""apanet render-rain"""

from __future__ import annotations

import sys
from pathlib import Path

from apanet_core.workers import WorkerOptions


def run(
    clean: Path,
    workers: WorkerOptions,
    out: Path = Path("rainy"),
    disparity: Path | None = None,
    focal_px: float | None = None,
    baseline_m: float | None = None,
    kind: str = "drops",
    rate: float = 50.0,
    exposure_s: float = 0.01,
    wind_mps: float = 0.0,
    camera_mps: float = 0.0,
    aperture_px: float = 1.5,
    veil: bool = True,
    lens_drops: float = 0.0,
    noise: float = 0.0,
    gain_spread: float = 0.0,
    jpeg_quality: int | None = None,
    max_disparity: int = 128,
    disparity_scale: float | None = None,
    variants: int = 1,
    seed: int = 0,
) -> None:
    """Render rain over clean pairs, into a data set that train and evaluate read; continues where it was.

    Args:
        clean: folder of clean rectified pairs: left and right, image_2 and image_3, or a paired data set.
        workers: who does the work.
        out: folder to write rain_left, rain_right, gt_left, gt_right, mask_left, mask_right and rain.json to.
        disparity: folder of true disparities of the left views (16-bit PNG as KITTI's, .npy or .pfm); pairs without
            one are matched by SGBM.
        focal_px: focal length; without it KITTI's field of view is assumed.
        baseline_m: distance of the cameras; without it KITTI's is assumed.
        kind: drops (in space, seen by both cameras), streaks (2-D, each view its own) or both.
        rate: of the drops, mm/h: 10 moderate, 50 heavy, 100 a cloudburst.
        exposure_s: exposure time; longer makes longer streaks.
        wind_mps: wind to the right.
        camera_mps: forward speed of the camera; it makes streaks radial.
        aperture_px: blur of a point infinitely far behind a focus at 1 m; 0 for a pinhole.
        veil: whether distant drops veil the scene.
        lens_drops: drops to expect on the glass of each camera.
        noise: standard deviation of the sensor noise on the 8-bit scale.
        gain_spread: standard deviation of the logarithm of each camera's gain, which the clean views get too.
        jpeg_quality: 1 to 100, to send the rainy views through JPEG.
        max_disparity: how far SGBM searches, px.
        disparity_scale: grey levels per px of disparities in PNG; 256 where it is not given, as KITTI's.
        variants: different rains over every pair.
        seed: another seed, other rain.
    """
    from apanet_core.data.render_folder import describe, render_folder
    from apanet_core.rain.drops import Rain
    from apanet_core.rain.render_settings import RenderSettings
    from apanet_core.rain.sensor import Sensor

    rain = Rain(rate, exposure_s, (wind_mps, 0.0), camera_mps, aperture_px=aperture_px, veil=veil)
    sensor = Sensor(noise, gain_spread, jpeg_quality)
    settings = RenderSettings(
        kind, rain, lens_drops, sensor, focal_px, baseline_m, max_disparity, disparity_scale, variants, seed
    )
    print(describe(clean, settings, disparity), file=sys.stderr)
    count = render_folder(clean, out, settings, disparity, workers)
    print(f"{count} rainy pairs in {out}")
