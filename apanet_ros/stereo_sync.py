"""Pair left and right messages by their stamps.

The synchronisers of message_filters have three problems that this one avoids. They hold a lock during callbacks, block
on stamps of the future after a bag has looped, and pair wrong frames after a drop if slop exceeds half a period.
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
TIME_JUMP_NS = 500_000_000  # a stamp that falls back further means that the clock was set back
LATE_IN_A_ROW = 3  # this number of late messages in a row means it too, for a bag shorter than that
PERIODS_KEPT = 100  # per stream; if both views drop frames for longer, the period is overestimated
PERIODS_TO_TRUST = 3  # periods needed in a stream before its period is estimated
ODD_PERIODS = 20  # one period in 20 may be too short, because a frame was stamped late


@dataclass
class PairingCounts:
    """Counters of the messages of both views.

    Attributes:
        received: messages received, [left, right].
        lost: messages that were sent and did not arrive, [left, right].
        paired: pairs made.
        unpaired: messages dropped without a partner, or replaced by a duplicate.
        late: messages not newer than the last pair.
        time_jumps: number of times that the clock went backwards.
        nearest_partner_ns: stamp difference from the last unpaired message of a view to the nearest waiting message of
            the other view in ns, [left, right]; None after a pair.
        same_stamp: messages in a row with the stamp of the previous one, [left, right].
        last_stamp_ns: stamp of the last message in ns, [left, right]; None before the first.
    """

    received: list[int]
    lost: list[int] = field(default_factory=lambda: [0, 0])
    paired: int = 0
    unpaired: int = 0
    late: int = 0
    time_jumps: int = 0
    nearest_partner_ns: list[int | None] = field(default_factory=lambda: [None, None])
    same_stamp: list[int] = field(default_factory=lambda: [0, 0])
    last_stamp_ns: list[int | None] = field(default_factory=lambda: [None, None])

    @property
    def smallest_difference_ns(self) -> int | None:
        """Smaller stamp difference of the two views: the first message of a true pair finds only older ones."""
        return min((difference for difference in self.nearest_partner_ns if difference is not None), default=None)


class PairMatcher:
    """Matches stamped items of two streams; independent of ROS.

    A pair is complete as soon as its second item arrives. With a tolerance, an item pairs with the nearest item of the
    other stream if their difference is also below half the frame period, so that no later item can be nearer. The
    period is the 5th percentile of the last 100 periods of the faster stream: with the shortest one, a frame stamped
    late would block the next 100 pairs. Before three periods, only equal stamps pair. The period is overestimated if a
    stream drops every other frame, so keep the tolerance below half the true period. Pairs are ordered by stamp.

    Args:
        tolerance_ns: largest stamp difference within a pair, in ns; 0 pairs equal stamps only.
        depth: largest number of waiting items per stream.
        counts: counters to continue; None starts new ones.
    """

    def __init__(self, tolerance_ns: int = 0, depth: int = 10, counts: PairingCounts | None = None) -> None:
        if tolerance_ns < 0 or depth < 1:
            raise ValueError(f"tolerance must be >= 0 ns and depth >= 1: got {tolerance_ns} and {depth}")
        self.tolerance_ns = tolerance_ns
        self.depth = depth
        self.counts = counts or PairingCounts([0, 0])
        self.forget()

    def forget(self) -> None:
        """Drop all waiting items and stream periods, for instance after a pause."""
        self._waiting: tuple[dict[int, Any], dict[int, Any]] = ({}, {})  # stamp -> item, in the order of arrival
        self._periods: tuple[deque[int], deque[int]] = (deque(maxlen=PERIODS_KEPT), deque(maxlen=PERIODS_KEPT))
        self._last: list[int | None] = [None, None]  # stamps
        self._late_in_a_row = [0, 0]
        self._stamps: tuple[deque[int], deque[int]] = (deque(maxlen=2), deque(maxlen=2))  # as they came
        self._steps_back = [0, 0]  # of the stamps, since the last pair
        self._doubted: list[tuple[int, list[dict[int, Any]]] | None] = [None, None]  # stamp far back, what waited
        self._last_pair: list[int] | None = None

    def add(self, side: int, stamp_ns: int, item: Any) -> tuple[Any, Any] | None:
        """Add an item of `side` (LEFT or RIGHT); return (left item, right item) if it completes a pair, else None."""
        counts = self.counts
        counts.received[side] += 1
        self._watch_steps(side, stamp_ns)
        counts.same_stamp[side] = counts.same_stamp[side] + 1 if stamp_ns == counts.last_stamp_ns[side] else 0
        counts.last_stamp_ns[side] = stamp_ns
        if not self._accept_stamp(side, stamp_ns):
            return None
        waiting, other = self._waiting[side], self._waiting[1 - side]
        partner = self._nearest(side, stamp_ns)
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
        self._steps_back, self._doubted = [0, 0], [None, None]
        self.counts.paired += 1
        self.counts.nearest_partner_ns = [None, None]
        return pair

    def _watch_steps(self, side: int, stamp_ns: int) -> None:
        """Drop the waiting items of both sides if the clock was set back; those of a side that stepped back first stay.

        Stamps come a second time then, and would pair with items of another moment. One stamp that is far off is no
        step: the next one near it decides.
        """
        stamps = self._stamps[side]
        if self._doubted[side] is None and stamp_ns > max(stamps, default=stamp_ns - 1):
            stamps.append(stamp_ns)
            return  # in order, as nearly all are
        near = max(TIME_JUMP_NS, 2 * _period_of(self._periods[side]))
        doubted, self._doubted[side] = self._doubted[side], None
        if doubted is not None and 0 < stamp_ns - doubted[0] <= near:
            self._drop(doubted[1])
        elif doubted is not None:
            self._steps_back[side] -= 1
        last = stamps[0] if stamps[-1] - stamps[0] > near else stamps[-1]
        stamps.append(stamp_ns)
        if stamp_ns > last:
            return
        other_first = self._steps_back[1 - side] > self._steps_back[side]
        self._steps_back[side] += 1
        waiting = [{} if s != side and other_first else dict(self._waiting[s]) for s in (LEFT, RIGHT)]
        if last - stamp_ns <= near:
            self._drop(waiting)
        else:
            self._doubted[side] = (stamp_ns, waiting)

    def _drop(self, items: list[dict[int, Any]]) -> None:
        for waiting, dropped in zip(self._waiting, items):
            for stamp, item in dropped.items():
                if waiting.get(stamp) is item:
                    del waiting[stamp]
                    self.counts.unpaired += 1

    def _accept_stamp(self, side: int, stamp_ns: int) -> bool:
        """Update the stream's period and detect time jumps; return False for a late message."""
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
        """Drop the waiting items of `side` after its clock was set back."""
        self.counts.time_jumps += 1
        self._last[side] = None
        self.counts.unpaired += len(self._waiting[side])
        self._waiting[side].clear()
        self._late_in_a_row[side] = 0
        self._last_pair = None

    def _nearest(self, side: int, stamp_ns: int) -> int | None:
        candidates = self._waiting[1 - side]
        if stamp_ns in candidates:
            return stamp_ns
        if not candidates:
            return None
        nearest = min(candidates, key=lambda other: abs(other - stamp_ns))
        difference = abs(nearest - stamp_ns)
        periods = [period for p in self._periods if (period := _period_of(p))]
        if difference <= self.tolerance_ns and periods and 2 * difference < min(periods):
            return nearest
        self.counts.nearest_partner_ns[side] = difference
        return None

    def _forget_older(self) -> None:
        assert self._last_pair is not None
        for side in (LEFT, RIGHT):
            for stamp in [s for s in self._waiting[side] if s <= self._last_pair[side]]:
                del self._waiting[side][stamp]
                self.counts.unpaired += 1


def _period_of(periods: deque[int]) -> int:
    """Return the period of a stream in ns, or 0 while it is unknown."""
    return sorted(periods)[len(periods) // ODD_PERIODS] if len(periods) >= PERIODS_TO_TRUST else 0


class StereoSynchronizer(SimpleFilter):  # type: ignore[misc]
    """A message_filters filter with two inputs of stamped messages and the output ``callback(left, right)``.

    Args:
        left: filter of left messages, such as message_filters.Subscriber.
        right: filter of right messages.
        tolerance_s: largest stamp difference within a pair, in s; 0 pairs equal stamps only.
        depth: largest number of waiting messages per view.
        counts: counters to continue; None starts new ones.
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
        """Add a message of `side` (LEFT or RIGHT); the callbacks run without a lock."""
        pair = self.matcher.add(side, stamp_ns(message), message)
        if pair is not None:
            self.signalMessage(*pair)


def stamp_ns(message: Any) -> int:
    """Return the header stamp of a message in nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
