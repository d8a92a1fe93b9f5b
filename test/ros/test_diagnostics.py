"""Tests of rates and memory figures, without a ROS graph."""

import subprocess
import sys

import pytest

from apanet_ros.diagnostics import Rates

SECOND = 10**9


def test_rates_are_counts_per_second_of_given_clock():
    rates = Rates()
    assert rates(5 * SECOND, {"pairs": 10}) == {}  # nothing to compare with yet
    assert rates(7 * SECOND, {"pairs": 40}) == pytest.approx({"pairs": 15.0})
    assert rates(7 * SECOND, {"pairs": 41}) == {}  # simulated time has stopped
    assert rates(SECOND, {"pairs": 44}) == {}  # a bag started again
    assert rates(2 * SECOND, {"pairs": 54}) == pytest.approx({"pairs": 10.0})


def test_memory_figure_grows_with_allocation():
    # in a separate process, since memory freed by other tests would be subtracted
    program = "; ".join(
        [
            "from apanet_ros.diagnostics import memory_mib",
            'before = memory_mib()["memory MiB"]',
            'held = bytearray(b"\\1") * (256 << 20)',
            'print(memory_mib()["memory MiB"] - before)',
        ]
    )
    grown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert 250 < float(grown) < 270
