"""Explain missing pairs in one sentence, for the log and /diagnostics."""

from __future__ import annotations

import time
from collections.abc import Callable

from apanet_ros.stereo_sync import PairMatcher
from apanet_ros.subscriptions import SIDES
from apanet_ros.transport import PROFILE, profile_variable, uses_fast_dds

CLOCKS_DIFFER_NS = 1_000_000_000
LOST_SHARE = 0.05  # of the images of a view, above which a warning follows
SAME_STAMPS = 5  # images in a row with one stamp, after which the driver is reported


class PairingWatch:
    """Explains missing pairs from the images received and lost; only for the executor's thread.

    Args:
        matcher: the matcher that makes the pairs.
        topics: returns the names of the image topics.
        publishers: returns the number of publishers of left and of right images.
        after_s: seconds without a pair after which there is a problem.
        clock: returns monotonic time in seconds.
    """

    def __init__(
        self,
        matcher: PairMatcher,
        topics: Callable[[], str],
        publishers: Callable[[], list[int]],
        after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._matcher, self._topics, self._publishers = matcher, topics, publishers
        self._after_s, self._clock = after_s, clock
        self._losses = ""
        self.begin()
        self._begin_losses()

    def begin(self) -> None:
        """Restart the waiting time and the counts, on a pair or after a pause."""
        self._since = self._clock()
        self._received_before = list(self._matcher.counts.received)
        self._refused = dict.fromkeys(SIDES, 0)

    def _begin_losses(self) -> None:
        counts = self._matcher.counts
        self._losses_since, self._losses_before = self._clock(), (list(counts.received), list(counts.lost))

    def refused(self, side: str) -> None:
        """Count a refused image of `side`, "left" or "right"."""
        self._refused[side] += 1

    def problem(self) -> str:
        """Return why no pair has come for a while, which stamps are wrong or what is lost, and a remedy, or ""."""
        if unstamped := self._unstamped():
            return unstamped
        now = self._clock()
        if now - self._losses_since >= self._after_s:
            self._losses = self._describe_losses()
            self._begin_losses()
        if now - self._since < self._after_s or self._losses:
            return self._losses
        counts = self._matcher.counts
        left, right = (now - before for now, before in zip(counts.received, self._received_before))
        if any(self._refused.values()):
            reason = f"{self._refused['left']} left and {self._refused['right']} right images were refused"
        elif left == 0 or right == 0:
            reason = self._why_silent([left, right])
        else:
            reason = self._why_stamps_do_not_pair(counts.smallest_difference_ns)
        return f"no pairs: {left} left and {right} right images on {self._topics()}; {reason}"

    def _why_silent(self, received: list[int]) -> str:
        unpublished = [side for side, count, images in zip(SIDES, self._publishers(), received) if not count + images]
        if unpublished:
            return f"nobody publishes {' and '.join(unpublished)} images: start the camera, or remap the topic"
        silent = " and ".join(side for side, images in zip(SIDES, received) if not images)
        return f"{silent} images have a publisher, but none arrives: the camera sends none, or {_too_large()}"

    def _describe_losses(self) -> str:
        counts, sentences = self._matcher.counts, []
        received_before, lost_before = self._losses_before
        for number, side in enumerate(SIDES):
            missing = counts.lost[number] - lost_before[number]
            sent = counts.received[number] - received_before[number] + missing
            if missing > LOST_SHARE * sent:
                sentences.append(f"{missing} of {sent} {side} images")
        told = " and ".join(sentences)
        return f"{told} were lost on the way: this machine is overloaded, or {_too_large()}" if told else ""

    def _unstamped(self) -> str:
        """Return a warning for the views whose images all have one stamp, usually 0; else an empty text."""
        counts = self._matcher.counts
        sentences = [
            f"the {side} images all have the stamp {(counts.last_stamp_ns[number] or 0) / 1e9:g} s"
            for number, side in enumerate(SIDES)
            if counts.same_stamp[number] >= SAME_STAMPS
        ]
        return (
            f"{' and '.join(sentences)}: the driver does not stamp them, so images of two moments may pair"
            if sentences
            else ""
        )

    def _why_stamps_do_not_pair(self, apart_ns: int | None) -> str:
        tolerance_ns = self._matcher.tolerance_ns
        if apart_ns is None:
            return "no image of one view arrived while one of the other view waited"
        if apart_ns > CLOCKS_DIFFER_NS:
            return f"the stamps differ by {apart_ns / 1e9:.1f} s: synchronise the clocks of the cameras"
        differ = f"the stamps differ by {apart_ns / 1e6:.3f} ms"
        if apart_ns <= tolerance_ns:
            return f"{differ}, at least half the time between two images: trigger the cameras together"
        return (
            f"{differ}: {'raise tolerance_s' if tolerance_ns else 'set approximate_sync, and tolerance_s'} above that"
        )


def _too_large() -> str:
    if not uses_fast_dds():
        return "the middleware loses large images"
    return f"Fast DDS loses large images; start the cameras with {profile_variable()}={PROFILE}"
