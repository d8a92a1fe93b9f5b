import numpy as np
import pytest
import torch
from networks import fill_zeros

from apanet_core.commands.main import main
from apanet_core.images.files import write_image
from apanet_core.model.checkpoint import load_model, save_checkpoint
from apanet_core.model.imagenet import VGG19_WIDTHS
from apanet_core.model.network import APANet
from apanet_core.training.config import DistillationConfig
from apanet_core.training.features import EncoderFeatures, VGG19Features, contrast
from apanet_core.training.loop import train
from apanet_core.training.objectives import Distillation, Supervised, build_objective


@pytest.fixture(scope="module")
def distillation(config, tmp_path_factory):
    """A teacher with random weights, and unpaired pairs for it."""
    folder = tmp_path_factory.mktemp("distillation")
    torch.manual_seed(0)
    teacher = APANet(config(folder).model)
    fill_zeros(teacher, std=0.1)
    save_checkpoint(teacher, folder / "teacher.safetensors")
    rng = np.random.default_rng(0)
    for side in ("left", "right"):
        (folder / "real" / "train" / side).mkdir(parents=True)
        for index in range(3):
            image = rng.integers(0, 256, (40, 80, 3), dtype=np.uint8)
            write_image(folder / "real" / "train" / side / f"a_{index}.png", image)
    return DistillationConfig(folder / "teacher.safetensors", folder / "real")


def batch_of(size=(2, 3, 32, 64)):
    names = ("rainy_left", "rainy_right", "clean_left", "clean_right", "real_left", "real_right")
    return {name: torch.randint(0, 256, size, dtype=torch.uint8) for name in names}


def test_distillation_run_logs_every_term(config, distillation, tmp_path):
    distillation.total_variation, distillation.dark_channel, distillation.contrastive = 0.1, 0.1, 0.3
    best = train(config(tmp_path, distillation=distillation, steps=60, learning_rate=3e-3, validate_every=30))
    assert load_model(best).config == config(tmp_path).model
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(tmp_path))
    log.Reload()
    for name in ("charbonnier", "total_variation", "dark_channel", "contrastive", "loss"):
        values = [event.value for event in log.Scalars(name)]
        assert len(values) == 6
        assert np.isfinite(values).all()


