"""Tests that SIGINT and SIGTERM end the node's process cleanly within two seconds, in every state."""

import itertools
import signal
import time

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from node_rig import FAULTY_NETWORK, Rig, change, wait_for

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TRIES = 3  # on a busy machine, one try may take longer


class Case:
    """A node process with a network that follows orders, and a rig."""

    def __init__(self, start, folder, order="fine"):
        self._start, self._orders = start, folder / "orders"
        self.order(order)
        self.rig = Rig(listen=False)

    def order(self, word):
        self._orders.write_text(word)

    def run(self, *ros_arguments):
        self.node = self._start(*ros_arguments, program=(FAULTY_NETWORK, str(self._orders)))


def unconfigured(case):
    case.run("-p", "autostart:=false")
    case.manager = case.rig.node.create_client(ChangeState, "/derain/change_state")
    assert case.manager.wait_for_service(60)


def inactive(case):
    unconfigured(case)
    assert change(case.rig, Transition.TRANSITION_CONFIGURE)


def asleep(case):
    case.run()
    wait_for(lambda: "asleep until" in case.node.text())


def awake(case):
    case.rig.listen()
    case.run()
    case.rig.wait_until_heard()


def between_pairs(case):
    awake(case)
    case.rig.wait_for_pair(case.rig.send())


def pair_in_the_network(case):
    between_pairs(case)
    case.order("hang")
    case.rig.send()
    time.sleep(0.5)  # the start of inference is not visible from outside


def loading(case):
    case.order("load")
    case.run()
    wait_for(lambda: case.rig.node.get_publishers_info_by_topic("/derain/transition_event"))


def loading_for_a_manager(case):
    case.order("load")
    unconfigured(case)
    case.manager.call_async(ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE)))
    time.sleep(0.5)  # the start of loading is not visible from outside


STATES = (unconfigured, inactive, asleep, awake, between_pairs, pair_in_the_network, loading, loading_for_a_manager)


def end_soon(reach, make_case, signal_number, again=0):
    """Bring a node into a state and signal it; fail unless one of `TRIES` tries ends within two seconds."""
    took = []
    while not took or (took[-1] >= 2 and len(took) < TRIES):
        case = make_case()
        reach(case)
        segments = case.node.shared_memory()
        for _ in range(again):
            case.node.process.send_signal(signal_number)
            time.sleep(0.05)
        code, seconds = case.node.end(signal_number)
        case.rig.close()
        assert code == 0, case.node.text()
        assert "Traceback" not in case.node.text()
        assert "rror" not in case.node.text()
        assert segments
        assert not [path for path in segments if path.exists()]
        took.append(seconds)
    print(f"\n{reach.__name__}, {signal_number.name}: {', '.join(f'{seconds:.2f}' for seconds in took)} s")
    assert took[-1] < 2


@pytest.mark.parametrize(("reach", "signal_number"), zip(STATES, itertools.cycle(SIGNALS)))
def test_signal_in_any_state_ends_node(start, tmp_path, reach, signal_number):
    end_soon(reach, lambda: Case(start, tmp_path), signal_number)


def test_more_signals_during_shutdown_are_ignored(start, tmp_path):
    end_soon(pair_in_the_network, lambda: Case(start, tmp_path), signal.SIGINT, again=4)


@pytest.mark.parametrize("after_s", [0.2, 1.2])
def test_signal_while_real_weights_load_ends_node(start, tmp_path, after_s):
    def real_weights_loading(case):
        case.node = start()
        wait_for(lambda: case.rig.node.get_publishers_info_by_topic("/derain/transition_event"))
        time.sleep(after_s)

    end_soon(real_weights_loading, lambda: Case(start, tmp_path), signal.SIGTERM)
