"""Tests of the bypass state machine and of `PairProcessor`, without a ROS graph."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import image_message
from rclpy.serialization import serialize_message

from apanet_core.images.encodings import decode
from apanet_ros.bypass import DryBypass, rain_level
from apanet_ros.image_messages import receive
from apanet_ros.pair_processing import PairProcessor
from apanet_ros.parameters import NodeParameters

SETTINGS = NodeParameters(bypass_when_dry=True, dry_threshold=1.0, wet_threshold=2.0, dry_pairs=3, recheck_s=5.0)
OFF = replace(SETTINGS, bypass_when_dry=False)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_bypass_starts_after_dry_pairs_in_row():
    bypass = DryBypass(Clock())
    assert [bypass.update(level, SETTINGS) for level in (0.5, 0.5, 1.5, 0.5, 0.5, 0.5)] == [False] * 5 + [True]


def test_level_between_thresholds_keeps_state():
    bypass = DryBypass(Clock())
    for _ in range(10):
        assert not bypass.update(1.5, SETTINGS)
    for _ in range(3):
        bypass.update(0.5, SETTINGS)
    for _ in range(10):
        assert bypass.update(1.5, SETTINGS)
    assert not bypass.update(2.5, SETTINGS)
    assert not bypass.update(1.5, SETTINGS)


def test_bypass_runs_network_every_recheck_period():
    clock = Clock()
    bypass = DryBypass(clock)
    for _ in range(3):
        assert bypass.should_run(SETTINGS)
        bypass.update(0.0, SETTINGS)
    runs = []
    for clock.now in np.arange(100.0, 121.0):
        runs.append(bypass.should_run(SETTINGS))
        if runs[-1]:
            bypass.update(0.0, SETTINGS)
    assert [i for i, ran in enumerate(runs) if ran] == [5, 10, 15, 20]


def test_bypass_parameter_false_ends_bypass_at_once():
    bypass = DryBypass(Clock())
    for _ in range(3):
        bypass.update(0.0, SETTINGS)
    assert not bypass.should_run(SETTINGS)
    assert bypass.should_run(OFF)
    assert not bypass.bypassing


@given(st.lists(st.floats(0, 4), max_size=60))
def test_wet_pairs_are_never_bypassed_when_measured(levels):
    bypass = DryBypass(Clock())
    for level in levels:
        if bypass.update(level, SETTINGS):
            assert level <= SETTINGS.wet_threshold


def test_level_is_mean_change_in_grey_levels():
    rainy = np.full((2, 41, 60, 3), 100, np.uint8)
    clean = rainy.copy()
    clean[0] += 3
    clean[1] -= 5
    assert rain_level(tuple(rainy), tuple(clean)) == 4.0
    assert rain_level(tuple(rainy), tuple(rainy)) == 0.0


def received(message):
    return receive(serialize_message(message), max_megapixels=1.0)


def noise_pair():
    return received(image_message(1, "left", seed=1)), received(image_message(1, "right", seed=2))


@pytest.mark.parametrize(
    ("derain", "reason"),
    [
        (lambda a, b: 1 / 0, "the network failed: division by zero"),
        (lambda a, b: (a[1:], b[1:]), r"expected \(48, 64, 3\) uint8, got \(47, 64, 3\) uint8"),
        (lambda a, b: (a.astype(np.float32), b), "got .* float32"),
        (lambda a, b: (np.zeros_like(a), b), "expected an image, got one flat colour, 0: look for NaN"),
    ],
)
def test_network_failure_is_reported_and_next_pair_is_derained(derain, reason):
    calls = []

    def failing_once(left, right):
        calls.append(1)
        return derain(left, right) if len(calls) == 1 else (left, right)

    process = PairProcessor(failing_once)
    first, second = (process(*noise_pair(), OFF) for _ in range(2))
    assert first.clean is None
    with pytest.raises(ValueError, match=reason):
        raise ValueError(first.failure)
    assert second.failure == ""
    np.testing.assert_array_equal(decode(second.clean[0]), decode(noise_pair()[0].message))


def test_flat_input_may_stay_flat():
    flat = image_message(1)
    flat.data = type(flat.data)("B", bytes([7]) * len(flat.data))
    assert PairProcessor(lambda a, b: (a, b))(received(flat), received(flat), OFF).failure == ""


def test_dry_pairs_pass_unchanged_until_recheck_detects_rain():
    clock, rain = Clock(), [0]

    def derain(left, right):
        return tuple(np.where(view > 100, view - rain[0], view).astype(np.uint8) for view in (left, right))

    process = PairProcessor(derain, clock)
    answers = [process(*noise_pair(), SETTINGS) for _ in range(5)]
    assert [a.bypassed for a in answers] == [False, False, True, True, True]
    assert all(a.clean is None for a in answers[2:])
    rain[0] = 20
    assert process(*noise_pair(), SETTINGS).bypassed  # not re-checked yet
    clock.now += 5.0
    answer = process(*noise_pair(), SETTINGS)
    assert not answer.bypassed
    assert answer.level > SETTINGS.wet_threshold
    assert not process(*noise_pair(), SETTINGS).bypassed
