import json

import numpy as np
import pytest
import torch

from apanet_core import StereoDerainer
from apanet_core.cli import main
from apanet_core.engines.export import export
from apanet_core.engines.quiet_openvino import import_openvino
from apanet_core.model.checkpoint import CONFIG_KEY, load_model
from apanet_core.model.config import ModelConfig
from apanet_core.model.parallax_attention import ParallaxAttention, scanline_attention


@pytest.fixture(scope="module")
def expected():
    rng = np.random.default_rng(0)
    pair = tuple(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8) for _ in range(2))
    return pair, StereoDerainer("tiny", engine="torch")(*pair)


def config_of(text):
    return ModelConfig.from_dict(json.loads(text))


def test_onnx_round_trip(tmp_path, expected):
    import onnx
    import onnxruntime

    path = tmp_path / "model.onnx"
    assert main(["export", str(path)]) == 0
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert config_of({p.key: p.value for p in model.metadata_props}[CONFIG_KEY]) == load_model("tiny").config
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pair, want = expected
    for got, w in zip(session.run(None, dict(zip(("left", "right"), pair))), want):
        assert np.abs(got.astype(int) - w).max() <= 1


def test_openvino_round_trip(tmp_path, expected):
    openvino = import_openvino()

    path = tmp_path / "model.xml"
    assert main(["export", str(path), "--format", "openvino"]) == 0
    model = openvino.Core().read_model(path)
    assert config_of(model.get_rt_info(["apanet", CONFIG_KEY]).value) == load_model("tiny").config
    # left to itself, OpenVINO computes in bfloat16 where the processor can
    result = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(list(expected[0]))
    for index, want in enumerate(expected[1]):
        assert np.abs(result[index].astype(int) - want).max() <= 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.bin", "model.xml"]


def test_torch_export_round_trip(tmp_path, expected):
    path = tmp_path / "model.pt2"
    assert main(["export", str(path), "--format", "torch-export", "--height", "50", "--width", "70"]) == 0
    extra = {CONFIG_KEY: ""}
    program = torch.export.load(path, extra_files=extra)
    assert config_of(extra[CONFIG_KEY]) == load_model("tiny").config
    got = program.module()(*(torch.from_numpy(v) for v in expected[0]))
    for g, want in zip(got, expected[1]):
        assert np.abs(g.numpy().astype(int) - want).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.onnx", "--format", "tflite"], "unknown format 'tflite': choose one of onnx (.onnx), openvino (.xml)"),
        (["model.bin"], "unknown format 'of model.bin'"),
        (["model.xml", "--format", "onnx"], "format onnx ends with .onnx"),
        (["none/model.onnx"], "no folder none to write model.onnx to"),
        (["model.pt2", "--height", "0"], "at least 16 px each way: got 640x0"),
        (["model.onnx", "--model", "huge"], "unknown preset 'huge'"),
    ],
)
def test_wrong_requests_write_nothing(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_network_stays_as_it_is(tmp_path):
    network = load_model("tiny").bfloat16()
    export(network, tmp_path / "model.onnx", None, (480, 640))
    assert next(network.parameters()).dtype == torch.bfloat16
    modules = [m for m in network.modules() if isinstance(m, ParallaxAttention)]
    assert all(m.attention is scanline_attention for m in modules)
