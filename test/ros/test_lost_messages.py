"""Tests of counting lost messages, from made-up sequence numbers and in a running node."""

from node_rig import QUICK, Rig, wait_for

from apanet_ros.lost_messages import count_lost


def lost_of(*infos, publishers=1):
    """Return the total that is counted for messages with these MessageInfos, of that number of publishers."""
    received, lost = [], []
    callback = count_lost(received.append, lost.append, lambda: publishers)
    for number, info in enumerate(infos):
        callback(number, info)
    assert received == list(range(len(infos)))
    return sum(lost)


def of(number, publisher=b"a"):
    return {"publication_sequence_number": number, "publisher_gid": {"data": publisher}}


def test_gaps_are_counted_for_each_publisher():
    assert lost_of(of(7), of(8), of(3, b"b"), of(10), of(6, b"b"), of(11)) == 1 + 2


def test_late_message_is_no_gap():
    assert lost_of(of(7), of(6), of(7)) == 0


def test_unnamed_publisher_is_counted_only_if_alone():
    numbers = [{"publication_sequence_number": number} for number in (1, 3, 4)]
    assert lost_of(*numbers) == 1
    assert lost_of(*numbers, publishers=2) == 0


def test_nothing_is_counted_without_sequence_numbers():
    assert lost_of({}, {"publication_sequence_number": None}, {}) == 0


def test_node_counts_lost_images(start):
    start("-p", "queue_size:=1", program=QUICK)
    rig = Rig()
    rig.wait_until_heard()

    def lost():
        for _ in range(50):  # faster than the node takes them from its queue of one
            rig.send()
        values = [value for a in rig.diagnostics for value in a.status[0].values]
        return max((int(value.value) for value in values if value.key == "left images lost"), default=0)

    wait_for(lost, 60, poll_s=0.2)
    rig.close()
