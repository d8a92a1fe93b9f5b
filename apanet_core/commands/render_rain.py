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
    jpeg_quality: int = 0,
    max_disparity: int = 128,
    disparity_scale: float | None = None,
    variants: int = 1,
    seed: int = 0,
) -> None:
    """Render rain over clean pairs, into a data set for train and evaluate; a second run resumes the first.

    Args:
        clean: folder of clean rectified pairs: left and right, image_2 and image_3, or a paired data set.
        workers: processes or cluster that do the work.
        out: folder to write rain_left, rain_right, gt_left, gt_right, mask_left, mask_right and rain.json to.
        disparity: folder of true disparities of the left views (16-bit PNG like KITTI's, .npy or .pfm); those of other
            pairs are estimated by SGBM.
        focal_px: focal length; by default from KITTI's field of view.
        baseline_m: distance between the cameras; by default KITTI's.
        kind: drops (in space, seen by both cameras), streaks (2-D, different in each view) or both.
        rate: rain rate of the drops, mm/h: 10 moderate, 50 heavy, 100 a cloudburst.
        exposure_s: exposure time; a longer one makes longer streaks.
        wind_mps: wind to the right.
        camera_mps: forward speed of the camera, which makes streaks radial.
        aperture_px: blur of an infinitely far point with the focus at 1 m; 0 for a pinhole.
        veil: whether distant drops veil the scene.
        lens_drops: mean number of drops on the glass of each camera.
        noise: standard deviation of the sensor noise, in grey levels.
        gain_spread: standard deviation of the logarithm of each camera's gain, which also applies to the clean views.
        jpeg_quality: 1 to 100, for JPEG artefacts in the rainy views; 0 for none.
        max_disparity: search range of SGBM, px.
        disparity_scale: grey levels per px of disparities in PNG; default 256, as in KITTI.
        variants: number of different rains over every pair.
        seed: seed of the rain.
    """
    from apanet_core.data.render_folder import describe, render_folder
    from apanet_core.rain.drops import Rain
    from apanet_core.rain.render_settings import RenderSettings
    from apanet_core.rain.sensor import Sensor

    rain = Rain(rate, exposure_s, wind_mps, camera_mps, aperture_px=aperture_px, veil=veil)
    sensor = Sensor(noise, gain_spread, jpeg_quality)
    settings = RenderSettings(
        kind, rain, lens_drops, sensor, focal_px, baseline_m, max_disparity, disparity_scale, variants, seed
    )
    print(describe(clean, settings, disparity), file=sys.stderr)
    count = render_folder(clean, out, settings, disparity, workers)
    print(f"{count} rainy pairs in {out}")
