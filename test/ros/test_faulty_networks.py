"""The node's process with a network that raises, hangs or returns what is no image: every pair follows on_failure."""

import time

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from messages import SIDES, image_message
from node_rig import FAULTY_NETWORK, Rig, change, wait_for

TIMEOUT = ("-p", "network_timeout_s:=0.5")


class Case:
    """A process of the node, whose network does as ordered, and a rig."""

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
        """Whether the network has been at the pair; one that is neither clean nor untouched fails the test."""
        pair = self.rig.wait_for_pair(stamp)
        untouched = [got == image_message(stamp, side) for side, got in zip(SIDES, pair)]
        assert untouched[0] == untouched[1]
        return not untouched[0]

    def wait_for_error(self, text):
        """The first ERROR since the order that says `text`."""
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
        """Of the network, as the last report has it."""
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


def test_whatever_it_returns_or_raises_the_pair_passes_and_the_next_one_is_tried(make):
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


def test_one_that_hangs_is_said_and_pairs_pass_until_it_comes_back(make):
    case = make(*TIMEOUT)
    case.order("hang")
    assert not case.is_clean(case.rig.send())
    assert all(not case.is_clean(case.rig.send()) for _ in range(10))
    assert "inference has taken" in case.node.text()
    case.wait_for_error("the network hangs, for")  # no pair comes meanwhile, and it is said all the same
    case.order("fine")
    wait_for(lambda: case.is_clean(case.rig.send()))
    case.rig.diagnostics.clear()
    wait_for(lambda: any(a.status[0].level == DiagnosticStatus.OK for a in list(case.rig.diagnostics)))


def test_while_it_hangs_pairs_can_be_dropped(make):
    case = make(*TIMEOUT, "-p", "on_failure:=drop")
    case.order("hang")
    stamps = [case.rig.send() for _ in range(3)]
    case.wait_for_error("the network hangs, for")
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


def test_while_it_hangs_the_node_is_deactivated_soon_and_starts_anew(make):
    case = make("-p", "network_timeout_s:=600.0")
    case.order("hang")
    case.rig.send()
    time.sleep(0.5)  # nothing tells from outside when it is in
    start = time.monotonic()
    assert change(case.rig, Transition.TRANSITION_DEACTIVATE)
    assert change(case.rig, Transition.TRANSITION_CLEANUP)
    assert time.monotonic() - start < 10  # and not 600; what two services take on a busy machine included
    assert "its result will be discarded" in case.node.text()
    assert change(case.rig, Transition.TRANSITION_CONFIGURE)  # in a thread of its own, while the old one hangs
    assert change(case.rig, Transition.TRANSITION_ACTIVATE)
    case.rig.wait_until_heard()
    hung = len(case.rig.images["left"])
    case.order("fine")
    assert case.is_clean(case.rig.send())
    assert len(case.rig.images["left"]) == hung + 1  # what hung was not published when it came back
