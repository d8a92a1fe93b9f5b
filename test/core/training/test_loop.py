"""Tests of the training loop."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from equal_runs import assert_equal_runs

from apanet_core.data.synthetic import SyntheticRain
from apanet_core.images.files import write_image
from apanet_core.model.checkpoint import load_model
from apanet_core.model.config import ModelConfig
from apanet_core.rain.records import per_sample
from apanet_core.rain.streaks import Streaks
from apanet_core.training.config import DataConfig, Phase, TrainConfig
from apanet_core.training.loop import train
from apanet_core.training.objectives import build_objective
from apanet_core.training.schedule import learning_rate


def test_training_reaches_validation_gain_and_saves_loadable_best(config, tmp_path, monkeypatch):
    monkeypatch.setattr("apanet_core.rain.random_weather.SHARES", {"dry": 0, "glass": 0, "drops": 0, "streaks": 1})
    shower = Streaks(cover=(0.3,), length_px=20, width_px=1.5, strength=0.6)
    monkeypatch.setattr(
        "apanet_core.rain.random_weather.random_streaks", lambda random: per_sample(shower, random.batch, random.device)
    )
    for share in ("ONE_DRY", "BLOCKED"):
        monkeypatch.setattr(f"apanet_core.rain.samples.{share}", 0.0)
    run = config(tmp_path, steps=150, learning_rate=3e-3, ema=0.9, validate_every=50)
    best = train(run)
    events = list(tmp_path.glob("events.out.tfevents.*"))
    assert events
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(tmp_path))
    log.Reload()
    gains = [event.value for event in log.Scalars("validation/gain")]
    assert gains[-1] > 1  # dB over the rainy input
    assert load_model(best).config == run.model


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_matching_network_lowers_attention_loss(config, tmp_path, precision, monkeypatch):
    monkeypatch.setattr("apanet_core.rain.random_weather.SHARES", {"dry": 1, "glass": 0, "drops": 0, "streaks": 0})
    model = ModelConfig(
        4, (8, 16), (1, 1), (1,), 4, (2,), (), max_disparity=32, matching_channels=16, fusion_channels=8
    )
    train(config(tmp_path, model=model, steps=120, learning_rate=3e-3, warmup_steps=5, precision=precision))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(tmp_path))
    log.Reload()
    attention = [event.value for event in log.Scalars("attention")]
    assert sum(attention[-4:]) / 4 < 0.85 * attention[0]
    assert set(log.Tags()["scalars"]) >= {"estimate", "disparity"}


def test_training_non_finite_loss_stops_run_and_saves_batch(config, tmp_path):
    with pytest.raises(FloatingPointError, match=r"at step \d+.*not_finite.pt"):
        train(config(tmp_path, learning_rate=float("inf"), warmup_steps=0, clip_norm=1e30))
    kinds = ("rainy_{}", "clean_{}", "{}_disparity", "{}_judged")
    assert set(torch.load(tmp_path / "not_finite.pt")) == {k.format(side) for k in kinds for side in ("left", "right")}


def test_learning_rate_warms_up_and_falls_to_final_value(config, tmp_path):
    run = config(tmp_path, steps=1000, warmup_steps=100)
    rates = [learning_rate(step, run, step / 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(run.learning_rate / 100, rel=0.01)
    assert max(rates) == pytest.approx(run.learning_rate, rel=0.05)
    assert rates[-1] == pytest.approx(run.final_learning_rate, rel=0.01)
    assert rates[100:] == sorted(rates[100:], reverse=True)


def test_training_phases_change_batch_shape_and_resume(config, tmp_path):
    phases = [Phase(4, (32, 64), 3), Phase(6, (64, 64), 1)]
    seen = []

    def note(objective):
        def call(network, batch):
            seen.append(tuple(batch["rainy_left"].shape))
            if len(seen) == 7:
                raise KeyboardInterrupt
            return objective(network, batch)

        return call

    run = config(tmp_path / "cut", phases=phases, checkpoint_every=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apanet_core.training.loop.build_objective", lambda *of: note(build_objective(*of)))
        with pytest.raises(KeyboardInterrupt):
            train(run)
    assert seen == [(3, 3, 32, 64)] * 4 + [(1, 3, 64, 64)] * 3
    train(run)
    train(config(tmp_path / "whole", phases=phases, checkpoint_every=3))
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_training_accumulated_batches_equal_large_batch(config, tmp_path):
    losses = {"charbonnier": 1.0}
    train(config(tmp_path / "large", batch_size=4, losses=losses))
    train(config(tmp_path / "small", batch_size=2, accumulate=2, losses=losses))
    assert_equal_runs(tmp_path / "large", tmp_path / "small", atol=1e-5)


def test_training_two_processes_equal_single_process_double_batch(config, photos, tmp_path):
    changes = {"external_attention_eps": 1e9}  # a branch without gradients, as in published checkpoints
    one = config(tmp_path / "one", batch_size=4)
    train(dataclasses.replace(one, model=dataclasses.replace(one.model, **changes)))
    options = ["--config", str(tmp_path / "run.yaml"), "--data.photos", f"[{photos}]", "--data.size", "[32,64]"]
    options += ["--data.workers", "0", "--steps", "12", "--batch_size", "2", "--validation_pairs", "4"]
    options += ["--validate_every", "6", "--checkpoint_every", "5", "--device", "cpu", "--out", str(tmp_path / "two")]
    shape = dataclasses.asdict(config(tmp_path).model) | changes
    (tmp_path / "run.yaml").write_text(json.dumps({"model": shape}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "-m", "apanet_core.commands.main", "train", *options],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert_equal_runs(tmp_path / "one", tmp_path / "two", atol=1e-5)


def test_train_config_without_data_is_refused(tmp_path):
    with pytest.raises(ValueError, match="either photos .* or pairs"):
        TrainConfig(tmp_path, DataConfig())


def test_training_phase_size_overrides_data_size(config, tmp_path):
    for folder in ("rain_left", "rain_right", "gt_left", "gt_right"):
        (tmp_path / "pairs" / folder).mkdir(parents=True)
        for index in range(12):
            write_image(tmp_path / "pairs" / folder / f"{index}.png", np.full((40, 70, 3), 9 * index, np.uint8))
    run = config(tmp_path / "run", phases=[Phase(2, (32, 64), 1)])
    run.data = DataConfig(pairs=tmp_path / "pairs", size=(128, 128), workers=0)
    assert train(run).is_file()
    run = config(tmp_path / "other", phases=[Phase(2, (128, 128), 1)])
    run.data = DataConfig(pairs=tmp_path / "pairs", size=(32, 64), workers=0)
    with pytest.raises(ValueError, match="a crop of 128x128 does not fit"):
        train(run)


def test_training_init_with_other_eps_is_refused(config, tmp_path):
    best = train(config(tmp_path / "first", steps=1))
    other = dataclasses.replace(config(tmp_path).model, external_attention_eps=1e9)
    with pytest.raises(ValueError, match="external_attention_eps 1e-09, this run has 1000000000.0"):
        train(dataclasses.replace(config(tmp_path / "second", init=best), model=other))


def test_training_non_finite_gradient_stops_run(config, tmp_path):
    def explode(objective):
        def call(network, batch):
            loss, terms = objective(network, batch)
            loss.register_hook(lambda gradient: gradient * float("inf"))
            return loss, terms

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apanet_core.training.loop.build_objective", lambda *of: explode(build_objective(*of)))
        with pytest.raises(FloatingPointError, match="the gradient is .* at step 0"):
            train(config(tmp_path))
    assert (tmp_path / "not_finite.pt").exists()


def test_training_clip_norm_zero_disables_clipping(config, tmp_path):
    train(config(tmp_path / "off", clip_norm=0.0))
    train(config(tmp_path / "far", clip_norm=1e9))
    for off, far in zip(*(torch.load(tmp_path / r / "last.ckpt")["model"].values() for r in ("off", "far"))):
        assert torch.equal(off, far)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps, batch_size and size must be at least 1"),
        ({"validate_every": 0}, "validate_every must be at least 1"),
        ({"clip_norm": -1.0}, "clip_norm not below 0"),
        ({"precision": "bf16-true"}, "precision must be one of 32-true, bf16-mixed, 16-mixed"),
    ],
)
def test_train_config_invalid_values_are_refused(config, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        config(tmp_path, **change)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_training_cuda_without_gpu_is_refused(config, tmp_path):
    with pytest.raises(ValueError, match="needs a CUDA build of torch and a GPU"):
        train(config(tmp_path, device="cuda"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": {"l2": 1.0}}, "losses must name some of charbonnier"),
        ({"learning_rate": -1.0}, "learning_rate must not be below 0"),
        ({"init": "nowhere.safetensors"}, "nowhere.safetensors"),
    ],
)
def test_training_bad_options_leave_no_folder(config, tmp_path, change, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train(config(tmp_path / "run", **change))
    assert not (tmp_path / "run").exists()


def test_training_loader_error_is_reported_in_one_line(config, tmp_path):
    for folder in ("rain_left", "rain_right", "gt_left", "gt_right"):
        (tmp_path / "pairs" / folder).mkdir(parents=True)
        for index in range(2):
            write_image(tmp_path / "pairs" / folder / f"{index}.png", np.zeros((40 - 10 * index, 70, 3), np.uint8))
    run = config(tmp_path / "run")
    run.data = DataConfig(pairs=tmp_path / "pairs", size=(32, 64), workers=1)
    with pytest.raises(ValueError, match="1.png: a crop of 64x32 does not fit an image of 70x30") as caught:
        train(run)
    assert "\n" not in str(caught.value)


def test_training_killed_loader_raises_memory_error(config, tmp_path, monkeypatch):
    run = config(tmp_path)
    run.data.workers = 1
    original, here = SyntheticRain.__getitems__, os.getpid()

    def samples(self, indices):
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, indices)

    monkeypatch.setattr(SyntheticRain, "__getitems__", samples)
    with pytest.raises(MemoryError, match=r"process that prepares samples was killed.*data.workers"):
        train(run)


def test_training_compile_without_compiler_is_refused(config, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler.*apt install g\+\+"):
        train(config(tmp_path, compile=True))
