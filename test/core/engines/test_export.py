import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import fill_zeros

from apanet_core import StereoDerainer
from apanet_core.commands.main import main
from apanet_core.engines.export import FORMATS, export
from apanet_core.engines.quiet_openvino import import_openvino
from apanet_core.model.checkpoint import CONFIG_KEY, load_model, save_checkpoint
from apanet_core.model.config import ModelConfig
from apanet_core.model.network import APANet
from apanet_core.model.parallax_attention import ParallaxAttention, scanline_attention
from apanet_core.model.uint8 import Uint8Derainer


@pytest.fixture(scope="module")
def expected():
    rng = np.random.default_rng(0)
    pair = tuple(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8) for _ in range(2))
    return pair, StereoDerainer("tiny", engine="torch")(*pair)


def config_of(text):
    return ModelConfig.from_dict(json.loads(text))


def test_export_openvino_matches_derainer(tmp_path, expected):
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


def test_export_torch_export_matches_derainer(tmp_path, expected):
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
        (["model.bin"], "unknown format '.bin'"),
        (["model.xml", "--format", "onnx"], "format onnx ends with .onnx"),
        (["none/model.onnx"], "no folder none to write model.onnx to"),
        (["model.pt2", "--height", "0"], "at least 16 px each way: got 640x0"),
        (["model.onnx", "--model", "huge"], "unknown preset 'huge'"),
    ],
)
def test_export_bad_options_prints_error_and_writes_nothing(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_export_does_not_change_network(tmp_path):
    network = load_model("tiny").bfloat16()
    export(network, tmp_path / "model.xml", None, (480, 640))
    assert next(network.parameters()).dtype == torch.bfloat16
    modules = [m for m in network.modules() if isinstance(m, ParallaxAttention)]
    assert all(m.attention is scanline_attention for m in modules)


MATCHED = ModelConfig(
    stem_stride=2,
    channels=(8, 16, 16),
    encoder_blocks=(1, 1, 1),
    decoder_blocks=(1, 1),
    memory_units=4,
    external_attention_levels=(3,),
    parallax_levels=(),
    max_disparity=160,
    matching_channels=16,
    fusion_channels=16,
    fusion_blocks=1,
)


def test_export_onnx_matches_network(tmp_path):
    import onnx
    import onnxruntime

    torch.manual_seed(0)
    network = fill_zeros(APANet(replace(MATCHED, parallax_levels=(2, 3), matching_channels=0)), std=0.02).eval()
    save_checkpoint(network, tmp_path / "small.safetensors")
    path = tmp_path / "model.onnx"
    assert main(["export", str(path), "--model", str(tmp_path / "small.safetensors")]) == 0
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert config_of({p.key: p.value for p in model.metadata_props}[CONFIG_KEY]) == network.config
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for size in ((50, 70), (33, 210)):
        pair = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(2)]
        with torch.inference_mode():
            want = Uint8Derainer(network)(*map(torch.from_numpy, pair))[:2]
        for got, w in zip(session.run(None, dict(zip(("left", "right"), pair))), want):
            assert np.abs(got.astype(int) - w.numpy()).max() <= 1


@pytest.mark.parametrize("file_format", ["onnx", "openvino", "torch-export"])
def test_export_matching_network_matches_torch_in_every_format(tmp_path, file_format):
    torch.manual_seed(0)
    network = APANet(MATCHED).eval()
    for name, parameter in network.named_parameters():
        if name in ("project_out.weight", "fusion.project_out.weight"):
            torch.nn.init.normal_(parameter, std=0.02)
    # features are the pixels themselves, so the match is certain and 120 px away
    torch.nn.init.zeros_(network.matching.embed[0].weight)
    for channel in range(16):
        network.matching.embed[0].weight.data[channel, 16 + 3 * channel] = 1.0
    torch.nn.init.constant_(network.matching.log_scale, 5.0)
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 256, (12, 100, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    left, right = (np.ascontiguousarray(view) for view in (wide[:, :250], wide[:, 120:370]))
    with torch.inference_mode():
        want = Uint8Derainer(network)(torch.from_numpy(left), torch.from_numpy(right))[:2]
    path = tmp_path / f"model{FORMATS[file_format]}"
    export(network, path, file_format, (48, 250))
    if file_format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        got = session.run(None, {"left": left, "right": right})
    elif file_format == "openvino":
        core = import_openvino()
        result = core.compile_model(core.Core().read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(
            [left, right]
        )
        got = [result[0], result[1]]
    else:
        got = torch.export.load(path).module()(torch.from_numpy(left), torch.from_numpy(right))
    for ours, theirs in zip(want, got):
        difference = np.abs(ours.numpy().astype(int) - np.asarray(theirs).astype(int))
        assert (difference > 1).mean() < 1e-3


@pytest.mark.parametrize("suffix", [".xml"])
def test_export_full_disk_prints_error_and_leaves_no_file(tmp_path, suffix):
    code = (
        "import resource, signal, sys\n"
        "from apanet_core.commands.main import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "sys.exit(main(['export', sys.argv[1]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / f"m{suffix}")], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "is the disk full?" in done.stderr.strip().splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_openvino_closed_derainers_free_their_networks():
    pytest.importorskip("openvino")
    code = (
        "import numpy as np; from pathlib import Path; from apanet_core import StereoDerainer\n"
        "view, used_mb = np.zeros((96, 128, 3), np.uint8), []\n"
        "for _ in range(5):\n"
        "    derainer = StereoDerainer('tiny', engine='openvino')\n"
        "    derainer(view, view)\n"
        "    del derainer\n"
        "    used_mb.append(int(Path('/proc/self/statm').read_text().split()[1]) * 4096 / 1e6)\n"
        "print(used_mb[-1] - used_mb[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) < 100  # 280 if the traced networks stayed
