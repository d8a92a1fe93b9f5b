import numpy as np
import pytest
import torch

from apanet_core import StereoDerainer
from apanet_core.model.checkpoint import load_model
from apanet_core.runtime.engines import ENGINES, make_engine


def random_pair(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(2))


@pytest.fixture(scope="module")
def derainers():
    return {name: StereoDerainer("tiny", engine=name, device="cpu") for name in ENGINES}


@pytest.mark.parametrize("size", [(16, 16), (17, 45), (100, 131), (64, 640)])
def test_engines_agree_with_the_network_to_one_grey_level(derainers, size):
    pair = random_pair(*size)
    tensors = [torch.from_numpy(v).permute(2, 0, 1)[None] / 255 for v in pair]
    with torch.no_grad():
        expected = [(255 * v[0].clamp(0, 1)).permute(1, 2, 0).numpy() for v in load_model("tiny")(*tensors)]
    for derainer in derainers.values():
        for got, want in zip(derainer(*pair), expected):
            assert got.dtype == np.uint8
            assert got.shape == want.shape
            assert np.abs(got - want).max() < 0.51


def test_openvino_gives_the_same_before_and_after_it_knows_the_size(derainers):
    derainer, pair = StereoDerainer("tiny", engine="openvino"), random_pair(50, 70)
    first = derainer(*pair)
    derainer.warm_up(50, 70)
    for a, b in zip(first, derainer(*pair)):
        assert np.abs(a.astype(int) - b).max() <= 1


def test_results_do_not_change_when_the_next_pair_comes(derainers):
    for derainer in derainers.values():
        first = derainer(*random_pair(32, 48))
        kept = [view.copy() for view in first]
        derainer(*random_pair(32, 48, seed=1))
        assert all((a == b).all() for a, b in zip(first, kept))


def test_padded_rows_and_read_only_arrays_are_welcome(derainers):
    left, right = random_pair(32, 64)
    expected = derainers["torch"](left[:, :48].copy(), right[:, :48].copy())
    left.flags.writeable = False
    for derainer in derainers.values():
        got = derainer(left[:, :48], right[:, :48])
        assert np.abs(got[0].astype(int) - expected[0]).max() <= 1


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (np.zeros((32, 32, 3), np.uint8), np.zeros((32, 33, 3), np.uint8), "one size: got 32x32 and 33x32"),
        (np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8), r"\(H, W, 3\) RGB: got shape \(32, 32\)"),
        (np.zeros((8, 32, 3), np.uint8), np.zeros((8, 32, 3), np.uint8), "at least 16 px each way: got 32x8"),
    ],
)
def test_bad_pairs_are_refused(derainers, left, right, message):
    with pytest.raises(ValueError, match=message):
        derainers["torch"](left, right)


def test_floats_are_refused(derainers):
    with pytest.raises(TypeError, match="uint8.*got float64"):
        derainers["torch"](np.zeros((32, 32, 3)), np.zeros((32, 32, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tensorflow"}, "unknown engine 'tensorflow': choose one of auto, torch, openvino, onnxruntime"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"precision": "int3"}, "unknown precision 'int3'"),
        ({"engine": "openvino", "device": "cuda"}, "runs on the CPU"),
    ],
)
def test_unknown_options_list_the_valid_ones(options, message):
    with pytest.raises(ValueError, match=message):
        make_engine(load_model("tiny"), **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_gpu_is_refused():
    with pytest.raises(ValueError, match="needs a CUDA build of torch and a GPU"):
        make_engine(load_model("tiny"), engine="torch", device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_half_precision_agrees_with_the_cpu(derainers):
    pair = random_pair(100, 131)
    derainer = StereoDerainer("tiny", engine="torch", device="cuda")
    assert derainer.engine.precision == "float16"
    for got, want in zip(derainer(*pair), derainers["torch"](*pair)):
        assert np.abs(got.astype(int) - want).max() <= 3


def test_bfloat16_runs_on_the_cpu(derainers):
    pair = random_pair(32, 48)
    got = StereoDerainer("tiny", engine="torch", precision="bfloat16")(*pair)
    assert np.abs(got[0].astype(int) - derainers["torch"](*pair)[0]).mean() < 2
