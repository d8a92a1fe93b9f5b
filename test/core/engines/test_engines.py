import copy
import shutil
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from networks import CPU_ENGINES, apply_coring, fill_zeros, random_pair

from apanet_core import StereoDerainer
from apanet_core.engines.choose import choose_model, make_engine
from apanet_core.engines.openvino_engine import SAME_SIZE_IN_A_ROW
from apanet_core.model.checkpoint import load_model
from apanet_core.model.config import PRESETS, ModelConfig
from apanet_core.model.network import APANet


def fewer_blocks(config):
    """The parts of a network, one block for each level: converted for an engine, the whole takes up to minutes."""
    levels = len(config.channels)
    channels = (8, 16, 16, 24) if config == PRESETS["paper"] else config.channels
    return replace(config, channels=channels, encoder_blocks=(1,) * levels, decoder_blocks=(1,) * (levels - 1))


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("engine", CPU_ENGINES)
def test_engines_match_network_within_one_thousandth(name, engine):
    torch.manual_seed(0)
    config = fewer_blocks(PRESETS[name])
    network = APANet(config).eval()
    fill_zeros(network, std=0.05)
    reference = copy.deepcopy(network)
    made = make_engine(network, engine, "cpu", "float32")
    for size in ((16, 16), (17, 45), (64, 250)):
        pair = random_pair(*size)
        tensors = [torch.from_numpy(v).permute(2, 0, 1)[None] / 255 for v in pair]
        with torch.no_grad():
            derained = [(255 * v[0]).permute(1, 2, 0).numpy() for v in reference(*tensors)]
        expected = [apply_coring(r.astype(np.float32), d, config.coring) for r, d in zip(pair, derained)]
        for got, want in zip(made(*pair), np.clip(expected, 0, 255)):
            assert got.dtype == np.uint8
            assert got.shape == want.shape
            assert np.abs(got - want).max() <= 0.5 + 0.255  # a thousandth, and rounding to a grey level


def test_openvino_close_does_not_wait_for_compilation(smallest, monkeypatch):
    derainer = StereoDerainer(smallest, engine="openvino")
    engine, started, release = derainer.engine, threading.Event(), threading.Event()
    compile_model = engine._compile

    def compile_slowly(model):
        started.set()
        release.wait(30)
        return compile_model(model)

    monkeypatch.setattr(engine, "_compile", compile_slowly)
    pair = random_pair(40, 48)
    for _ in range(SAME_SIZE_IN_A_ROW):
        derainer(*pair)
    assert started.wait(30)
    derainer.close()
    assert engine._compiling.is_alive()
    release.set()
    engine._compiling.join()
    assert engine._one_size is None


