import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import image_message, info_message

from apanet_ros.camera_info import CameraInfoCache, describe_mismatch
from apanet_ros.stereo_sync import LEFT, PERIODS_TO_TRUST, RIGHT, PairMatcher, StereoSynchronizer

MS = 1_000_000
PERIOD = 33 * MS


def feed(matcher, events):
    """Add `events` (side, stamp, item); return the resulting pairs."""
    return [pair for event in events if (pair := matcher.add(*event)) is not None]


def stream(side, frames, offset=0, jitter=()):
    """Return (side, stamp, frame number) of every frame; `jitter` is in ns per frame."""
    return [(side, n * PERIOD + offset + (jitter[n] if n < len(jitter) else 0), n) for n in frames]


def in_order_of_arrival(events, delays):
    return [e for _, e in sorted(zip([e[1] + d for e, d in zip(events, delays)], events), key=lambda x: x[0])]


frames = st.sets(st.integers(0, 30)).map(sorted)


@settings(max_examples=200, deadline=None)
@given(left=frames, right=frames, data=st.data())
def test_exact_pairing_makes_every_pair_and_no_other(left, right, data):
    """Equal stamps pair once and in order, with any dropped frames and any delay of one side."""
    events = stream(LEFT, left) + stream(RIGHT, right)
    lag = data.draw(st.integers(-5 * PERIOD, 5 * PERIOD), "how late the right side is")
    pairs = feed(PairMatcher(), in_order_of_arrival(events, [lag if e[0] == RIGHT else 0 for e in events]))
    assert pairs == [(n, n) for n in sorted(set(left) & set(right))]


@settings(max_examples=200, deadline=None)
@given(
    left=frames,
    right=frames,
    offset=st.integers(-8 * MS, 8 * MS),
    jitter=st.lists(st.integers(-2 * MS, 2 * MS), min_size=31, max_size=31),
    tolerance=st.integers(0, 13 * MS),
)
def test_nearest_pairing_never_pairs_different_frames(left, right, offset, jitter, tolerance):
    """The cameras have a common trigger, a constant offset, jitter and dropped frames."""
    events = sorted(stream(LEFT, left) + stream(RIGHT, right, offset, jitter), key=lambda e: e[1])
    pairs = feed(PairMatcher(tolerance), events)
    assert all(left_frame == right_frame for left_frame, right_frame in pairs)
    assert pairs == sorted(set(pairs))


@settings(max_examples=100, deadline=None)
@given(
    events=st.lists(st.tuples(st.sampled_from([LEFT, RIGHT]), st.integers(0, 3 * 10**9), st.integers()), max_size=80),
    tolerance=st.sampled_from([0, 5 * MS, 10**9]),
)
def test_arbitrary_stamps_keep_matcher_invariants(events, tolerance):
    """Pairs are within tolerance, no item is used twice, memory is bounded and counts add up."""
    matcher = PairMatcher(tolerance, depth=5)
    tagged = [(side, stamp, (index, stamp)) for index, (side, stamp, _) in enumerate(events)]
    pairs = feed(matcher, tagged)
    for (_, left_stamp), (_, right_stamp) in pairs:
        assert abs(left_stamp - right_stamp) <= tolerance
    for side in (LEFT, RIGHT):
        used = [pair[side][0] for pair in pairs]
        assert len(used) == len(set(used))
        assert all(events[index][0] == side for index in used)
    counts = matcher.counts
    waiting = sum(len(w) for w in matcher._waiting)
    assert waiting <= 10
    assert sum(counts.received) == len(events)
    assert len(events) == 2 * counts.paired + counts.unpaired + counts.late + waiting


def test_dropped_frame_does_not_shift_next_pairs():
    """The ApproximateTimeSynchronizer pairs left 2 with right 1 here."""
    left, right = stream(LEFT, range(10)), stream(RIGHT, [0, 1, 2, 3, 4, 6, 7, 8, 9], offset=3 * MS)
    pairs = feed(PairMatcher(30 * MS), sorted(left + right, key=lambda e: e[1]))
    assert pairs == [(n, n) for n in (3, 4, 6, 7, 8, 9)]  # the first frames come before a period is known


