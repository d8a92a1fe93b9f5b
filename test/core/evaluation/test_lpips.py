import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchmetrics.functional.image import lpips as reference

from apanet_core.evaluation.lpips import LPIPS


def alexnet_features():
    """The `features` of AlexNet as torchvision has them, with random weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )


@pytest.fixture
def weights(tmp_path):
    state = {f"features.{key}": value for key, value in alexnet_features().state_dict().items()}
    torch.save(state, tmp_path / "alexnet.pth")
    return tmp_path / "alexnet.pth"


def test_lpips_matches_torchmetrics(weights, monkeypatch):
    models = SimpleNamespace(
        alexnet=lambda weights: SimpleNamespace(features=alexnet_features()),
        AlexNet_Weights=SimpleNamespace(DEFAULT=None),
    )
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(models=models))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setattr(reference, "_TORCHVISION_AVAILABLE", True)
    theirs = reference._LPIPS(net="alex")
    image, other = torch.rand(2, 3, 64, 80), torch.rand(2, 3, 64, 80)
    ours = LPIPS(weights)(image, other)
    assert ours.tolist() == pytest.approx(theirs(image, other, normalize=True).flatten().tolist(), rel=1e-5)
    assert ours.min() > 0


def test_lpips_of_equal_images_is_zero(weights):
    image = torch.rand(1, 3, 40, 40)
    assert LPIPS(weights)(image, image).item() == 0


def test_lpips_unusable_weights_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at"):
        LPIPS(tmp_path / "none.pth")
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name, message in (
        ("other.pth", "is not torchvision's alexnet: features.0.weight should be"),
        ("text.pth", "not a torch checkpoint"),
    ):
        with pytest.raises(ValueError, match=message):
            LPIPS(tmp_path / name)
