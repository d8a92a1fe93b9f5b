import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from networks import fill_zeros, random_pair

from apanet_core import StereoDerainer
from apanet_core.commands.main import main
from apanet_core.engines.export import FORMATS, export
from apanet_core.engines.quiet_openvino import import_openvino
from apanet_core.model.checkpoint import CONFIG_KEY, load_model, save_checkpoint
from apanet_core.model.config import ModelConfig
from apanet_core.model.network import APANet
from apanet_core.model.parallax_attention import ParallaxAttention, scanline_attention
from apanet_core.model.uint8 import Uint8Derainer


def config_of(text):
    return ModelConfig.from_dict(json.loads(text))


def test_export_openvino_matches_derainer(tmp_path):
    openvino = import_openvino()
    pair = random_pair(50, 70)
    path = tmp_path / "model.xml"
    assert main(["export", str(path), "--format", "openvino"]) == 0
    model = openvino.Core().read_model(path)
    assert config_of(model.get_rt_info(["apanet", CONFIG_KEY]).value) == load_model("tiny").config
    # left to itself, OpenVINO computes in bfloat16 where the processor can
    result = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(list(pair))
    for index, want in enumerate(StereoDerainer("tiny", engine="torch")(*pair)):
        assert np.abs(result[index].astype(int) - want).max() <= 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.bin", "model.xml"]


def test_export_torch_export_matches_derainer(tmp_path, smallest):
    path, pair = tmp_path / "model.pt2", random_pair(50, 70)
    size = ["--height", "50", "--width", "70"]
    assert main(["export", str(path), "--format", "torch-export", "--model", smallest, *size]) == 0
    extra = {CONFIG_KEY: ""}
    program = torch.export.load(path, extra_files=extra)
    assert config_of(extra[CONFIG_KEY]) == load_model(smallest).config
    got = program.module()(*(torch.from_numpy(v) for v in pair))
    for g, want in zip(got, StereoDerainer(smallest, engine="torch")(*pair)):
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


def test_export_does_not_change_network(tmp_path, smallest):
    network = load_model(smallest).bfloat16()
    export(network, tmp_path / "model.xml", None, (480, 640))
    assert next(network.parameters()).dtype == torch.bfloat16
    modules = [m for m in network.modules() if isinstance(m, ParallaxAttention)]
    assert all(m.attention is scanline_attention for m in modules)


# every part that a network can have, once
ALL_PARTS = ModelConfig(
    stem_stride=4,
    channels=(8, 16),
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
    memory_units=4,
    external_attention_levels=(2,),
    parallax_levels=(2,),
    max_disparity=160,
    matching_channels=16,
    fusion_channels=16,
    fusion_blocks=1,
    gate_channels=4,
)


def certain_network():
    """A network whose features are the pixels themselves, so that its matches are certain, and whose parts all act."""
    torch.manual_seed(0)
    network = fill_zeros(APANet(ALL_PARTS), std=0.02).eval()
    torch.nn.init.zeros_(network.matching.embed[0].weight)
    for channel in range(16):
        network.matching.embed[0].weight.data[channel, 16 + 3 * channel] = 1.0
    torch.nn.init.zeros_(network.matching.refine.weight)
    torch.nn.init.constant_(network.matching.log_scale, 5.0)
    for judge in (network.fusion.gate.alone, network.fusion.gate.compared):
        torch.nn.init.zeros_(judge.decide.bias)
        torch.nn.init.normal_(judge.decide.weight, std=3.0)
    torch.nn.init.normal_(network.project_out.weight, std=0.1)
    for module in network.modules():
        if isinstance(module, ParallaxAttention):
            torch.nn.init.constant_(module.left_scale, 1.0)
            torch.nn.init.constant_(module.right_scale, 1.0)
            torch.nn.init.normal_(module.query.weight)
            torch.nn.init.normal_(module.key.weight)
    return network


def shifted_pair(width, disparity):
    """Views of cells of 4x4 px in random colours."""
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 256, (12, (width + disparity + 3) // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    return tuple(np.ascontiguousarray(wide[:, first : first + width]) for first in (0, disparity))


def assert_nearly_equal(network, pair, got):
    """Compare with torch; where a match is a tie, rounding decides."""
    with torch.inference_mode():
        want = Uint8Derainer(network)(*map(torch.from_numpy, pair))[:2]
    for ours, theirs in zip(want, got):
        difference = np.abs(ours.numpy().astype(int) - np.asarray(theirs).astype(int))
        assert (difference > 1).mean() < 1e-3


def test_export_onnx_matches_network(tmp_path):
    import onnx
    import onnxruntime

    network = certain_network()
    save_checkpoint(network, tmp_path / "small.safetensors")
    path = tmp_path / "model.onnx"
    assert main(["export", str(path), "--model", str(tmp_path / "small.safetensors")]) == 0
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert config_of({p.key: p.value for p in model.metadata_props}[CONFIG_KEY]) == network.config
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for pair in (random_pair(50, 70), random_pair(33, 210), shifted_pair(250, disparity=120)):
        assert_nearly_equal(network, pair, session.run(None, dict(zip(("left", "right"), pair))))


@pytest.mark.parametrize("file_format", ["openvino", "torch-export"])
def test_export_of_every_part_matches_torch(tmp_path, file_format):
    network = certain_network()
    path = tmp_path / f"model{FORMATS[file_format]}"
    export(network, path, file_format, (48, 250))
    if file_format == "openvino":
        core = import_openvino()
        run = core.compile_model(core.Core().read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    else:
        program = torch.export.load(path).module()
    for pair in (shifted_pair(250, disparity=120), random_pair(48, 250)):
        got = run(list(pair)) if file_format == "openvino" else program(*map(torch.from_numpy, pair))
        assert_nearly_equal(network, pair, [got[0], got[1]])


def test_export_full_disk_prints_error_and_leaves_no_file(tmp_path, smallest):
    code = (
        "import resource, signal, sys\n"
        "from apanet_core.commands.main import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "sys.exit(main(['export', *sys.argv[1:]]))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.xml"), "--model", smallest]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "is the disk full?" in done.stderr.strip().splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_openvino_closed_derainers_free_their_networks(smallest):
    pytest.importorskip("openvino")
    code = (
        "import gc, sys; import numpy as np; from pathlib import Path; from apanet_core import StereoDerainer\n"
        "view, used_mb = np.zeros((96, 128, 3), np.uint8), []\n"
        "for _ in range(6):\n"
        "    derainer = StereoDerainer(sys.argv[1], engine='openvino')\n"
        "    derainer(view, view)\n"
        "    del derainer\n"
        "    gc.collect()\n"
        "    used_mb.append(int(Path('/proc/self/statm').read_text().split()[1]) * 4096 / 1e6)\n"
        "print(used_mb[-1] - used_mb[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, smallest], capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) < 30  # 68 if the traced networks stayed
