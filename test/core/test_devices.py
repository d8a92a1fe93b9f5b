"""What runs on any device gives the same there as on the CPU in float32. Needs torch only."""

import copy

import numpy as np
import pytest
import torch
from networks import fill_zeros

from apanet_core import StereoDerainer
from apanet_core.benchmark import Case, measure
from apanet_core.model.config import PRESETS
from apanet_core.model.network import APANet
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.samples import SINGLE, render_samples
from apanet_core.training.losses import LOSSES
from apanet_core.training.objectives import Supervised
from apanet_core.training.rendered import RenderedBatches


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    return torch.device(request.param)


@pytest.fixture(params=["float32", "float16", "bfloat16"])
def dtype(request):
    return request.param


def smooth_pair(height, width):
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 256, (height // 4, width // 4 + 2, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    return wide[:, :width], wide[:, 8 : width + 8]


@pytest.mark.parametrize("model", ["tiny-mono", "tiny", "small"])
def test_derainer_on_device_matches_cpu(model, device, dtype):
    pair = smooth_pair(64, 96)
    want = StereoDerainer(model, "torch", "cpu", "float32")(*pair)
    derainer = StereoDerainer(model, "torch", str(device), dtype)
    tensors = (torch.from_numpy(np.stack([view])).permute(0, 3, 1, 2).to(derainer.engine.memory) for view in pair)
    from_tensors = [view[0].permute(1, 2, 0).cpu().numpy() for view in derainer.derain_tensors(*tensors)]
    for got in (derainer(*pair), from_tensors):
        assert max(np.abs(g.astype(int) - w).max() for g, w in zip(got, want)) <= (1 if dtype == "float32" else 3)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_on_device_match_cpu(name, device):
    views = torch.rand(2, 2, 3, 64, 96)
    torch.testing.assert_close(LOSSES[name](*views.to(device)).cpu(), LOSSES[name](*views), atol=1e-5, rtol=1e-4)


def test_gradient_on_device_matches_cpu(device):
    batch = {
        f"{kind}_{side}": torch.randint(0, 256, (1, 3, 32, 64)).byte()
        for kind in ("rainy", "clean")
        for side in ("left", "right")
    }
    batch |= {f"{side}_disparity": torch.full((1, 32, 64), 6.0) for side in ("left", "right")}
    torch.manual_seed(0)
    network, gradients = fill_zeros(APANet(PRESETS["tiny"]), std=0.02), []
    for where in ("cpu", device):
        copied = copy.deepcopy(network).to(where)
        loss, _ = Supervised({"charbonnier": 1.0})(copied, {name: value.to(where) for name, value in batch.items()})
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten().cpu() for p in copied.parameters()]))
    assert (gradients[1] - gradients[0]).norm() <= 0.02 * gradients[0].norm()


def test_render_samples_on_device_matches_cpu(device):
    rng = np.random.default_rng(0)
    photos = [np.kron(rng.integers(0, 256, (20, 30, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(2)]
    want, got = (
        render_samples(PhotoAtlas(photos, torch.device(d)), (64, 128), 3, torch.arange(4, device=d))
        for d in ("cpu", device)
    )
    for name in ("rainy_left", "rainy_right", "clean_left", "clean_right"):
        difference = (got[name].cpu().int() - want[name].int()).abs()
        assert (difference > 1).float().mean() < 1e-3, name


def test_render_samples_on_device_do_not_depend_on_batch(device):
    photos = [np.random.default_rng(n).integers(0, 256, (80, 120, 3), dtype=np.uint8) for n in range(3)]
    atlas = PhotoAtlas(photos, device)
    together = render_samples(atlas, (64, 128), 1, torch.arange(16, device=device))
    batches = RenderedBatches(atlas, (64, 128), 4, range(16), 1, SINGLE)
    for number, batch in enumerate(batches):
        alone = render_samples(atlas, (64, 128), 1, torch.tensor([4 * number], device=device))
        for name, value in batch.items():
            whole = together[name][4 * number : 4 * number + 4]
            torch.testing.assert_close(value, whole, rtol=0, atol=0, equal_nan=True, msg=name)
            torch.testing.assert_close(alone[name], whole[:1], rtol=0, atol=0, equal_nan=True, msg=name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")
def test_measure_on_cuda_reports_device_time_and_launches():
    result = measure(Case("tiny", "torch", "cuda", "auto", 96, 160), 5, 10.0)
    assert 0 < result.device_ms < result.first_ms
    assert 1 <= result.launches < 100  # a graph with the copies in it
