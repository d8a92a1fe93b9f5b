"""The latency benchmark runs, with the real relay and the real node; `make benchmark` is for its figures."""

import os
import re
import subprocess
import sys

from node_rig import own_domain


def test_prints_a_row_for_every_size_and_way():
    command = [sys.executable, "-m", "tools.node_benchmark", "--sizes", "64x48", "320x240", "--pairs", "3"]
    environment = os.environ | {"ROS_DOMAIN_ID": own_domain()}
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, env=environment)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[-4:]]
    assert [row[:2] for row in rows] == [[s, w] for s in ("64x48", "320x240") for w in ("relay", "node")]
    assert all(re.fullmatch(r"\d+\.\d", value) for row in rows for value in row[2:4])  # every pair came back
    assert [row[4] for row in rows if row[1] == "relay"] == ["1.00", "1.00"]


def test_a_size_that_is_none_is_refused():
    command = [sys.executable, "-m", "tools.node_benchmark", "--sizes", "big"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "expected WIDTHxHEIGHT" in done.stderr
