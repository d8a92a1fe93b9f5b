"""Compare the disparity of `StereoDerainer.with_disparity` and that of SGBM with the truth, in rain and without.

Run: .venv/bin/python -m tools.measure_disparity
"""

from itertools import pairwise

import numpy as np
import torch

from apanet_core import StereoDerainer
from apanet_core.evaluation.depth import bad_pixel_rate
from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Rain
from apanet_core.rain.render import render_rain
from apanet_core.rain.weather import Weather
from apanet_core.stereo.disparity import fill_unknown, to_right_view
from apanet_core.stereo.sgbm import sgbm_disparity
from tools.demo.recording import MOTORCYCLE, motorcycle

MODELS = ("tiny", "small", "tiny-mono", "small-mono")
WEATHERS = {"dry": Rain(0.0), "rain of 50 mm/h": Rain(50.0)}


def main() -> None:
    """Print a row for each method on scikit-image's Middlebury pair; occluded pixels count."""
    truth = motorcycle()
    left_disparity = fill_unknown(truth.disparity)
    disparities = left_disparity, to_right_view(left_disparity)
    derainers = {name: StereoDerainer(name, engine="torch") for name in MODELS}
    for weather, rain in WEATHERS.items():
        random = CounterRandom(0, torch.tensor([0]))
        pair = render_rain((truth.left, truth.right), disparities, MOTORCYCLE, Weather(rain), random)
        row(f"SGBM of the pair, {weather}", sgbm_disparity(pair.left, pair.right, 64), truth.disparity)
        for name, derainer in derainers.items():
            result = derainer.with_disparity(pair.left, pair.right)
            row(f"{name}: attention, {weather}", result.disparity_px, truth.disparity)
            bounds = np.quantile(result.confidence, [0, 0.25, 0.5, 0.75, 1])
            for low, high in pairwise(bounds):
                chosen = (result.confidence >= low) & (result.confidence <= high)
                row(
                    f"  confidence {low:.2f} to {high:.2f}",
                    np.where(chosen, result.disparity_px, np.nan),
                    truth.disparity,
                )


def row(name: str, disparity: np.ndarray, truth: np.ndarray) -> None:
    """Print the median error and the share of errors over 3 px, where both disparities are known."""
    given = np.isfinite(truth) & np.isfinite(disparity)
    error = np.median(np.abs(disparity - truth)[given])
    wrong = bad_pixel_rate(disparity, np.where(given, truth, np.nan))
    print(f"| {name} | {error:.2f} px | {100 * wrong:.1f} % |")


if __name__ == "__main__":
    main()
