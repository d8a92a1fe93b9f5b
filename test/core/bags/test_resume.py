"""`derain-bag` after a kill at any moment resumes the run, or reports why it cannot."""

import dataclasses
import os
import shutil
import signal
from pathlib import Path

import pytest

pytest.importorskip("rosbags.rosbag2", reason="needs rosbags")
from make_bags import SETTINGS, Inverter, derain, pairs, read_bag, write_bag

from apanet_core.bags import derain_bag as module
from apanet_core.bags.journal import Journal
from apanet_core.bags.partial import locked, partial_path

CRASH_POINTS = [
    *((Journal, "append"), (Path, "replace"), (Path, "rename"), (Path, "unlink"), (Path, "mkdir")),
    *((shutil, "rmtree"), (module, "write_text"), (module, "_finish")),
]


def killed_at(call, bag, out, settings):
    """Derain in a child process that is killed at the `call`-th crash point; return whether it was killed."""
    child = os.fork()
    if child == 0:
        count = 0

        def crashing(function):
            def wrapped(*args, **kwargs):
                nonlocal count
                count += 1
                if count == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return wrapped

        try:
            for owner, name in CRASH_POINTS:
                setattr(owner, name, crashing(getattr(owner, name)))
            derain(bag, out, settings)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize(("plugin", "step"), [("MCAP", 1), ("SQLITE3", 3)])
def test_run_killed_at_any_point_resumes_and_output_is_never_partial(tmp_path, plugin, step):
    bag = write_bag(tmp_path / "bag", pairs(4), plugin)
    settings = dataclasses.replace(SETTINGS, segment_pairs=2)
    derain(bag, tmp_path / "whole", settings)
    whole, spared = read_bag(tmp_path / "whole"), set()
    call = 1
    while killed_at(call, bag, out := tmp_path / f"out.v{call}_clean", settings):
        if out.exists():
            assert read_bag(out) == whole
        counted = Inverter()
        report = derain(bag, out, settings, lambda c=counted: c)
        spared.add(4 - counted.pairs)
        assert report.finished_before or report.derained == 4
        assert read_bag(out) == whole
        assert not partial_path(out).exists()
        call += step
    assert call > 20
    assert spared == {0, 1, 2, 3, 4} or step > 1  # no clean pair is derained again


def test_derain_bag_resume_with_other_options_is_refused(tmp_path):
    bag = write_bag(tmp_path / "bag", pairs(4))
    assert killed_at(9, bag, tmp_path / "out", SETTINGS)
    with locked([partial_path(tmp_path / "out")]), pytest.raises(FileExistsError, match="another run is at work"):
        derain(bag, tmp_path / "out")
    with pytest.raises(FileExistsError, match="begun with another recording or other options"):
        derain(bag, tmp_path / "out", dataclasses.replace(SETTINGS, keep_original=True))
    derain(bag, tmp_path / "out")
    assert derain(bag, tmp_path / "out").finished_before
    with pytest.raises(FileExistsError, match="is there already"):
        derain(bag, tmp_path / "out", dataclasses.replace(SETTINGS, jpeg_quality=5))
