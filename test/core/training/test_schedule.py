import itertools

import pytest
import torch

from apanet_core.training.loop import train
from apanet_core.training.schedule import learning_rate


@pytest.fixture
def clock(monkeypatch):
    """A second passes whenever somebody looks at the clock."""
    ticks = itertools.count(100.0)
    monkeypatch.setattr("apanet_core.training.schedule.monotonic", lambda: next(ticks))


def rates_of(run, monkeypatch):
    """Train, and note the learning rate of every step."""
    from apanet_core.training import loop

    rates = []

    def note(step, config, progress):
        rates.append(loop_learning_rate(step, config, progress))
        return rates[-1]

    loop_learning_rate = loop.learning_rate
    with monkeypatch.context() as patch:
        patch.setattr(loop, "learning_rate", note)
        train(run)
    return rates


def test_training_minutes_limit_ends_run_and_saves_weights(config, tmp_path, clock, monkeypatch):
    run = config(tmp_path, minutes=1.0, steps=1, warmup_steps=0, validate_every=1000, checkpoint_every=1000)
    rates = rates_of(run, monkeypatch)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert 20 <= state["step"] == len(rates) <= 30  # two looks at the clock a step, and some around them
    assert state["seconds"] <= 64
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.02 * rates[0]
    assert (tmp_path / "best.safetensors").exists()


def test_training_minutes_resumed_run_uses_remaining_time(config, tmp_path, clock, monkeypatch):
    run = config(tmp_path, minutes=1.0, warmup_steps=0, validate_every=1000, checkpoint_every=4)
    whole = len(rates_of(config(tmp_path / "whole", minutes=1.0, warmup_steps=0, checkpoint_every=1000), monkeypatch))

    def cut(step, *_):
        if step == 9:
            raise KeyboardInterrupt
        return 1e-3

    with monkeypatch.context() as patch:
        patch.setattr("apanet_core.training.loop.learning_rate", cut)
        with pytest.raises(KeyboardInterrupt):
            train(run)
    before = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert before["step"] == 8
    rest = rates_of(run, monkeypatch)
    assert 0.4 * whole < len(rest) < whole - 5
    assert rates_of(run, monkeypatch) == []  # nothing is left


def test_warmup_of_run_by_the_clock_ends_at_a_twentieth(config, tmp_path):
    run = config(tmp_path, minutes=1.0, warmup_steps=200)
    assert learning_rate(0, run, 0.0) < 0.01 * run.learning_rate
    assert learning_rate(5, run, 0.025) == pytest.approx(0.5 * run.learning_rate, rel=0.01)
    assert learning_rate(10, run, 0.05) > 0.99 * run.learning_rate
    assert learning_rate(50, config(tmp_path, warmup_steps=200), 0.5) < 0.2 * run.learning_rate


def test_run_saves_after_some_minutes_whatever_its_speed(config, tmp_path, clock, monkeypatch):
    from apanet_core.training import loop, schedule

    saved = []
    monkeypatch.setattr(schedule, "SAVE_EVERY_S", 5.0)
    monkeypatch.setattr(loop, "save_last", lambda fabric, config, state, schedule: saved.append(state["step"]))
    train(config(tmp_path, steps=12, checkpoint_every=1000))
    assert len(saved) >= 2
    assert saved[-1] == 12


def test_train_config_minutes_with_phases_or_zero_is_refused(config, tmp_path):
    from apanet_core.training.config import Phase

    with pytest.raises(ValueError, match="give minutes or phases"):
        config(tmp_path, minutes=1.0, phases=[Phase(1, (32, 64), 1)])
    with pytest.raises(ValueError, match="minutes must be above 0"):
        config(tmp_path, minutes=0.0)


def test_training_minutes_too_short_for_step_raises_error(config, tmp_path, clock):
    with pytest.raises(ValueError, match=r"no step fits into 0.01 minutes: the data take \d+ s to read, a valid"):
        train(config(tmp_path, minutes=0.01))
