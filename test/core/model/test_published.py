"""Published checkpoints against an independent implementation of the published network."""

import pickle
from dataclasses import replace

import pytest
import torch
from naive_published import derain, random_state

from apanet_core.commands.main import main
from apanet_core.model.checkpoint import load_model
from apanet_core.model.network import APANet
from apanet_core.model.published import load_published


@pytest.fixture(scope="module")
def state():
    return random_state()


@pytest.mark.parametrize("size", [(64, 96), (32, 320)])
def test_imported_checkpoint_matches_published_network(state, size, tmp_path):
    torch.save({"net": state, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "published.pth")
    assert main(["import-checkpoint", str(tmp_path / "published.pth"), str(tmp_path / "ours.safetensors")]) == 0
    model = load_model(tmp_path / "ours.safetensors")
    assert model.config.external_attention_eps == 1e9
    left, right = torch.rand(1, 3, *size), torch.rand(1, 3, *size)
    with torch.no_grad():
        for got, want in zip(model(left, right), derain(state, left, right, eps=1e9)):
            assert (want - left).abs().max() > 0.1  # the weights do something
            torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


def test_published_weights_with_paper_eps_match_naive_network(state, tmp_path):
    torch.save(state, tmp_path / "published.pth")
    left, right = torch.rand(1, 3, 32, 48), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        dead, alive = (derain(state, left, right, eps)[0] for eps in (1e9, 1e-9))
        assert (dead - alive).abs().max() > 1e-2
        model = load_published(tmp_path / "published.pth")
        ours = APANet(replace(model.config, external_attention_eps=1e-9)).eval()
        ours.load_state_dict(model.state_dict())
        torch.testing.assert_close(ours(left, right)[0], alive, atol=1e-4, rtol=0)


def test_load_published_data_parallel_state_dict_is_accepted(state, tmp_path):
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "bare.pth")
    assert torch.equal(load_published(tmp_path / "bare.pth").project_in.weight, state["project_in.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("latent.7.stereo_block.beta"), "lacks the tensor 'latent.7.stereo_block.beta'"),
        (lambda s: s.update({"surplus": torch.zeros(1)}), "extra tensor 'surplus'"),
        (lambda s: s.update({"project_in.bias": torch.zeros(31)}), r"'project_in.bias' has shape \(31,\)"),
        (lambda s: s.update({"project_in.bias": torch.full((32,), float("nan"))}), "NaN"),
        (lambda s: s.update({"project_in.bias": "text"}), "holds no state dict"),
    ],
)
def test_load_published_wrong_tensors_are_refused(state, tmp_path, change, message):
    changed = dict(state)
    change(changed)
    torch.save({"net": changed}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=message):
        load_published(tmp_path / "other.pth")


def test_load_published_damaged_or_malicious_file_is_refused(state, tmp_path, capsys):
    path = tmp_path / "bad.pth"
    torch.save({"net": state}, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="is not a torch checkpoint of tensors"):
        load_published(path)

    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    path.write_bytes(pickle.dumps({"net": Attack()}))
    with pytest.raises(ValueError, match="is not a torch checkpoint of tensors"):
        load_published(path)
    torch.save({"net": Attack()}, path)
    assert main(["import-checkpoint", str(path), str(tmp_path / "out.safetensors")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "owned").exists()
    assert not (tmp_path / "out.safetensors").exists()
