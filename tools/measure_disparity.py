"""Measures the disparity of `StereoDerainer.with_disparity` against the truth, beside two references.

Run: .venv/bin/python -m tools.measure_disparity
"""

import numpy as np

from apanet_core import StereoDerainer
from apanet_core.evaluation.depth import bad_pixel_rate
from apanet_core.stereo.sgbm import sgbm_disparity
from tools.demo.recording import motorcycle


def main() -> None:
    """Print a row per method for scikit-image's Middlebury pair."""
    truth = motorcycle()
    known = np.isfinite(truth.disparity)
    result = StereoDerainer("tiny", engine="torch").with_disparity(truth.left, truth.right)
    sure = result.confidence >= np.quantile(result.confidence, 0.9)
    rows = {
        "parallax attention": result.disparity_px,
        "parallax attention, the tenth it is surest of": np.where(sure, result.disparity_px, np.nan),
        "the median true disparity everywhere": np.full_like(truth.disparity, np.median(truth.disparity[known])),
        "semi-global matching": sgbm_disparity(truth.left, truth.right, 64),
    }
    for name, disparity in rows.items():
        given = known & np.isfinite(disparity)
        error = np.median(np.abs(disparity - truth.disparity)[given])
        wrong = bad_pixel_rate(disparity, np.where(given, truth.disparity, np.nan))
        print(f"{name:<48}{error:6.2f} px{100 * wrong:7.1f} %")


if __name__ == "__main__":
    main()
