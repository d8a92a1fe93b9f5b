import gc
import threading
import weakref

import numpy as np
import pytest

from apanet_ros.threads import LatestItemWorker, TimedDerainer, TimedThread

FOREVER = float("inf")
VIEW = np.zeros((2, 3, 3), np.uint8)


@pytest.fixture
def patient():
    thread = TimedThread("test")
    yield thread
    assert thread.close(lambda: None, 5)


def test_call_returns_results_and_raises_exceptions_of_function(patient):
    def late():
        raise TimeoutError("inner")

    assert patient.call(lambda: 7, FOREVER) == 7
    with pytest.raises(TimeoutError, match="inner"):
        patient.call(late, FOREVER)
    with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
        patient.call(lambda: exec("raise SystemExit(3)"), FOREVER)
    assert patient.call(lambda: 8, FOREVER) == 8


def test_what_a_failed_call_held_is_free_at_once(patient):
    held = []

    def fail():
        activations = np.zeros(3)
        held.append(weakref.ref(activations))
        raise MemoryError("full")

    gc.disable()
    try:
        with pytest.raises(MemoryError) as raised:
            patient.call(fail, FOREVER)
        del raised
        assert held[0]() is None
    finally:
        gc.enable()


def test_all_calls_run_in_one_thread(patient):
    assert patient.call(threading.current_thread, 5) is patient.call(threading.current_thread, 5)


def test_overdue_call_raises_timeout_for_new_calls_until_return(patient):
    release = threading.Event()
    with pytest.raises(TimeoutError, match="inference has taken 0 s"):
        patient.call(release.wait, 0.01)
    assert patient.overdue_s() > 0.01
    never = []
    with pytest.raises(TimeoutError):
        patient.call(lambda: never.append(1), FOREVER)
    release.set()
    while patient.overdue_s():
        pass
    assert patient.call(lambda: "back", FOREVER) == "back"
    assert not never


def test_closed_derainer_raises_runtime_error():
    derainer = TimedDerainer(Built, lambda: (FOREVER, FOREVER), lambda: False)
    assert derainer.close()
    with pytest.raises(RuntimeError, match="the network is closed"):
        derainer(VIEW, VIEW)


def test_given_up_waiting_call_is_never_run(patient):
    release, running, called = threading.Event(), threading.Event(), []
    first = threading.Thread(target=patient.call, args=(lambda: (running.set(), release.wait()), FOREVER))
    first.start()
    running.wait()
    with pytest.raises(TimeoutError, match="the node stops"):
        patient.call(lambda: called.append(1), FOREVER, given_up=lambda: True)
    release.set()
    first.join()
    assert patient.call(lambda: called, FOREVER) == []


class Built:
    """A derainer whose engine compiles for each image size."""

    model = "stand-in"

    class engine:  # noqa: N801 (an attribute of the real one)
        compiled = True

    def __init__(self):
        self.release = threading.Event()

    def __call__(self, left, right):
        self.release.wait()
        return left, right

    def close(self):
        self.closed = True


def test_first_pair_limit_applies_once_per_size():
    built = Built()
    derainer = TimedDerainer(lambda: built, lambda: (0.01, FOREVER), lambda: False)
    threading.Timer(0.3, built.release.set).start()
    assert derainer(VIEW, VIEW)[0] is VIEW
    built.release.clear()
    with pytest.raises(TimeoutError):
        derainer(VIEW, VIEW)
    built.release.set()
    assert derainer.close()
    assert built.closed


def test_given_up_loading_frees_derainer():
    release, built = threading.Event(), Built()
    with pytest.raises(TimeoutError):
        TimedDerainer(lambda: (release.wait(), built)[1], lambda: (1.0, 1.0), lambda: True)
    closed = threading.Event()
    built.close = closed.set
    release.set()
    assert closed.wait(60)


def test_put_replaces_waiting_item():
    started, release, done = threading.Event(), threading.Event(), []

    def work(item):
        started.set()
        release.wait(60)
        done.append(item)

    dropped = []
    worker = LatestItemWorker(work, on_error=lambda error: None, on_dropped=dropped.append)
    worker.put(0)
    assert started.wait(60)
    for number in (1, 2, 3):
        worker.put(number)
    assert dropped == [1, 2]
    finished = threading.Event()
    release.set()
    while len(done) < 2:
        finished.wait(0.01)
    assert worker.stop()
    assert done == [0, 3]


def test_work_error_is_reported_and_thread_continues():
    errors, done = [], threading.Event()

    def work(item):
        if item == "bad":
            raise ValueError("bad item")
        done.set()

    failed = threading.Event()

    def on_error(error):
        errors.append(str(error))
        failed.set()

    worker = LatestItemWorker(work, on_error, on_dropped=errors.append)
    worker.put("bad")
    assert failed.wait(60)
    worker.put("good")
    assert done.wait(60)
    assert errors == ["bad item"]
    assert worker.stop()


def test_stop_with_hung_work_returns_false_and_drops_waiting_item():
    hang, started = threading.Event(), threading.Event()

    def work(_):
        started.set()
        hang.wait(60)

    dropped = []
    worker = LatestItemWorker(work, on_error=lambda error: None, on_dropped=dropped.append)
    worker.put(1)
    assert started.wait(60)
    worker.put(2)
    assert not worker.stop(timeout_s=0.05)
    assert dropped == [2]
    hang.set()
