import cv2
import numpy as np
import pytest
import torch

from apanet_core.model.checkpoint import load_model
from apanet_core.model.config import ModelConfig
from apanet_core.training.config import DataConfig, TrainConfig
from apanet_core.training.loop import EpochSampler, learning_rate, train
from apanet_core.training.losses import charbonnier, dissimilarity, frequency, weighted_losses

TINY_NET = ModelConfig(
    stem_stride=4,
    channels=(8, 8),
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
    memory_units=4,
    external_attention_levels=(2,),
    parallax_levels=(2,),
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(13):
        small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index:02}.png"), cv2.resize(small, (320, 200), interpolation=cv2.INTER_CUBIC))
    return folder


def config(photos, out, **changes):
    data = DataConfig(photos=[photos], size=(32, 64), workers=0)
    values = {"steps": 12, "batch_size": 2, "validation_pairs": 4, "validate_every": 6, "checkpoint_every": 5}
    return TrainConfig(out, data, model=TINY_NET, **(values | changes))


def test_a_run_that_was_cut_off_continues_as_if_it_had_not_been(photos, tmp_path):
    train(config(photos, tmp_path / "whole"))
    cut = config(photos, tmp_path / "cut")

    class Killed(BaseException):
        pass

    def kill(step, _):
        if step == 8:  # three steps after the last checkpoint
            raise Killed
        return learning_rate(step, cut)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apanet_core.training.loop.learning_rate", kill)
        with pytest.raises(Killed):
            train(cut)
    train(cut)
    whole, resumed = (torch.load(tmp_path / run / "last.ckpt", weights_only=True) for run in ("whole", "cut"))
    assert whole["step"] == resumed["step"] == 12
    assert whole["best"] == resumed["best"]
    for part in ("model", "averaged"):
        for name, value in whole[part].items():
            assert torch.equal(value, resumed[part][name]), name


def test_training_lowers_the_loss_and_keeps_a_loadable_best(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("apanet_core.data.weather.KINDS", {"streaks": 1.0})
    best = train(config(photos, tmp_path, steps=150, learning_rate=3e-3, ema=0.9, validate_every=50))
    events = list(tmp_path.glob("events.out.tfevents.*"))
    assert events
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(tmp_path))
    log.Reload()
    gains = [event.value for event in log.Scalars("validation/gain")]
    assert gains[-1] > 0.3  # dB over the rainy input
    assert load_model(best).config == TINY_NET


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_batch(photos, tmp_path):
    with pytest.raises(FloatingPointError, match=r"at step \d+.*not_finite.pt"):
        train(config(photos, tmp_path, learning_rate=float("inf"), warmup_steps=0, clip_norm=1e30))
    assert set(torch.load(tmp_path / "not_finite.pt")) == {"rainy_left", "rainy_right", "clean_left", "clean_right"}


def test_sampler_visits_everything_once_an_epoch_from_any_start():
    order = list(EpochSampler(7, 0, 21, seed=3))
    assert [sorted(order[i : i + 7]) for i in (0, 7, 14)] == [list(range(7))] * 3
    assert order[:7] != order[7:14]
    for first in (1, 7, 16):
        assert list(EpochSampler(7, first, 21, seed=3)) == order[first:]


def test_learning_rate_warms_up_and_ends_at_its_final_value(photos, tmp_path):
    run = config(photos, tmp_path, steps=1000, warmup_steps=100)
    rates = [learning_rate(step, run) for step in range(1000)]
    assert rates[0] == pytest.approx(run.learning_rate / 100, rel=0.01)
    assert max(rates) == pytest.approx(run.learning_rate, rel=0.05)
    assert rates[-1] == pytest.approx(run.final_learning_rate, rel=3)
    assert rates[100:] == sorted(rates[100:], reverse=True)


def test_losses_are_zero_for_equal_images_and_grow_with_the_error():
    clean = torch.rand(2, 3, 32, 32)
    for loss in (charbonnier, frequency, dissimilarity):
        small, large = (loss(clean + scale * torch.randn_like(clean), clean) for scale in (0.01, 0.2))
        assert loss(clean, clean) < min(2e-3, small)
        assert small < large


def test_dissimilarity_is_one_minus_ssim_of_an_independent_implementation():
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    a = cv2.GaussianBlur(rng.uniform(size=(64, 64, 3)), (0, 0), 2)
    b = np.clip(a + rng.normal(0, 0.05, a.shape), 0, 1)
    tensors = [torch.from_numpy(x.transpose(2, 0, 1)[None]).float() for x in (a, b)]
    expected = structural_similarity(
        a, b, channel_axis=2, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert 1 - dissimilarity(*tensors).item() == pytest.approx(expected, abs=2e-3)


def test_unknown_losses_and_missing_data_are_refused(photos, tmp_path):
    with pytest.raises(ValueError, match="losses must name some of charbonnier.*got lpips"):
        weighted_losses(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), {"lpips": 1.0})
    with pytest.raises(ValueError, match="either photos .* or pairs"):
        TrainConfig(tmp_path, DataConfig())
