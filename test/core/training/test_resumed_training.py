"""Tests of training runs that are interrupted and resumed."""

import dataclasses
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from equal_runs import assert_equal_runs

from apanet_core.model.checkpoint import find_checkpoint
from apanet_core.training.loop import train
from apanet_core.training.schedule import learning_rate


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_resumed_run_equals_uninterrupted_run(config, tmp_path, precision):
    changes = {"precision": precision, "losses": {"charbonnier": 1.0, "frequency": 0.05, "box_ssim": 0.2}}
    train(config(tmp_path / "whole", **changes))
    cut = config(tmp_path / "cut", **changes)

    class Killed(BaseException):
        pass

    def kill(step, config, progress):
        if step == 8:  # three steps after the last checkpoint
            raise Killed
        return learning_rate(step, config, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apanet_core.training.loop.learning_rate", kill)
        with pytest.raises(Killed):
            train(cut)
    train(cut)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_training_killed_process_resumes_to_uninterrupted_result(config, photos, tmp_path):
    """kill -9 at a moment of the machine's choosing, twice; the losses are those of a run left alone."""
    script = tmp_path / "run.py"
    script.write_text(
        "import pickle, sys\nfrom pathlib import Path\nfrom apanet_core.training.loop import train\n"
        "train(pickle.loads(Path(sys.argv[1]).read_bytes()))\n"
    )
    run = config(tmp_path / "killed", steps=20, checkpoint_every=1, validate_every=20)
    (tmp_path / "config").write_bytes(pickle.dumps(run))
    command = [sys.executable, str(script), str(tmp_path / "config")]
    last = run.out / "last.ckpt"
    for _ in range(2):
        before = last.stat().st_mtime_ns if last.exists() else 0
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not last.exists() or last.stat().st_mtime_ns == before):
            time.sleep(0.002)
        process.kill()
        process.wait()
        torch.load(last, weights_only=True)
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    train(config(tmp_path / "whole", steps=20, checkpoint_every=20, validate_every=20))
    assert_equal_runs(tmp_path / "whole", tmp_path / "killed")


def test_training_resume_with_other_config_is_refused(config, tmp_path):
    train(config(tmp_path, steps=2))
    other = dataclasses.replace(config(tmp_path).model, external_attention_eps=1e9)
    said = "a run with another model, learning_rate: .* model.external_attention_eps was 1e-09, is 1000000000.0; learn"
    with pytest.raises(ValueError, match=said):
        train(dataclasses.replace(config(tmp_path, steps=2, learning_rate=1e-4), model=other))
    assert train(config(tmp_path, steps=2, checkpoint_every=1, validate_every=1)).is_file()
    cored = dataclasses.replace(config(tmp_path).model, coring=4.0)  # acts on bytes, which training does not see
    assert train(dataclasses.replace(config(tmp_path, steps=2), model=cored)).is_file()
    (tmp_path / "last.ckpt").write_bytes((tmp_path / "last.ckpt").read_bytes()[:1000])
    with pytest.raises(ValueError, match="is damaged or not a run of this model"):
        train(config(tmp_path, steps=2))


def test_training_resume_from_other_bundled_weights_is_refused(config, tmp_path):
    train(dataclasses.replace(config(tmp_path, steps=1), model="tiny-mono", init=Path("tiny-mono")))
    shutil.copy(find_checkpoint("tiny-mono"), tmp_path / "copy.safetensors")
    train(dataclasses.replace(config(tmp_path, steps=1), model="tiny-mono", init=tmp_path / "copy.safetensors"))
    with pytest.raises(ValueError, match="a run with another init"):
        train(dataclasses.replace(config(tmp_path, steps=1), model="tiny-mono", init=tmp_path / "best.safetensors"))


def test_training_resume_after_photos_moved_is_accepted(config, photos, tmp_path):
    first = config(tmp_path / "run", steps=2)
    train(first)
    shutil.copytree(photos, tmp_path / "moved")
    moved = dataclasses.replace(first, data=dataclasses.replace(first.data, photos=[tmp_path / "moved"]))
    train(moved)
    next((tmp_path / "moved").iterdir()).unlink()
    with pytest.raises(ValueError, match="a run with another data"):
        train(moved)


def test_training_finished_run_with_more_steps_is_refused(config, tmp_path):
    train(config(tmp_path, steps=2))
    with pytest.raises(ValueError, match=r"phases\[0\].steps was 2, is 4"):
        train(config(tmp_path, steps=4))


def test_training_malicious_checkpoint_runs_no_code(config, tmp_path):
    class Hostile:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    train(config(tmp_path, steps=1))
    torch.save({"step": Hostile()}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="is damaged or not a run of this model"):
        train(config(tmp_path, steps=2))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_training_damaged_checkpoint_is_refused(config, tmp_path, content):
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match="last.ckpt is damaged or not a run of this model: choose another out"):
        train(config(tmp_path))


def test_training_finished_run_writes_deleted_best_again(config, tmp_path):
    best = train(config(tmp_path))
    best.unlink()
    assert train(config(tmp_path)) == best
    assert best.exists()