def test_equal_stamps_with_tolerance_pair_at_once():
    assert feed(PairMatcher(5 * MS), [(LEFT, 0, "l"), (RIGHT, 0, "r")]) == [("l", "r")]


def test_looped_bag_pairs_from_first_frame():
    once = [e for n in range(40) for e in stream(LEFT, [n]) + stream(RIGHT, [n])]
    matcher = PairMatcher()
    assert feed(matcher, once * 3) == [(n, n) for n in range(40)] * 3
    assert matcher.counts.time_jumps == 4


def test_looped_bag_shorter_than_jump_threshold_recovers():
    once = [e for n in range(8) for e in stream(LEFT, [n]) + stream(RIGHT, [n])]
    pairs = feed(PairMatcher(), once * 2)
    assert pairs[8:] == [(n, n) for n in range(2, 8)]


@settings(max_examples=300, deadline=None)
@given(
    periods=st.integers(2, 79),
    lost=st.sampled_from([LEFT, RIGHT]),
    first=st.sampled_from([LEFT, RIGHT]),
    lag=st.integers(0, 1),
    silent=st.booleans(),
    tolerance=st.sampled_from([0, 5 * MS]),
)
def test_clock_set_back_after_loss_pairs_no_frames_of_two_moments(periods, lost, first, lag, silent, tolerance):
    """The clock goes back after frame 79, of which one view is lost; then one view comes first, or alone."""
    before = [e for n in range(80) for e in stream(LEFT, [n]) + stream(RIGHT, [n]) if e[::2] != (lost, 79)]
    sides = {side: [(side, (n - periods) * PERIOD, n) for n in range(80, 160)] for side in (first, 1 - first)}
    after = [e for n in range(80) for e in (sides[first][n], sides[1 - first][max(0, n - lag)])]
    after = [e for e in after if not (silent and e[0] != first)]
    pairs = feed(PairMatcher(tolerance), before + after)
    assert all(left == right for left, right in pairs)
    assert silent or pairs[-1][0] >= 158


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_looped_bag_keeps_pairing(length):
    once = [e for n in range(length) for e in stream(LEFT, [n]) + stream(RIGHT, [n])]
    pairs = feed(PairMatcher(), once * 9)
    assert len(pairs) >= 2 * length
    assert all(left == right for left, right in pairs)


def test_future_stamp_does_not_block_pairing():
    events = [e for n in range(6) for e in stream(LEFT, [n]) + stream(RIGHT, [n])]
    events.insert(4, (LEFT, 10**12, "future"))
    assert len(feed(PairMatcher(), events)) == 6


def test_early_stamp_does_not_shorten_period():
    events = [e for n in range(60) for e in stream(LEFT, [n]) + stream(RIGHT, [n], 4 * MS)]
    events[40] = (LEFT, events[40][1] + 195 * MS, "ahead")
    assert len(feed(PairMatcher(10 * MS), events)) == 60 - PERIODS_TO_TRUST - 1  # the first ones, and that one


def test_late_stamp_costs_one_pair():
    """Its 3 ms before the next frame must not count as the period, which would block the next pairs."""
    events = [e for n in range(200) for e in stream(LEFT, [n]) + stream(RIGHT, [n], 4 * MS)]
    events[2 * 60] = (LEFT, 61 * PERIOD - 3 * MS, "late")
    events.sort(key=lambda event: event[1])
    pairs = feed(PairMatcher(10 * MS), events)
    assert pairs == [(n, n) for n in range(PERIODS_TO_TRUST, 200) if n != 60]


def test_silent_side_bounds_and_counts_waiting_items():
    matcher = PairMatcher(depth=5)
    assert feed(matcher, stream(LEFT, range(100))) == []
    assert matcher.counts.unpaired == 95


