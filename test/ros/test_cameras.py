"""Tests of the node's process with cameras that exit, restart or change their size."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from messages import SIDES, image_message, stamp_of
from node_rig import QUICK, Rig, wait_for

PROGRAM = QUICK
CAMERA = Path(__file__).with_name("camera.py")


@pytest.fixture
def cameras(node):
    """Return a function that starts or replaces the camera process of a side; size None kills it."""
    running = {}

    def set_camera(side, size):
        if side in running:
            running[side].send_signal(signal.SIGKILL)
            running.pop(side).wait()
        if size is not None:
            running[side] = subprocess.Popen([sys.executable, CAMERA, side, *map(str, size)])

    yield set_camera
    for side in SIDES:
        set_camera(side, None)


def told(rig, reason):
    """Return whether the diagnostics have warned with this reason."""
    statuses = [array.status[0] for array in list(rig.diagnostics)]
    return any(reason in status.message and status.level == DiagnosticStatus.WARN for status in statuses)


def wait_for_pairs(rig, size, count=3):
    """Wait for `count` new pairs of this size."""
    rig.forget()

    def pairs():
        stamps = [{stamp_of(m) for m in list(rig.images[side]) if (m.height, m.width) == size} for side in SIDES]
        return len(stamps[0] & stamps[1]) >= count

    wait_for(pairs)


def test_cameras_killed_and_restarted_in_other_size_pair_again(rig, cameras):
    for side in SIDES:
        cameras(side, (48, 64))
    wait_for_pairs(rig, (48, 64))
    for side in SIDES:  # one camera at a time
        cameras(side, None)
        rig.forget()
        wait_for(lambda: told(rig, "no pairs: "))
        cameras(side, (48, 64))
        wait_for_pairs(rig, (48, 64))
    for side in SIDES:
        cameras(side, None)
    rig.forget()
    wait_for(lambda: told(rig, "no pairs: "))  # an image of the camera killed last may have arrived alone
    for side in SIDES:
        cameras(side, (48, 64))
    wait_for_pairs(rig, (48, 64))
    for size in ((60, 80), (32, 48)):
        cameras("left", size)  # the sizes differ until the other one follows
        cameras("right", size)
        wait_for_pairs(rig, size)


def test_clock_reset_with_camera_restart_pairs_again(node):
    for _ in range(5):
        rig = Rig()
        rig.wait_until_heard()
        for second in range(1, 4):
            rig.wait_for_pair(rig.send(stamp_ns=second * 10**9))
        rig.close()


def test_size_change_one_frame_apart_skips_one_pair(rig):
    stamps = [next(rig.stamps) for _ in range(3)]
    for stamp, left, right in zip(stamps, ((48, 64), (60, 80), (60, 80)), ((48, 64), (48, 64), (60, 80))):
        rig.image_pub["left"].publish(image_message(stamp, "left", size=left))
        rig.image_pub["right"].publish(image_message(stamp, "right", size=right))
        if left == right:
            assert all((message.height, message.width) == left for message in rig.wait_for_pair(stamp))
    assert rig.received(stamps[1]) is None
