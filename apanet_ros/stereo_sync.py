"""Pairing left and right messages by their stamps.

The synchronisers of message_filters hold a lock while they call back, wait for ever behind stamps of the future once a
bag has looped, and pair the wrong frames after a drop when their slop is above half a period. This one does none of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

try:
    from message_filters import SimpleFilter
except ImportError:
    from apanet_ros.message_filters_fallback import SimpleFilter

LEFT, RIGHT = 0, 1
TIME_JUMP_NS = 500_000_000  # a stamp that falls back further means that time itself was set back
LATE_IN_A_ROW = 3  # so many messages in a row from the past mean the same, for a bag shorter than that
PERIODS_KEPT = 100  # of each stream; both views may drop frames for so long before their period seems longer than it is
PERIODS_TO_TRUST = 3  # so many periods must have been seen before the shortest is taken for the cameras'
ODD_PERIODS = 20  # one period in so many may be shorter than the cameras', where a frame was stamped late


@dataclass
class PairingCounts:
    """What happened to the messages of both views so far.

    Attributes:
        received: messages per view.
        paired: pairs made.
        unpaired: messages given up because their partner never came, or came after a duplicate of theirs.
        late: messages older than a pair already made.
        time_jumps: how often time went backwards.
        nearest_partner_ns: stamp difference of the last unpaired message to the nearest one of the other view.
        same_stamp: messages in a row, per view, whose stamp was that of the one before.
        last_stamp_ns: of each view.
    """

    received: list[int]
    paired: int = 0
    unpaired: int = 0
    late: int = 0
    time_jumps: int = 0
    nearest_partner_ns: int | None = None
    same_stamp: list[int] = field(default_factory=lambda: [0, 0])
    last_stamp_ns: list[int | None] = field(default_factory=lambda: [None, None])


class PairMatcher:
    """Matches stamped items of two streams; knows nothing of ROS.

    A pair is made as soon as its second item arrives. With a tolerance, an item takes the nearest of the other stream,
    and only when the difference is below half the shortest period seen in either stream, so that no frame in between
    can be nearer; until three periods have been seen, only equal stamps pair. The shortest of a twentieth are left out:
    one frame that was stamped late would else keep the next hundred from pairing. A stream that drops every other frame
    from the start can still look slower than it is: a tolerance below half the cameras' period is safe always. Pairs
    come out in the order of their stamps.

    Args:
        tolerance_ns: largest stamp difference within a pair; 0 pairs equal stamps only.
        depth: items remembered per stream.
        counts: to go on counting in.
    """

    def __init__(self, tolerance_ns: int = 0, depth: int = 10, counts: PairingCounts | None = None) -> None:
        if tolerance_ns < 0 or depth < 1:
            raise ValueError(f"tolerance must be >= 0 ns and depth >= 1: got {tolerance_ns} and {depth}")
        self.tolerance_ns = tolerance_ns
        self.depth = depth
        self.counts = counts or PairingCounts([0, 0])
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a pause: no item waits, and nothing is known of the streams."""
        self._waiting: tuple[dict[int, Any], dict[int, Any]] = ({}, {})  # stamp -> item, in the order of arrival
        self._periods: tuple[deque[int], deque[int]] = (deque(maxlen=PERIODS_KEPT), deque(maxlen=PERIODS_KEPT))
        self._last: list[int | None] = [None, None]  # stamps
        self._late_in_a_row = [0, 0]
        self._last_pair: list[int] | None = None

    def add(self, side: int, stamp_ns: int, item: Any) -> tuple[Any, Any] | None:
        """Take an item of `side` (LEFT or RIGHT); return (left item, right item) when it completes a pair."""
        counts = self.counts
        counts.received[side] += 1
        counts.same_stamp[side] = counts.same_stamp[side] + 1 if stamp_ns == counts.last_stamp_ns[side] else 0
        counts.last_stamp_ns[side] = stamp_ns
        if not self._accept_stamp(side, stamp_ns):
            return None
        waiting, other = self._waiting[side], self._waiting[1 - side]
        partner = self._nearest(other, stamp_ns)
        if partner is None:
            if waiting.pop(stamp_ns, None) is not None:  # a duplicate replaces the first
                self.counts.unpaired += 1
            waiting[stamp_ns] = item
            while len(waiting) > self.depth:
                del waiting[next(iter(waiting))]
                self.counts.unpaired += 1
            return None
        pair = (item, other.pop(partner)) if side == LEFT else (other.pop(partner), item)
        self._last_pair = [stamp_ns, partner] if side == LEFT else [partner, stamp_ns]
        self._forget_older()
        self.counts.paired += 1
        self.counts.nearest_partner_ns = None
        return pair

    def _accept_stamp(self, side: int, stamp_ns: int) -> bool:
        """Keep track of the stream's time; False for a message that comes too late to be of use."""
        last = self._last[side]
        if last is not None and last - stamp_ns > TIME_JUMP_NS:
            self._reset_after_time_jump(side)
        if self._last_pair is not None and stamp_ns <= self._last_pair[side]:
            self._late_in_a_row[side] += 1
            if self._late_in_a_row[side] < LATE_IN_A_ROW:
                self.counts.late += 1
                return False
            self._reset_after_time_jump(side)
        self._late_in_a_row[side] = 0
        last, self._last[side] = self._last[side], stamp_ns
        if last is not None and stamp_ns > last:
            self._periods[side].append(stamp_ns - last)
        return True

    def _reset_after_time_jump(self, side: int) -> None:
        """Time was set back on `side`; what the other side holds is of the old time unless it went back first."""
        self.counts.time_jumps += 1
        self._last[side] = None
        self.counts.unpaired += len(self._waiting[side])
        self._waiting[side].clear()
        self._late_in_a_row[side] = 0
        self._last_pair = None

    def _nearest(self, candidates: dict[int, Any], stamp_ns: int) -> int | None:
        if stamp_ns in candidates:
            return stamp_ns
        if not candidates:
            return None
        nearest = min(candidates, key=lambda other: abs(other - stamp_ns))
        difference = abs(nearest - stamp_ns)
        periods = [sorted(p)[len(p) // ODD_PERIODS] for p in self._periods if len(p) >= PERIODS_TO_TRUST]
        if difference <= self.tolerance_ns and periods and 2 * difference < min(periods):
            return nearest
        self.counts.nearest_partner_ns = difference
        return None

    def _forget_older(self) -> None:
        assert self._last_pair is not None
        for side in (LEFT, RIGHT):
            for stamp in [s for s in self._waiting[side] if s <= self._last_pair[side]]:
                del self._waiting[side][stamp]
                self.counts.unpaired += 1


class StereoSynchronizer(SimpleFilter):  # type: ignore[misc]
    """A message_filters filter: two inputs of stamped messages, output ``callback(left, right)``.

    Args:
        left: a filter, such as message_filters.Subscriber.
        right: a filter.
        tolerance_s: largest stamp difference within a pair; 0 pairs equal stamps only.
        depth: messages remembered per view.
        counts: to go on counting in.
    """

    def __init__(
        self,
        left: SimpleFilter,
        right: SimpleFilter,
        tolerance_s: float = 0.0,
        depth: int = 10,
        counts: PairingCounts | None = None,
    ) -> None:
        super().__init__()
        self.matcher = PairMatcher(round(tolerance_s * 1e9), depth, counts)
        left.registerCallback(self.add, LEFT)
        right.registerCallback(self.add, RIGHT)

    def add(self, message: Any, side: int) -> None:
        """Take one message; no lock is held while the callbacks run."""
        pair = self.matcher.add(side, stamp_ns(message), message)
        if pair is not None:
            self.signalMessage(*pair)


def stamp_ns(message: Any) -> int:
    """Header stamp of a message in nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