def test_openvino_warm_up_does_not_change_result(smallest):
    derainer, pair = StereoDerainer(smallest, engine="openvino"), random_pair(50, 70)
    first = derainer(*pair)
    derainer.warm_up(50, 70)
    for a, b in zip(first, derainer(*pair)):
        assert np.abs(a.astype(int) - b).max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tensorflow"}, "unknown engine 'tensorflow': choose one of auto, torch, openvino"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"precision": "int3"}, "unknown precision 'int3'"),
        ({"engine": "openvino", "device": "cuda"}, "runs on the CPU"),
        ({"engine": "openvino", "compiled": True}, "compiled is an option of the engine 'torch'"),
        ({"engine": "openvino", "precision": "float16"}, "openvino engine computes in float32 or bfloat16"),
    ],
)
def test_make_engine_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_engine(load_model("tiny"), **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_make_engine_cuda_without_gpu_is_refused():
    with pytest.raises(ValueError, match="needs a CUDA build of torch and a GPU"):
        make_engine(load_model("tiny"), engine="torch", device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_precision_on_cuda_is_float16():
    assert StereoDerainer("tiny", engine="torch", device="cuda").engine.precision == "float16"


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_result_stays_near_float32(name, precision):
    torch.manual_seed(0)
    network = APANet(PRESETS[name]).eval()
    fill_zeros(network, std=0.02)
    pair = random_pair(32, 64)
    expected = make_engine(copy.deepcopy(network), "torch", "cpu")(*pair)
    got = make_engine(network, "torch", "cpu", precision)(*pair)
    assert np.abs(got[0].astype(int) - expected[0]).mean() < 2


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_torch_engine_matches_eager(smallest):
    pair = random_pair(32, 48)
    eager, compiled = (StereoDerainer(smallest, engine="torch", device="cpu", compiled=c) for c in (False, True))
    for got, want in zip(compiled(*pair), eager(*pair)):
        assert np.abs(got.astype(int) - want).max() <= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_compiled_engine_matches_uncompiled():
    pairs = [random_pair(64, 96, seed) for seed in range(3)]
    eager, compiled = (StereoDerainer("tiny", device="cuda", compiled=c) for c in (False, True))
    kept = [compiled(*pair) for pair in pairs]  # a graph must not write over results that were handed out
    for pair, result in zip(pairs, kept):
        assert np.abs(result[0].astype(int) - eager(*pair)[0]).max() <= 2


def test_auto_engine_is_torch_for_paper_and_openvino_for_small():
    for name, engine in (("paper", "torch"), ("small", "openvino"), ("small-mono", "openvino")):
        assert make_engine(APANet(fewer_blocks(PRESETS[name])).eval(), "auto", "cpu").name == engine


@pytest.mark.parametrize("engine", CPU_ENGINES)
@pytest.mark.parametrize("coring", [0.0, 3.0])
def test_network_overflow_raises_floating_point_error(engine, coring):
    torch.manual_seed(0)
    network = APANet(ModelConfig(4, (8, 16), (1, 1), (1,), 4, (2,), (2,), coring=coring)).eval()
    torch.nn.init.constant_(network.project_out.bias, 1e30)
    torch.nn.init.constant_(network.project_out.weight, 1e30)
    torch.nn.init.constant_(network.project_in.weight, 1e30)
    made = make_engine(network, engine, "cpu", "float32")
    with pytest.raises(FloatingPointError, match="expected an image from the network, got a mean change of"):
        made(*random_pair(32, 48))


@pytest.mark.parametrize("engine", CPU_ENGINES)
def test_network_whose_output_is_no_image_raises_floating_point_error(engine):
    """Finite, but some 1e30: clipped to uint8 it would be black and white."""
    torch.manual_seed(0)
    network = APANet(ModelConfig(4, (8, 16), (1, 1), (1,), 4, (2,), (2,))).eval()
    torch.nn.init.normal_(network.project_out.weight, std=1e30)
    made = make_engine(network, engine, "cpu", "float32")
    with pytest.raises(FloatingPointError, match="expected an image from the network"):
        made(*random_pair(32, 48))


def has_bfloat16():
    openvino = pytest.importorskip("openvino")
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_openvino_auto_precision_follows_cpu_bfloat16_support(smallest):
    if not has_bfloat16():
        with pytest.raises(ValueError, match="no bfloat16"):
            StereoDerainer(smallest, engine="openvino", precision="bfloat16")
        assert StereoDerainer(smallest, engine="openvino").engine.precision == "float32"
        return
    fast = StereoDerainer("tiny", engine="openvino")
    assert fast.engine.precision == "bfloat16"
    pair = random_pair(64, 96)
    for got, want in zip(fast(*pair), StereoDerainer("tiny", engine="torch")(*pair)):
        assert np.abs(got.astype(int) - want).mean() < 1


def test_openvino_bfloat16_large_disparity_matches_float32():
    if not has_bfloat16():
        pytest.skip("this CPU has no bfloat16")
    wide = cv2.resize(random_pair(24, 160)[0], (512, 72), interpolation=cv2.INTER_CUBIC)
    left, right = (np.ascontiguousarray(view) for view in (wide[:, :320], wide[:, 150:470]))
    exact, rounded = (StereoDerainer("tiny", "openvino", precision=p)(left, right) for p in ("float32", "bfloat16"))
    for got, want in zip(rounded, exact):
        assert np.abs(got.astype(int) - want).mean() < 1


def test_torch_bfloat16_on_cpu_stays_near_float32(derainers):
    pair = random_pair(32, 48)
    got = StereoDerainer("tiny", engine="torch", precision="bfloat16")(*pair)
    assert np.abs(got[0].astype(int) - derainers["torch"](*pair)[0]).mean() < 2


@pytest.mark.parametrize(
    ("engine", "device", "cuda", "expected"),
    [
        ("auto", "auto", False, "tiny"),
        ("auto", "auto", True, "small"),
        ("torch", "auto", True, "small"),
        ("openvino", "auto", True, "tiny"),
        ("auto", "cpu", True, "tiny"),
        ("torch", "cuda:1", True, "small"),
    ],
)
def test_choose_model_follows_engine_and_device(monkeypatch, engine, device, cuda, expected):
    monkeypatch.setattr("apanet_core.engines.choose._has_cuda", lambda: cuda)
    assert choose_model(engine, device) == expected
