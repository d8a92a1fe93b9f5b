"""Tests of the node's process with a network that raises, hangs or returns no image: pairs follow on_failure."""

import re
import time

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from messages import SIDES, image_message
from node_rig import FAULTY_NETWORK, Rig, change, wait_for

TIMEOUT = ("-p", "network_timeout_s:=0.5")


class Case:
    """A node process with a network that follows orders, and a rig."""

    def __init__(self, start, folder, *ros_arguments):
        self._orders = folder / "orders"
        self.rig = Rig()
        self.order("fine")
        self.node = start(*ros_arguments, program=(FAULTY_NETWORK, str(self._orders)))
        self.rig.wait_until_heard()
        assert self.is_clean(self.rig.send())

    def order(self, word):
        self._orders.write_text(word)
        self.rig.diagnostics.clear()

    def is_clean(self, stamp):
        """Return whether the pair is derained; fail the test if only one view is."""
        pair = self.rig.wait_for_pair(stamp)
        untouched = [got == image_message(stamp, side) for side, got in zip(SIDES, pair)]
        assert untouched[0] == untouched[1]
        return not untouched[0]

    def wait_for_error(self, text):
        """Wait for an ERROR status with `text` since the last order; return its message."""
        return wait_for(
            lambda: next(
                (
                    array.status[0].message
                    for array in list(self.rig.diagnostics)
                    if array.status[0].level == DiagnosticStatus.ERROR and text in array.status[0].message
                ),
                None,
            )
        )

    def failures(self):
        """Return the network failures in the last diagnostics."""
        values = {pair.key: pair.value for pair in self.rig.diagnostics[-1].status[0].values}
        return int(values["failures of the network"])


@pytest.fixture
def make(start, tmp_path):
    cases = []

    def make(*ros_arguments):
        cases.append(Case(start, tmp_path, *ros_arguments))
        return cases[-1]

    yield make
    for case in cases:
        case.rig.close()
        code, _ = case.node.end()
        assert code == 0, case.node.text()
        assert "Traceback" not in case.node.text()


def test_warnings_of_network_are_logged_by_node(make):
    case = make()
    case.order("warn")
    assert case.is_clean(case.rig.send())
    wait_for(lambda: re.search(r"\[WARN\].*\[derain\]: the graph was not captured", case.node.text()))


def test_network_error_or_bad_output_passes_pair_and_next_is_derained(make):
    case = make(*TIMEOUT)
    for order, said in (
        ("raise", "out of memory on the device"),
        ("leave", "SystemExit(3)"),
        ("nan", "got (48, 64, 3) float32"),
        ("flat", "one flat colour"),
        ("nothing", "the network failed"),
        ("one view", "expected two views, got 1"),
    ):
        case.order(order)
        assert not case.is_clean(case.rig.send())
        assert not case.is_clean(case.rig.send())
        case.wait_for_error(said)
        case.order("fine")
        assert case.is_clean(case.rig.send())


def test_inference_timeout_reports_error_and_passes_pairs(make):
    case = make(*TIMEOUT)
    case.order("hang")
    assert not case.is_clean(case.rig.send())
    assert all(not case.is_clean(case.rig.send()) for _ in range(10))
    assert "inference has taken" in case.node.text()
    case.wait_for_error("inference has taken")  # reported without new pairs too
    case.order("fine")
    wait_for(lambda: case.is_clean(case.rig.send()))
    case.rig.diagnostics.clear()
    wait_for(lambda: any(a.status[0].level == DiagnosticStatus.OK for a in list(case.rig.diagnostics)))


def test_inference_timeout_drops_pairs_with_on_failure_drop(make):
    case = make(*TIMEOUT, "-p", "on_failure:=drop")
    case.order("hang")
    stamps = [case.rig.send() for _ in range(3)]
    case.wait_for_error("inference has taken")
    failures = case.failures()
    stamps.append(case.rig.send())
    wait_for(lambda: case.failures() > failures)
    case.order("fine")
    later = []

    def came():
        later.append(case.rig.send())
        return any(case.rig.received(stamp) for stamp in later)

    wait_for(came)
    assert not any(case.rig.received(stamp) for stamp in stamps)


def test_hung_inference_does_not_block_deactivation_and_restart(make):
    case = make("-p", "network_timeout_s:=600.0")
    case.order("hang")
    case.rig.send()
    time.sleep(0.5)  # the start of inference is not visible from outside
    start = time.monotonic()
    assert change(case.rig, Transition.TRANSITION_DEACTIVATE)
    assert change(case.rig, Transition.TRANSITION_CLEANUP)
    assert time.monotonic() - start < 10  # not 600; two service calls on a busy machine included
    assert "its result will be discarded" in case.node.text()
    assert change(case.rig, Transition.TRANSITION_CONFIGURE)  # in a new thread, while the old one hangs
    assert change(case.rig, Transition.TRANSITION_ACTIVATE)
    case.rig.wait_until_heard()
    hung = len(case.rig.images["left"])
    case.order("fine")
    assert case.is_clean(case.rig.send())
    assert len(case.rig.images["left"]) == hung + 1  # the result of the hung inference is discarded