@pytest.mark.parametrize("term", ["total_variation", "dark_channel", "contrastive"])
def test_distillation_training_lowers_weighted_term(config, distillation, tmp_path, term):
    torch.manual_seed(1)
    student = APANet(config(tmp_path).model)  # not the identity: there, contrast would be endless and could only fall
    torch.nn.init.constant_(student.project_out.bias, 0.2)
    weights = {name: float(name == term) for name in ("total_variation", "dark_channel", "contrastive")}
    on = DistillationConfig(distillation.teacher, distillation.unpaired, **weights)
    objective = Distillation(Supervised({"charbonnier": 1e-9}), on, torch.device("cpu"))
    optimizer, batch, values = torch.optim.Adam(student.parameters(), 3e-3), batch_of(), []
    for _ in range(15):
        loss, terms = objective(student, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(terms[term].item())
    assert 0 < values[-1] < 0.95 * values[0]


def test_distillation_zero_weights_equal_supervised_loss(config, distillation, tmp_path):
    network, batch = APANet(config(tmp_path).model), batch_of()
    off = DistillationConfig(distillation.teacher, distillation.unpaired, 0.0, 0.0, 0.0)
    objective = Distillation(Supervised({"charbonnier": 1.0}), off, torch.device("cpu"))
    loss, terms = objective(network, batch)
    torch.testing.assert_close(loss, objective.supervised(network, batch)[0])
    assert set(terms) == {"charbonnier", "total_variation", "dark_channel", "contrastive"}


def test_distillation_gradients_reach_student_only(config, distillation, tmp_path):
    network = APANet(config(tmp_path).model)
    on = DistillationConfig(distillation.teacher, distillation.unpaired, 0.0, 0.0, 1.0)
    objective = Distillation(Supervised({"charbonnier": 1e-9}), on, torch.device("cpu"))
    loss, _ = objective(network, batch_of())
    loss.backward()
    assert network.project_out.weight.grad.abs().max() > 0
    assert all(p.grad is None for p in objective.teacher.parameters())


def test_contrast_is_small_near_teacher_and_large_near_rain():
    torch.manual_seed(0)
    teacher, rainy = ([torch.rand(1, 4, 8, 8) for _ in range(3)] for _ in range(2))
    near_teacher, near_rain = ([t + share * (r - t) for t, r in zip(teacher, rainy)] for share in (0.1, 0.9))
    assert contrast(near_teacher, teacher, rainy) < 0.2
    assert contrast(near_rain, teacher, rainy) > 10
    one_level = contrast(near_rain[-1:], teacher[-1:], rainy[-1:])  # the coarsest weighs 1
    torch.testing.assert_close(one_level, torch.tensor(9.0), atol=0.01, rtol=0)


def test_encoder_features_halve_resolution_per_level(config, tmp_path):
    features = EncoderFeatures(APANet(config(tmp_path).model))(torch.rand(2, 3, 30, 62))
    assert [tuple(f.shape) for f in features] == [(2, 8, 8, 16), (2, 8, 4, 8)]


def test_vgg19_loads_torchvision_weights_and_refuses_incomplete_file(tmp_path):
    tensors, channels, index = {}, 3, 0
    for width in VGG19_WIDTHS:
        if width == "pool":
            index += 1
            continue
        tensors[f"features.{index}.weight"] = 0.05 * torch.randn(width, channels, 3, 3)
        tensors[f"features.{index}.bias"] = torch.zeros(width)
        channels, index = width, index + 2
    torch.save(tensors | {"classifier.0.weight": torch.zeros(1)}, tmp_path / "vgg19.pth")
    image = torch.rand(1, 3, 32, 48)
    features = VGG19Features(tmp_path / "vgg19.pth")(image)
    normal = (image - torch.tensor([[0.485, 0.456, 0.406]])[..., None, None]) / torch.tensor([[0.229, 0.224, 0.225]])[
        ..., None, None
    ]
    first = torch.nn.functional.conv2d(normal, tensors["features.0.weight"], padding=1).relu()
    torch.testing.assert_close(features[0], first)
    assert [f.shape[1] for f in features] == [64, 128, 256, 512, 512]
    assert [f.shape[2] for f in features] == [32, 16, 8, 4, 2]
    assert all((f >= 0).all() for f in features)
    del tensors["features.28.bias"]
    torch.save(tensors, tmp_path / "cut.pth")
    with pytest.raises(ValueError, match="features.28.bias should be .512,., is missing"):
        VGG19Features(tmp_path / "cut.pth")


def test_contrast_coarsest_level_has_largest_weight():
    ones, twos, fours = ([torch.full((1, 1, 2, 2), v)] * 6 for v in (1.0, 2.0, 4.0))
    ratio = (2 - 1) / (4 - 2)
    expected = ratio * (1 + 1 / 4 + 1 / 8 + 1 / 16 + 1 / 32 + 1 / 64)
    assert contrast(twos, ones, fours).item() == pytest.approx(expected, rel=1e-5)


def test_distill_without_teacher_prints_error(photos, tmp_path, capsys):
    assert main(["distill", "--out", str(tmp_path / "run"), "--data.photos", f"[{photos}]"]) == 2
    assert "give distillation.teacher and distillation.unpaired" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_teacher_and_features_run_in_precision_of_the_student(config, distillation, tmp_path):
    objective = build_objective(
        config(tmp_path, distillation=distillation), torch.device("cpu"), lambda: torch.autocast("cpu", torch.bfloat16)
    )
    seen = []
    for module in objective.teacher.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    loss, _ = objective(APANet(config(tmp_path).model), batch_of())
    assert set(seen) == {torch.bfloat16}
    assert loss.dtype == torch.float32
