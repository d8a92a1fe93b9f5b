"""Tests of explanations for missing pairs, without a node."""

import re

import pytest

from apanet_ros.pairing_watch import SAME_STAMPS, PairingWatch
from apanet_ros.stereo_sync import LEFT, RIGHT, PairMatcher

MS = 10**6
NOW = 1_750_000_000 * 10**9


def watch_of(matcher, publishers=(0, 0)):
    """Return a watch whose waiting time has passed."""
    times = iter([0.0])
    return PairingWatch(matcher, lambda: "/left, /right", lambda: publishers, 5.0, clock=lambda: next(times, 100.0))


def feed(matcher, *stamps):
    """Add images of both views with `stamps` (left, right); None skips an image."""
    for left, right in stamps:
        for side, stamp in ((LEFT, left), (RIGHT, right)):
            if stamp is not None:
                matcher.add(side, stamp, None)


@pytest.mark.parametrize(
    ("stamps", "reason"),
    [
        (
            [],
            "0 left and 0 right images on /left, /right; nobody publishes left and right images: start the camera, or",
        ),
        ([(NOW, None)], "1 left and 0 right images on /left, /right; nobody publishes right images"),
        ([(NOW, NOW + 3 * MS)], "the stamps differ by 3.000 ms: set approximate_sync, and tolerance_s above that"),
        ([(NOW, NOW + 5 * 10**9)], "the stamps differ by 5.0 s: synchronise the clocks of the cameras"),
    ],
)
def test_missing_pairs_are_explained_by_received_images(stamps, reason):
    matcher = PairMatcher()
    watch = watch_of(matcher)
    feed(matcher, *stamps)
    assert reason in watch.problem()


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        (
            0,
            0,
            "the left images all have the stamp 0 s and the right images all have the stamp 0 s: the driver does not",
        ),
        (0, NOW, "the left images all have the stamp 0 s: the driver does not stamp them"),
        (NOW, 7 * 10**9, "the right images all have the stamp 7 s: the driver does not stamp them"),
    ],
)
def test_constant_stamps_are_reported_even_if_pairs_form(left, right, reason):
    matcher = PairMatcher()
    watch = PairingWatch(matcher, lambda: "", lambda: [1, 1], 5.0)
    moving = {NOW: 100 * MS}
    for n in range(SAME_STAMPS + 1):
        feed(matcher, (left + n * moving.get(left, 0), right + n * moving.get(right, 0)))
    assert reason in watch.problem()
    feed(matcher, (NOW + 10**9, NOW + 10**9))
    assert watch.problem() == ""


@pytest.mark.parametrize(
    ("publishers", "stamps", "reason"),
    [
        (
            (1, 1),
            [],
            "left and right images have a publisher, but none arrives.*FASTDDS_DEFAULT_PROFILES_FILE=.*fastdds.xml",
        ),
        ((1, 2), [(NOW, None)], "; right images have a publisher, but none arrives"),
        ((1, 0), [], "nobody publishes right images"),
        ((1, 0), [(NOW, None)], "nobody publishes right images"),
    ],
)
def test_lost_images_are_not_reported_as_silence(publishers, stamps, reason):
    matcher = PairMatcher()
    watch = watch_of(matcher, publishers)
    feed(matcher, *stamps)
    assert re.search(reason, watch.problem())


def test_share_of_lost_images_is_reported_while_pairs_form():
    matcher = PairMatcher()
    times = [0.0]
    watch = PairingWatch(matcher, lambda: "", lambda: [1, 1], 5.0, clock=lambda: times[0])
    feed(matcher, *[(NOW + n * 100 * MS, NOW + n * 100 * MS) for n in range(20)])
    matcher.counts.lost[RIGHT] += 5
    assert watch.problem() == ""
    times[0] = 6.0
    watch.begin()
    assert "5 of 25 right images were lost on the way" in watch.problem()
    times[0] = 12.0
    watch.begin()
    assert watch.problem() == ""


def test_duplicate_stamps_are_not_reported_as_constant():
    matcher = PairMatcher()
    feed(matcher, *[(NOW + n // 2 * 100 * MS, NOW + n * 100 * MS) for n in range(20)])
    assert "stamp them" not in watch_of(matcher).problem()


def test_refused_images_are_reported_as_reason():
    watch = watch_of(PairMatcher())
    watch.refused("left")
    assert "1 left and 0 right images were refused" in watch.problem()
