"""`derain-bag --workers`: several processes give the same output as one, and all end with the run."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rosbags.rosbag2", reason="needs rosbags")
from make_bags import SETTINGS, Inverter, derain, pairs, read_bag, write_bag

from apanet_core.bags.derain_bag import derain_bags
from apanet_core.bags.partial import partial_path
from apanet_core.workers import WorkerOptions


def test_derain_bags_two_workers_match_single_process(tmp_path):
    bags = [write_bag(tmp_path / name, pairs(count)) for name, count in (("a", 5), ("b", 3))]
    settings = dataclasses.replace(SETTINGS, segment_pairs=2)
    outs = [tmp_path / "out" / name for name in ("a.clean", "b.clean")]
    reports = derain_bags(bags, outs, settings, Inverter, {"model": "inverter"}, WorkerOptions(2))
    assert [report.derained for report in reports] == [5, 3]
    for bag, out in zip(bags, outs):
        derain(bag, tmp_path / "one" / bag.name, settings)
        assert read_bag(out) == read_bag(tmp_path / "one" / bag.name)


def refuse():
    raise ValueError("unknown engine 'magic'")


class Killed(Inverter):
    """A derainer that kills its process, like the system when memory runs out."""

    def __call__(self, left, right):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [(refuse, ValueError, "unknown engine 'magic'"), (Killed, MemoryError, "a worker was killed.*use fewer workers")],
)
def test_derain_bag_worker_failure_ends_run(tmp_path, make, error, message):
    bag = write_bag(tmp_path / "bag", pairs(4))
    with pytest.raises(error, match=message):
        derain(bag, tmp_path / "out", dataclasses.replace(SETTINGS, segment_pairs=2), make, WorkerOptions(2))
    assert derain(bag, tmp_path / "out", dataclasses.replace(SETTINGS, segment_pairs=2)).derained == 4


class Asleep(Inverter):
    """A derainer that takes longer than the test waits."""

    def __call__(self, left, right):
        time.sleep(300)


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_derain_bag_workers_exit_with_killed_run(tmp_path, signal_number):
    bag = write_bag(tmp_path / "bag", pairs(8))
    script = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite that runs in the background has it ignored
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_workers import SETTINGS, Asleep, Path, WorkerOptions, dataclasses, derain
settings = dataclasses.replace(SETTINGS, segment_pairs=2)
derain(Path({str(bag)!r}), Path({str(tmp_path / "out")!r}), settings, Asleep, WorkerOptions(2))
"""
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) as run:
        try:
            busy = [partial_path(tmp_path / "out") / "work" / f"out_{number}" for number in (0, 1)]
            assert wait_for(lambda: all(path.exists() for path in busy))
            workers = children_of(run.pid)
            assert len(workers) >= 2
            run.send_signal(signal_number)
            assert wait_for(lambda: run.poll() is not None)
        finally:
            run.kill()  # a failed test must not hang
    assert wait_for(lambda: not any(is_running(worker) for worker in workers))


def wait_for(happened, seconds=60):
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.05)
    return happened()