def test_unpaired_item_sets_nearest_difference():
    matcher = PairMatcher()
    feed(matcher, [(LEFT, 0, "l"), (RIGHT, 4 * MS, "r")])
    assert matcher.counts.smallest_difference_ns == 4 * MS
    matcher.add(LEFT, PERIOD, "its partner is still on the way")
    assert matcher.counts.smallest_difference_ns == 4 * MS
    matcher.add(RIGHT, PERIOD, "r")
    assert matcher.counts.smallest_difference_ns is None


class Stamped:
    def __init__(self, stamp_ns):
        sec, nanosec = divmod(stamp_ns, 10**9)
        self.header = type("Header", (), {"stamp": type("Time", (), {"sec": sec, "nanosec": nanosec})})


def test_synchronizer_is_filter_and_survives_failing_callback():
    from apanet_ros.stereo_sync import SimpleFilter

    left, right = SimpleFilter(), SimpleFilter()
    synchronizer = StereoSynchronizer(left, right)
    seen = []

    def callback(*pair):
        seen.append(pair)
        if len(seen) == 1:
            raise RuntimeError("user code")

    synchronizer.registerCallback(callback)
    for number in range(2):
        left.signalMessage(Stamped(number))
        try:
            right.signalMessage(Stamped(number))
        except RuntimeError:
            assert number == 0
    assert len(seen) == 2


def test_camera_info_is_found_by_stamp_else_newest():
    cache = CameraInfoCache()
    images = image_message(1), image_message(9)
    assert cache.for_image(images[0], (48, 64)) is None
    first, second = info_message(1), info_message(2)
    cache.add(first)
    cache.add(second)
    assert cache.for_image(images[0], (48, 64)) is first
    restamped = cache.for_image(images[1], (48, 64))
    assert (restamped.header, restamped.p.tolist()) == (images[1].header, second.p.tolist())
    assert cache.with_stamp_of(images[0]) is first
    assert cache.with_stamp_of(images[1]) is None
    assert second == info_message(2)  # the cached one is unchanged
    assert cache.for_image(images[1], (96, 128)) is None  # both cached messages are of the old size
    binned = info_message(3, size=(192, 256))
    binned.binning_x = binned.binning_y = 2
    cache.add(binned)
    assert cache.for_image(images[1], (96, 128)).width == 256


def test_camera_info_mismatch_is_described():
    fits, large = info_message(1), info_message(1, size=(480, 640))
    assert describe_mismatch({"left": fits, "right": fits}, (48, 64)) == ""
    assert describe_mismatch({"left": None, "right": fits}, (48, 64)) == "no CameraInfo for the left view yet"
    assert describe_mismatch({"left": None, "right": None}, (48, 64)).endswith("for the left and right view yet")
    wrong = "the CameraInfo of the right view is for 640x480 (size 640x480, roi 0x0, binning 0x0), "
    wrong += "its images are 64x48"
    assert describe_mismatch({"left": fits, "right": large}, (48, 64)) == wrong


def test_camera_info_of_other_size_is_restamped_and_described():
    cache, image = CameraInfoCache(), image_message(9)
    cropped = info_message(0)
    cropped.roi.height, cropped.roi.width = 47, 63
    cache.add(cropped)
    passed = cache.for_image(image, (48, 64))
    assert (passed.header, passed.roi) == (image.header, cropped.roi)
    said = describe_mismatch({"left": passed, "right": passed}, (48, 64))
    assert "is for 63x47 (size 64x48, roi 63x47, binning 0x0), its images are 64x48" in said


def test_camera_info_of_old_size_is_removed_on_size_change():
    cache, first = CameraInfoCache(), info_message(1)
    cache.add(first)
    assert cache.for_image(image_message(1), (48, 64)) is first
    assert cache.for_image(image_message(2, size=(96, 128)), (96, 128)) is None
