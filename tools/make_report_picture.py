"""Draw docs/report.png: the head of a report on the street of make_picture.py in twelve showers.

Needs Chromium and its driver. Run: .venv/bin/python -m tools.make_report_picture
"""

import os
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from selenium import webdriver

from apanet_core.commands.main import main
from apanet_core.images.files import write_image
from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Rain
from apanet_core.rain.render import render_rain
from apanet_core.rain.weather import Weather
from tools.make_picture import CAMERA, trace

SIZE_PX = 1480, 1330


def write_data(root: Path) -> None:
    """Write rainy and clean pairs to data/, true disparities to truth/, median-filtered pairs to median/."""
    (left, left_depth), (right, right_depth) = trace(0.0), trace(CAMERA.baseline_m)
    disparities = tuple(CAMERA.disparity(depth).astype(np.float32) for depth in (left_depth, right_depth))
    for folder in ("rain", "norain", "median"):
        for side in ("left", "right"):
            (root / (folder if folder == "median" else f"data/{folder}") / side).mkdir(parents=True)
    (root / "truth").mkdir()
    for seed in range(12):
        rain = Rain(rate_mm_h=5 + 5 * seed, wind_mps=1.5 - 0.25 * seed, aperture_px=1.0)
        rainy = render_rain((left, right), disparities, CAMERA, Weather(rain), CounterRandom(seed, torch.tensor([0])))
        name = f"{rain.rate_mm_h:02.0f}mm"
        np.save(root / "truth" / f"{name}.npy", disparities[0])
        for side, clean, wet in (("left", left, rainy.left), ("right", right, rainy.right)):
            write_image(root / "data/rain" / side / f"{name}.png", wet)
            write_image(root / "data/norain" / side / f"{name}.png", clean)
            write_image(root / "median" / side / f"{name}.png", cv2.medianBlur(wet, 5))


def photograph(page: Path, path: Path) -> None:
    """Save the upper part of a page as Chromium shows it."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options, webdriver.ChromeService(executable_path=shutil.which("chromedriver")))
    size = {"width": SIZE_PX[0], "height": SIZE_PX[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    browser.execute_script("""document.querySelector("#picture").value = "3";
        document.querySelector("#picture").dispatchEvent(new Event("change"));
        return Promise.all([...document.images].map((image) => image.decode()));""")
    browser.save_screenshot(str(path))
    browser.quit()


if __name__ == "__main__":
    picture = Path(__file__).resolve().parents[1] / "docs" / "report.png"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the report names its data by the path it was given
        write_data(Path())
        if main(["evaluate", "data", "--out", "out", "--disparity", "truth", "--outputs", "[median 5x5=median]"]) == 0:
            photograph(Path("out/report.html").resolve(), picture)
