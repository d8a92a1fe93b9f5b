"""Tests that the latency benchmark runs with the real relay and node; `make benchmark` measures."""

import os
import re
import subprocess
import sys

from node_rig import own_domain


def test_benchmark_prints_row_per_size_and_method():
    command = [sys.executable, "-m", "tools.node_benchmark", "--sizes", "64x48", "320x240", "--pairs", "3"]
    environment = os.environ | {"ROS_DOMAIN_ID": own_domain()}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[-4:]]
    assert [row[:2] for row in rows] == [[s, w] for s in ("64x48", "320x240") for w in ("relay", "node")]
    assert all(re.fullmatch(r"\d+\.\d", value) for row in rows for value in row[2:4])  # every pair returned
    assert [row[4] for row in rows if row[1] == "relay"] == ["1.00", "1.00"]


def test_invalid_size_argument_is_refused():
    command = [sys.executable, "-m", "tools.node_benchmark", "--sizes", "big"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 2
    assert "expected WIDTHxHEIGHT" in done.stderr
