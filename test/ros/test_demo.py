"""Tests of the demo command on a small recording."""

import os
import subprocess
import sys

import cv2
import pytest
from node_rig import own_domain, smooth_scene

from tools.demo.recording import DEMO_TOPICS, open_stereo_bag, write_rainy_bag
from tools.demo.report import PICTURE_WIDTH_PX


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """A bag of four rainy pairs at 4 Hz, of a smooth scene with a disparity of 20 px."""
    path = tmp_path_factory.mktemp("bag") / "rainy"
    write_rainy_bag(path, smooth_scene(), frames=4, rate_hz=4.0)
    return path


def demo(*arguments):
    environment = os.environ | {"ROS_DOMAIN_ID": own_domain()}
    command = [sys.executable, "-m", "tools.demo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def test_demo_sends_recording_through_node_and_records_output(bag, tmp_path):
    done = demo("--bag", bag, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = dict(line.split("  ", 1) for line in done.stdout.splitlines() if "  " in line)
    assert rows["pairs sent"].strip() == "4"
    assert rows["pairs received"].strip() == rows["identical stamps and frame ids"].strip()
    assert int(rows["pairs received"]) >= 1
    assert cv2.imread(str(tmp_path / "before_after.png")).shape[1] == 2 * PICTURE_WIDTH_PX
    recorded = open_stereo_bag(tmp_path / "derained", "/derained/left/image_rect", "/derained/right/image_rect")
    assert recorded.size == (96, 192)
    assert set(recorded.infos) == {"left", "right"}

    refused = demo("--bag", tmp_path / "derained", *("--left", "/derained/left/image_rect"), "--out", tmp_path)
    assert refused.returncode == 2  # the right topic is missing; the existing output is kept
    assert (tmp_path / "derained/metadata.yaml").exists()


def test_missing_bags_and_topics_raise_named_errors(bag, tmp_path):
    with pytest.raises(FileNotFoundError, match="no bag at"):
        open_stereo_bag(tmp_path / "none", "/l", "/r")
    with pytest.raises(ValueError, match=r"/nope is not there.*/stereo/left/image_rect \(sensor_msgs/msg/Image\)"):
        open_stereo_bag(bag, "/nope", DEMO_TOPICS["right"])
    with pytest.raises(ValueError, match="is a sensor_msgs/msg/CameraInfo"):
        open_stereo_bag(bag, "/stereo/left/camera_info", DEMO_TOPICS["right"])
    (tmp_path / "text.mcap").write_text("no bag")
    with pytest.raises(ValueError, match="not a readable bag"):
        open_stereo_bag(tmp_path / "text.mcap", "/l", "/r")
