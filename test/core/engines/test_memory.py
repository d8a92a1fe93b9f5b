from types import SimpleNamespace

import numpy as np
import pytest
import torch

from apanet_core import StereoDerainer
from apanet_core.commands.main import main
from apanet_core.engines import memory
from apanet_core.images.files import write_image
from apanet_core.model.config import preset


def test_estimate_bytes_falls_with_height_and_rises_for_openvino():
    paper = preset("paper")
    whole = memory.estimate_bytes(paper, "torch", "float32", 2160, 4096)
    assert memory.estimate_bytes(paper, "torch", "float32", 270, 4096) < whole / 5
    assert memory.estimate_bytes(paper, "torch", "float16", 2160, 4096) < 0.6 * whole
    assert memory.estimate_bytes(paper, "openvino", "float32", 2160, 4096) > 10 * whole


@pytest.mark.parametrize(
    ("name", "height", "width", "measured_mb"),  # peaks of an H200: docs/decisions/009
    [
        ("tiny-mono", 375, 1242, 140),
        ("tiny-mono", 1080, 1920, 607),
        ("small-mono", 720, 1280, 576),
        ("small", 375, 1242, 405),
        ("paper", 375, 1242, 1444),
        ("paper", 720, 1280, 2220),
    ],
)
def test_estimate_bytes_on_cuda_is_within_a_quarter_of_the_measured(name, height, width, measured_mb):
    estimate = memory.estimate_bytes(preset(name), "torch", "float16", height, width, "cuda")
    assert abs(estimate / 1e6 / measured_mb - 1) < 0.25


def test_free_bytes_on_cpu_is_plausible():
    assert 2**20 < memory.free_bytes(torch.device("cpu")) < 2**50


def test_derainer_pair_beyond_free_memory_is_refused(monkeypatch):
    derainer = StereoDerainer("tiny", engine="torch")
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**28)
    derainer.engine = SimpleNamespace(
        name="torch", precision="float32", device="CPU", memory=torch.device("cpu")
    )  # cannot be called
    views = np.zeros((2160, 4096, 3), np.uint8)
    with pytest.raises(MemoryError, match=r"4096x2160 takes about \d+.\d GiB .* and 0.2 GiB are free: use tile"):
        derainer(views, views)


def test_derain_tensors_batch_beyond_free_memory_is_refused(monkeypatch):
    derainer = StereoDerainer("tiny", engine="torch")
    views = torch.zeros(8, 3, 64, 96)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**29)
    assert derainer.derain_tensors(views, views)[0].shape == (8, 3, 64, 96)
    views = views[:1].expand(1000, -1, -1, -1)
    with pytest.raises(MemoryError, match=r"batch of 1000 pairs of 96x64 takes about .* free: use smaller batches or"):
        derainer.derain_tensors(views, views)


def test_derainer_tiles_fit_where_whole_image_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0.28 * 2**30)
    derainer = StereoDerainer("tiny", engine="torch", tile=64)
    views = np.zeros((600, 400, 3), np.uint8)
    assert derainer(views, views)[0].shape == (600, 400, 3)
    with pytest.raises(MemoryError):
        StereoDerainer("tiny", engine="torch")(views, views)


def test_derain_out_of_memory_prints_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1.0)
    image = tmp_path / "a.png"
    write_image(image, np.zeros((32, 32, 3), np.uint8))
    assert main(["derain", "--left", str(image), "--right", str(image), "--output", str(tmp_path / "out")]) == 2
    assert "GiB are free" in capsys.readouterr().err.splitlines()[-1]


def test_free_bytes_follows_container_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory._container_bytes() == float("inf")
    for name, text in (("max", "max"), ("current", "700"), ("stat", "anon 400\ninactive_file 200\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert memory._container_bytes() == float("inf")
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory._container_bytes() == 500
    assert memory.free_bytes(torch.device("cpu")) == 500
