from dataclasses import replace

import pytest
import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Rain
from apanet_core.rain.night import at_night
from apanet_core.rain.scenes import Scenes
from apanet_core.rain.splashes import splash
from apanet_core.rain.surfaces import Cameras
from apanet_core.rain.veil import _path_in_spray, transmission
from apanet_core.rain.weather import Weather, render_weather

SIZE = HEIGHT, WIDTH = 120, 240
HORIZON = 40
BATCH = 6


@pytest.fixture
def road():
    """A wall 36 m away above a road 1.5 m below the camera, both grey: d = b / h per row under the horizon."""
    cameras = Cameras(*(torch.full((BATCH,), value) for value in (600.0, 0.3, 120.0, float(HORIZON), 0.0)))
    rows = torch.arange(HEIGHT) + 0.5 - HORIZON
    disparity = (0.3 / 1.5 * rows).clamp(min=600 * 0.3 / 36)
    return Scenes(
        torch.full((BATCH, 2, 3, *SIZE), 90.0),
        disparity[:, None].expand(BATCH, 2, *SIZE).contiguous(),
        cameras,
    )


def depth_of(road):
    return 600 * 0.3 / road.disparity


def numbers(seed=0):
    return CounterRandom(seed, torch.arange(BATCH))


def test_splash_hits_road_at_same_points_of_both_views(road):
    share = splash(road, torch.full((BATCH,), 50.0), torch.ones(BATCH), numbers())
    wall = int(HORIZON + 600 * 1.5 / 36) - 6  # a jet rises by a few pixels
    assert share[:, :, :wall].max() == 0
    assert share[:, :, wall:].mean() > 1e-4
    left, right = share[:, 0], share[:, 1]
    for row in range(wall, HEIGHT, 7):
        d = round(float(road.disparity[0, 0, row, 0]))
        rolled = right[:, row].roll(d, dims=-1)[:, d + 4 : WIDTH - 4]
        there = left[:, row, d + 4 : WIDTH - 4]
        assert (rolled - there).abs().sum() < 0.8 * (rolled + there).sum() + 1e-3


def test_splash_is_hidden_by_nearer_object_in_other_view(road):
    wall = torch.full_like(road.disparity, 40.0)
    road.disparity[:, 1] = wall[:, 1]  # the right camera sees a wall 4.5 m away, and no road
    share = splash(road, torch.full((BATCH,), 50.0), torch.ones(BATCH), numbers())
    assert share[:, 0].max() > 0
    assert share[:, 1, :, 60:].max() == 0


def test_splash_off_axis_right_camera_keeps_depth(road):
    rate, amount = torch.full((BATCH,), 50.0), torch.ones(BATCH)
    before = splash(road, rate, amount, numbers())[:, 0]
    moved = replace(
        road, disparity=road.disparity + 12, cameras=replace(road.cameras, offset_px=torch.full((BATCH,), -12.0))
    )
    torch.testing.assert_close(splash(moved, rate, amount, numbers())[:, 0], before)


def test_splashes_grow_with_rate_and_need_rain(road):
    def drawn(rate):
        return splash(road, torch.full((BATCH,), rate), torch.ones(BATCH), numbers()).sum()

    assert drawn(50.0) > 1.3 * drawn(2.0) > 0
    wet, _ = render_weather(road, Weather(Rain(50.0, veil=0, splashes=1.0)), numbers())
    dry, _ = render_weather(road, Weather(Rain(50.0, veil=0)), numbers())
    changed = (wet != dry).any(2)
    assert changed[:, :, HORIZON + 25 :].any()
    assert not changed[:, :, :HORIZON].any()


def test_leaning_wall_is_no_ground(road):
    rows = torch.arange(HEIGHT) + 0.5
    wall = replace(road, disparity=(30 + 0.2 * rows)[:, None].expand(BATCH, 2, *SIZE).contiguous())
    assert splash(wall, torch.full((BATCH,), 50.0), torch.ones(BATCH), numbers()).max() == 0


def test_spray_lies_on_the_ground(road):
    nothing, spray = torch.zeros(BATCH), torch.full((BATCH,), 0.1)
    clear = transmission(road, nothing, nothing, spray, numbers()).mean((0, 1, 3))
    foot_of_wall = int(HORIZON + 600 * 1.5 / 36)
    assert clear[foot_of_wall] < 0.9 * clear[0]  # less at the top of the wall
    assert clear[foot_of_wall] < 0.9 * clear[-1]  # and less on the way to near ground
    assert torch.all(transmission(road, nothing, nothing, nothing, numbers()) == 1)


def test_path_in_spray_is_the_integral_of_its_density(road):
    path = _path_in_spray(road, depth_of(road))[0, 0, :, 0]
    for row in (5, HORIZON, 80, HEIGHT - 1):
        z = torch.linspace(0, depth_of(road)[0, 0, row, 0].item(), 2001)
        height = (1.5 - z * (row + 0.5 - HORIZON) / 600).clamp(min=0)
        torch.testing.assert_close(path[row], torch.trapezoid(torch.exp(-height / 0.7), z), rtol=0.01, atol=0)


def test_at_night_is_dark_and_lamps_have_disparity_of_scene(road):
    dark = at_night(road, numbers(3))
    assert dark.median() < 50
    assert dark.max() > 200
    assert dark.min() >= 0
    for sample in dark[:, :, :, : HORIZON - 5]:
        left, right = sample.amax(1)
        d = round(600 * 0.3 / 36)
        if left.max() > 200:
            assert (right[:, : WIDTH - d] - left[:, d:])[left[:, d:] > 200].abs().max() < 60


def test_glow_of_lamp_lights_rain_around_it(road):
    road.views[..., 10:30, 100:130] = 255.0
    rainy = [render_weather(road, Weather(Rain(80.0, mist_per_m=0.02, glow=glow)), numbers())[0] for glow in (0.0, 0.8)]
    near = [views[..., 10:30, 90:98].mean() - views[..., 10:30, :30].mean() for views in rainy]
    assert near[1] > near[0] + 2
