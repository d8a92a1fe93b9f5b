"""Tests of the node's debug log."""

import re

from node_rig import QUICK, Rig, wait_for


def test_debug_log_has_decision_per_pair_and_no_rcl_messages(start):
    node = start("--log-level", "DEBUG", program=QUICK)
    rig = Rig()
    try:
        rig.wait_until_heard()
        stamp = rig.send_until_answered()
        pair = f"pair of {stamp // 10**9}.{stamp % 10**9:09d}: "
        wait_for(lambda: re.search(pair + r"derained, rain level [\d.]+ in [\d.]+ ms", node.text()))
        rig.enable(False)
        rig.send_until_answered()
        wait_for(lambda: "passed through, deraining is disabled in " in node.text())
        assert "[rcl]" not in node.text()
    finally:
        rig.close()
