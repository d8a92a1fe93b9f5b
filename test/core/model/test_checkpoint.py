import pickle

import pytest
import torch
from safetensors.torch import save_file
from test_network import SMALL, randomised

from apanet_core.model.checkpoint import bundled_models, load_model, save_checkpoint


def test_checkpoint_round_trip_preserves_config_and_output(tmp_path):
    model = randomised(SMALL)
    save_checkpoint(model, tmp_path / "model.safetensors", recipe="none")
    loaded = load_model(tmp_path / "model.safetensors")
    left, right = torch.rand(1, 3, 32, 48), torch.rand(1, 3, 32, 48)
    assert loaded.config == SMALL
    assert not loaded.training
    assert torch.equal(loaded(left, right)[0], model(left, right)[0])
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]  # nothing temporary stays


def test_bundled_tiny_model_loads():
    assert "tiny" in bundled_models()
    assert load_model("tiny").config.stem_stride == 4


def test_load_model_other_files_are_refused(tmp_path):
    save_checkpoint(randomised(SMALL), tmp_path / "good.safetensors")
    bad = tmp_path / "bad.safetensors"

    bad.write_bytes((tmp_path / "good.safetensors").read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_model(bad)

    bad.write_bytes(pickle.dumps({"net": "anything"}))
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_model(bad)

    save_file({"weight": torch.zeros(3)}, bad)
    with pytest.raises(ValueError, match="not a checkpoint of this package"):
        load_model(bad)

    save_file({"weight": torch.zeros(3)}, bad, {"apanet_config": '{"channels": 3}'})
    with pytest.raises(ValueError, match="config that cannot be read"):
        load_model(bad)


def test_load_model_wrong_tensors_are_refused(tmp_path):
    model = randomised(SMALL)
    path = tmp_path / "model.safetensors"
    save_checkpoint(model, path)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    for change, message in (
        (lambda t: t.pop("project_in.weight"), "lacks the tensor 'project_in.weight'"),
        (
            lambda t: t.update({"project_in.bias": torch.zeros(9)}),
            r"'project_in.bias' should have shape \(8,\), has \(9,\)",
        ),
        (lambda t: t.update({"extra": torch.zeros(9)}), "extra tensor 'extra'"),
        (lambda t: t["project_in.bias"].fill_(float("nan")), "NaN"),
    ):
        changed = {k: v.clone() for k, v in tensors.items()}
        change(changed)
        save_file(changed, path, metadata)
        with pytest.raises(ValueError, match=message):
            load_model(path)


def test_load_model_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="comes without weights: choose one of small, small-mono, tiny"):
        load_model("paper")
    with pytest.raises(ValueError, match="unknown preset 'tny'"):
        load_model("tny")


def test_load_model_max_disparity_overrides_config():
    assert load_model("tiny", max_disparity=64).config.max_disparity == 64
    assert load_model("tiny", max_disparity=0).config.max_disparity == load_model("tiny").config.max_disparity
