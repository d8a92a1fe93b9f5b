"""`--scheduler`: a real Dask scheduler with two worker processes does what one process does."""

import dataclasses
import os
import signal
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

distributed = pytest.importorskip("distributed")
pytest.importorskip("rosbags.rosbag2", reason="needs rosbags")
sys.path.insert(0, str(Path(__file__).parent / "bags"))  # for the workers as well
from make_bags import SETTINGS, Inverter, derain, pairs, read_bag, write_bag  # noqa: E402

from apanet_core.bags.partial import partial_path  # noqa: E402
from apanet_core.commands.main import main  # noqa: E402
from apanet_core.workers import WorkerOptions, run_tasks  # noqa: E402

IN_TWO = dataclasses.replace(SETTINGS, segment_pairs=2)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Start a scheduler and two worker processes, which find these tests and note in AT_WORK when they work."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("AT_WORK", str(tmp_path / "at_work"))
    (tmp_path / "at_work").mkdir()
    return lambda: distributed.LocalCluster(2, threads_per_worker=2, dashboard_address=None)


@pytest.fixture
def clean(tmp_path):
    rng = np.random.default_rng(1)
    for side in ("left", "right"):
        (tmp_path / "clean" / side).mkdir(parents=True)
        for name in ("a", "b", "c"):
            image = cv2.GaussianBlur(rng.integers(0, 256, (48, 64, 3), np.uint8), (0, 0), 2)
            cv2.imwrite(str(tmp_path / "clean" / side / f"{name}.png"), image)
    return tmp_path / "clean"


class Slow(Inverter):
    """A derainer slow enough to be killed at work, which records its process."""

    def __call__(self, left, right):
        Path(os.environ["AT_WORK"], str(os.getpid())).touch()
        time.sleep(0.5)
        return super().__call__(left, right)


def test_cluster_killed_worker_does_not_change_output(cluster, tmp_path):
    bag = write_bag(tmp_path / "bag", pairs(8))
    derain(bag, tmp_path / "one", IN_TWO)
    with cluster() as started:
        options = WorkerOptions(scheduler=started.scheduler_address)
        reports = []
        run = threading.Thread(target=lambda: reports.append(derain(bag, tmp_path / "out", IN_TWO, Slow, options)))
        run.start()
        while not (workers := list((tmp_path / "at_work").iterdir())):
            time.sleep(0.05)
        os.kill(int(workers[0].name), signal.SIGKILL)
        run.join()
    assert reports[0].derained == 8
    assert read_bag(tmp_path / "out") == read_bag(tmp_path / "one")


def test_cluster_finished_segments_survive_scheduler_loss(cluster, tmp_path):
    bag = write_bag(tmp_path / "bag", pairs(60))  # more than is done before the scheduler has gone
    done = partial_path(tmp_path / "out")
    with cluster() as started:
        options = WorkerOptions(scheduler=started.scheduler_address)
        errors = []

        def work():
            try:
                derain(bag, tmp_path / "out", IN_TWO, Slow, options)
            except ConnectionError as error:
                errors.append(str(error))

        run = threading.Thread(target=work)
        run.start()
        while not (finished := list(done.glob("done_*.json"))):
            time.sleep(0.05)
    run.join()
    assert "went away" in errors[0]
    before = {file: file.stat().st_mtime_ns for file in finished}
    with cluster() as started:
        os.link(finished[0], tmp_path / "kept.json")
        options = WorkerOptions(scheduler=started.scheduler_address)
        assert derain(bag, tmp_path / "out", IN_TWO, Inverter, options).derained == 60
    assert (tmp_path / "kept.json").stat().st_mtime_ns == before[finished[0]]
    derain(bag, tmp_path / "one", IN_TWO)
    assert read_bag(tmp_path / "out") == read_bag(tmp_path / "one")


def test_cluster_render_rain_and_evaluate_match_local_run(cluster, clean, tmp_path, monkeypatch):
    with cluster() as started:
        monkeypatch.chdir(tmp_path)  # relative paths are those of the command, wherever the workers were started
        for out, options in (("one", []), ("many", ["--scheduler", started.scheduler_address])):
            assert main(["render-rain", "clean", "--out", out, "--kind", "streaks", *options]) == 0
            evaluation = str(tmp_path / f"{out}-evaluation")
            assert main(["evaluate", str(tmp_path / "one"), "--models", "[tiny]", "--engine", "torch",
                         "--max_disparity", "16", "--out", evaluation, *options]) == 0  # fmt: skip
    for file in (tmp_path / "one").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "many" / file.relative_to(tmp_path / "one")).read_bytes()
    tables = [(tmp_path / f"{out}-evaluation" / "per_image.csv").read_text() for out in ("one", "many")]
    assert tables[0] == tables[1]


def test_cluster_unusable_scheduler_is_refused(clean, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("apanet_core.workers.CONNECT_S", 1)
    arguments = ["render-rain", str(clean), "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"]
    assert main([*arguments[:-1], "foo"]) == 2
    assert "scheduler must be an address such as tcp://HOST:8786: got 'foo'" in capsys.readouterr().err
    assert main(arguments) == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--workers", "2"]) == 2
    assert "give workers or scheduler, not both" in capsys.readouterr().err


def test_cluster_result_that_went_with_its_worker_is_a_connection_error(cluster, monkeypatch):
    with cluster() as started:
        options = WorkerOptions(scheduler=started.scheduler_address)
        with pytest.raises(TypeError, match="abs"):  # of the function itself
            list(run_tasks(abs, ["1", "2"], options))
        monkeypatch.setattr(distributed.Future, "status", "lost")  # Dask's executor then unpacks a result that is none
        with pytest.raises(ConnectionError, match="or a worker with results, went away"):
            list(run_tasks(abs, [1, 2], options))
