import threading

from apanet_ros.latest_item_worker import LatestItemWorker


def test_the_newest_waits_and_the_rest_is_dropped():
    started, release, done = threading.Event(), threading.Event(), []

    def work(item):
        started.set()
        release.wait(5)
        done.append(item)

    worker = LatestItemWorker(work, on_error=lambda error: None)
    assert worker.put(0)
    assert started.wait(5)
    assert [worker.put(n) for n in (1, 2, 3)] == [True, False, False]
    finished = threading.Event()
    release.set()
    while len(done) < 2:
        finished.wait(0.01)
    assert worker.stop()
    assert done == [0, 3]


def test_errors_are_reported_and_the_thread_goes_on():
    errors, done = [], threading.Event()

    def work(item):
        if item == "bad":
            raise ValueError("bad item")
        done.set()

    failed = threading.Event()
    worker = LatestItemWorker(work, on_error=lambda error: (errors.append(str(error)), failed.set()))
    worker.put("bad")
    assert failed.wait(5)
    worker.put("good")
    assert done.wait(5)
    assert errors == ["bad item"]
    assert worker.stop()


def test_stop_tells_when_the_work_hangs():
    hang, started = threading.Event(), threading.Event()

    def work(_):
        started.set()
        hang.wait(5)

    worker = LatestItemWorker(work, on_error=lambda error: None)
    worker.put(1)
    assert started.wait(5)
    assert not worker.stop(timeout_s=0.05)
    hang.set()
