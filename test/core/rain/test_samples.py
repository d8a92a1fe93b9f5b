import numpy as np
import pytest
import torch

from apanet_core.model.warping import warp_rows
from apanet_core.rain import samples, variation
from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.random_weather import random_weather
from apanet_core.rain.samples import render_samples
from apanet_core.rain.scenes import in_other_view, occluded, random_scenes
from apanet_core.rain.sensor import compress
from apanet_core.rain.splat import Segments, boxes, draw_segments
from apanet_core.rain.variation import misalign, recolour

SIZE = (64, 128)


@pytest.fixture(scope="module")
def atlas():
    rng = np.random.default_rng(0)
    smooth = [np.kron(rng.integers(0, 256, (30, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(4)]
    return PhotoAtlas(smooth)


def segment(**changes):
    values = {
        "image": torch.tensor([0]),
        "u0": 20.0,
        "v0": 10.0,
        "u1": 20.0,
        "v1": 40.0,
        "width": 1.0,
        "value": 1.0,
        "disparity": torch.inf,
        "fade": 0.0,
        "soft": torch.tensor([False]),
    } | changes
    return Segments(**{k: v if isinstance(v, torch.Tensor) else torch.tensor([float(v)]) for k, v in values.items()})


def test_render_samples_batch_and_order_do_not_change_sample(atlas):
    size = (50, 75)
    together = render_samples(atlas, size, 3, torch.arange(40))
    apart = render_samples(atlas, size, 3, torch.tensor([31, 2, 17]))
    for name, value in together.items():
        assert torch.equal(apart[name].nan_to_num(-1), value[[31, 2, 17]].nan_to_num(-1)), name
    other = render_samples(atlas, size, 4, torch.arange(2))
    assert not torch.equal(other["clean_left"], together["clean_left"][:2])


def test_counter_random_matches_distributions():
    random = CounterRandom(1, torch.arange(4))
    uniform, normal = random.uniform("a", 50_000), random.normal("b", 50_000)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 3e-3
    assert abs(uniform.std() - 12**-0.5) < 3e-3
    assert abs(normal.mean()) < 1e-2
    assert abs(normal.std() - 1) < 1e-2
    assert abs(torch.corrcoef(uniform)[0, 1]) < 2e-2
    counts = CounterRandom(1, torch.arange(5000)).counts("c", torch.full((5000,), 30.0)).float()
    assert abs(counts.mean() - 30) < 0.4
    assert abs(counts.std() - 30**0.5) < 0.3


def test_counter_random_seed_and_index_are_not_interchangeable():
    a, b = CounterRandom(5, torch.tensor([3])), CounterRandom(3, torch.tensor([5]))
    assert not torch.equal(a.uniform("x", 8), b.uniform("x", 8))


@pytest.mark.parametrize("mean", [0.1, 1.0, 5.0, 11.0, 13.0, 200.0])
def test_counter_random_counts_are_poisson(mean):
    counts = CounterRandom(2, torch.arange(20_000)).counts("c", torch.full((20_000,), mean)).float()
    assert counts.mean().item() == pytest.approx(mean, rel=0.07 if mean < 1 else 0.03)
    assert counts.var().item() == pytest.approx(mean, rel=0.07)


def test_random_scenes_right_view_matches_disparity(atlas):
    scenes = random_scenes(atlas, SIZE, CounterRandom(5, torch.arange(24)))
    left, right = scenes.views.unbind(1)
    disparity = scenes.disparity
    moved = warp_rows(torch.cat([left, right]), disparity.transpose(0, 1).flatten(0, 1)[:, None])
    difference = (moved - torch.cat([left, right])).abs().mean(1)
    seen = ~occluded(disparity).transpose(0, 1).flatten(0, 1)
    unmoved = (left - right).abs().mean(1)
    assert difference[seen].median() < 1 < unmoved.median()
    assert difference[seen].mean() < 0.2 * unmoved.mean()
    assert 0.02 < 1 - seen.float().mean() < 0.4
    assert disparity.min() >= 0


def test_misalign_disparity_follows_camera_errors(monkeypatch):
    monkeypatch.setattr(variation, "LUSTRE", 0.0)
    row = torch.arange(SIZE[1] + 8.0)
    ramp = (row * 1.5).expand(6, 2, 3, SIZE[0], -1)  # brightness tells the column
    exact = torch.stack([ramp[:, 0, ..., : SIZE[1]], ramp[:, 1, ..., 8:]], dim=1)  # x_right = x_left - 8
    views, disparity = misalign(exact, torch.full((6, 2, *SIZE), 8.0), CounterRandom(3, torch.arange(6)))
    left, right = views.unbind(1)
    both = torch.cat([left, right])

    def error(disparity):
        moved = warp_rows(both, disparity.transpose(0, 1).flatten(0, 1)[:, None])
        return (moved - both)[..., 16:-16].abs().mean((1, 2, 3))

    assert (disparity - 8).abs().max() > 1
    assert error(disparity).mean() < 0.3 * error(torch.full_like(disparity, 8.0)).mean()


def test_draw_segments_match_disparity_and_hide_behind_scene():
    disparity = torch.zeros(2, *SIZE)
    disparity[:, 30:] = 50.0  # something near in the lower part
    pair = Segments(
        torch.tensor([0, 1]),
        *(torch.tensor(v) for v in ([60.0, 40.0], [10.0, 10.0], [60.0, 40.0], [50.0, 50.0], [2.0, 2.0], [1.0, 1.0])),
        disparity=torch.tensor([20.0, 20.0]),
        fade=torch.zeros(2),
        soft=torch.tensor([False, False]),
    )
    left, right = draw_segments(pair, disparity)
    assert torch.allclose(left[:, 55:65], right[:, 35:45], atol=1e-4)  # 20 px to the left
    assert left[:29].sum() > 10
    assert left[32:].sum() == 0


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("angle", [0, 20, 45, 70, 90])
@pytest.mark.parametrize("width", [0.4, 1.0, 3.0, 8.0, 13.0, 120.0])
def test_draw_segments_adds_value_times_area(width, angle, soft):
    du, dv = 15 * np.sin(np.deg2rad(angle)), 15 * np.cos(np.deg2rad(angle))
    ends = {"u0": 400 - du, "v0": 400 - dv, "u1": 400 + du, "v1": 400 + dv}
    drawn = draw_segments(segment(width=width, soft=torch.tensor([soft]), **ends), torch.zeros(1, 800, 800))
    assert drawn.sum().item() == pytest.approx(width * (30 + width), rel=0.03)
    assert drawn.max() <= (1.25 if soft or width < 100 else 1.1)
    if width == 120 and not soft:
        assert drawn[0, 380:420, 380:420].min() > 0.9


def test_draw_segments_soft_fading_peak_is_in_middle():
    drawn = draw_segments(segment(width=5.0, fade=1.0, soft=torch.tensor([True])), torch.zeros(1, *SIZE))[0]
    assert drawn.argmax() // SIZE[1] in range(23, 27)
    assert drawn[25, 20] > drawn[25, 22] > drawn[25, 24]
    assert drawn[25, 20] > drawn[15, 20] > drawn[11, 20]


def test_dry_samples_equal_clean(atlas):
    many = torch.arange(64)
    batch = render_samples(atlas, SIZE, 2, many)
    drawn = random_weather(CounterRandom(2, many))
    dry = (drawn.rain.rate_mm_h == 0) & (drawn.streaks.cover == 0).all(1) & (drawn.glass.drops == 0)
    dry &= (batch["left_judged"] > 0) & (batch["right_judged"] > 0)
    assert 10 < dry.sum() < 32
    for side in ("left", "right"):
        assert torch.equal(batch[f"rainy_{side}"][dry], batch[f"clean_{side}"][dry])
        assert batch[f"rainy_{side}"][~dry].ne(batch[f"clean_{side}"][~dry]).any()


def test_special_samples_match_their_flags(atlas, monkeypatch):
    batch = render_samples(atlas, SIZE, 1, torch.arange(4), single_image=1.0)
    assert torch.equal(batch["rainy_left"], batch["rainy_right"])
    assert torch.all(batch["left_disparity"] == 0)
    monkeypatch.setattr(samples, "ONE_DRY", 0.0)
    batch = render_samples(atlas, SIZE, 1, torch.arange(12), single_image=0.0, blocked_view=1.0)
    assert torch.all(batch["left_judged"] + batch["right_judged"] >= 1)
    blocked = batch["left_judged"] == 0
    assert blocked.any()
    assert not blocked.all()
    assert torch.all(batch["left_disparity"][blocked].isnan().float().mean((1, 2)) > 0.05)
    monkeypatch.setattr(samples, "ONE_DRY", 1.0)
    batch = render_samples(atlas, SIZE, 1, torch.arange(12), single_image=0.0, blocked_view=0.0)
    same = [(batch[f"rainy_{s}"] == batch[f"clean_{s}"]).flatten(1).all(1) for s in ("left", "right")]
    assert torch.all(same[0] | same[1])


def test_finite_disparity_leads_to_same_point_of_other_view(atlas):
    """Also where a view is covered: no pixel has a match under the cover."""
    numbers = torch.arange(60)
    batch = render_samples(atlas, SIZE, 4, numbers, single_image=0.0, blocked_view=0.5)
    disparity = torch.stack([batch["left_disparity"], batch["right_disparity"]], dim=1)
    there, inside = in_other_view(disparity, disparity)
    known = disparity.isfinite()
    assert 0.3 < known.float().mean() < 0.9
    assert inside[known].all()
    judged = (batch["left_judged"] * batch["right_judged"] > 0)[:, None, None, None] & known
    agree = (there - disparity).abs() < 4  # the error of the calibration, and foliage
    assert agree[judged].float().mean() > 0.95
    views = torch.stack([batch["rainy_left"], batch["rainy_right"]], dim=1)
    black = (views == 2).all(2).float()
    partner, _ = in_other_view(black, disparity)
    covered = (black.mean((1, 2, 3)) > 0.05)[:, None, None, None] & known
    assert covered.any()
    assert partner[covered].mean() < 0.01


def test_nights_are_dark(atlas, monkeypatch):
    day = render_samples(atlas, SIZE, 4, torch.arange(16))["clean_left"].float().mean()
    monkeypatch.setattr("apanet_core.rain.random_weather.NIGHTS", 1.0)
    night = render_samples(atlas, SIZE, 4, torch.arange(16))["clean_left"].float().mean()
    assert night < 0.6 * day


def test_recolour_keeps_contrast_of_veiled_samples(monkeypatch):
    monkeypatch.setattr(variation, "PLAIN", 1.0)
    views = (torch.rand(8, 2, 3, *SIZE) * 255).round()
    plain, veiled = (
        recolour(views, CounterRandom(1, torch.arange(8)), torch.full((8,), flag)) for flag in (False, True)
    )
    assert plain.std() < 0.8 * veiled.std()


def test_compress_preserves_flat_blocks_and_loses_detail():
    flat = torch.full((1, 3, 16, 16), 90.0)
    assert (compress(flat, torch.tensor([75.0])) - flat).abs().max() <= 3
    noise = torch.rand(1, 3, 32, 32) * 255
    low, high = ((compress(noise, torch.tensor([q])) - noise).abs().mean() for q in (60.0, 97.0))
    assert high < low
    assert low > 3


def test_photo_atlas_mirrors_photo_beyond_border():
    photo = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    atlas = PhotoAtlas([photo])
    column, row = torch.meshgrid(torch.arange(-9, 9) + 0.5, torch.arange(6) + 0.5, indexing="xy")
    lines = atlas.lines(torch.zeros_like(column, dtype=torch.long), row, torch.ones_like(column))
    read = atlas.read(lines.at(torch.arange(column.numel())), column.flatten()).reshape(3, *column.shape)
    assert np.array_equal(read.permute(1, 2, 0).numpy(), np.concatenate([photo[:, ::-1], photo], axis=1))
    with pytest.raises(ValueError, match="at least one photograph"):
        PhotoAtlas([])


def test_counter_random_at_returns_numbers_of_uniform():
    random = CounterRandom(4, torch.arange(3))
    rows, numbers = torch.tensor([2, 0, 1, 2]), torch.tensor([7, 0, 3, 6])
    assert torch.equal(random.at("a", rows, numbers, low=2), random.uniform("a", 8, low=2)[rows, numbers])


def test_boxes_list_every_pixel_once():
    left, top, right, bottom = torch.tensor([[-3.0, 2.2, 50.0], [1.0, -9.0, 0.0], [2.0, 4.1, 60.0], [3.0, 0.5, 9.0]])
    box, column, row = boxes(left, top, right, bottom, (5, 6))
    listed = sorted(zip(box.tolist(), column.tolist(), row.tolist()))
    first = [(0, x, y) for x in range(2) for y in range(1, 3)]  # the third lies outside
    assert listed == [*first, *((1, x, 0) for x in range(2, 5))]


def test_render_samples_single_sample_matches_batch(atlas):
    together = render_samples(atlas, SIZE, 5, torch.arange(12))
    for number in range(12):
        alone = render_samples(atlas, SIZE, 5, torch.tensor([number]))
        for name, value in alone.items():
            torch.testing.assert_close(value[0], together[name][number], rtol=0, atol=0, equal_nan=True, msg=name)


def test_render_samples_large_batch_matches_small_ones(atlas):
    """From 32 values on, torch computes some functions in another way."""
    together = render_samples(atlas, (32, 48), 6, torch.arange(192))
    for first in range(0, 192, 12):
        apart = render_samples(atlas, (32, 48), 6, torch.arange(first, first + 12))
        for name, value in apart.items():
            expected = together[name][first : first + 12]
            torch.testing.assert_close(value, expected, rtol=0, atol=0, equal_nan=True, msg=name)
