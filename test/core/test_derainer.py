import cv2
import numpy as np
import pytest
import torch
from networks import CPU_ENGINES, random_pair

from apanet_core import StereoDerainer


def test_derainer_next_pair_does_not_overwrite_results(derainers):
    for derainer in derainers.values():
        first = derainer(*random_pair(32, 48))
        kept = [view.copy() for view in first]
        derainer(*random_pair(32, 48, seed=1))
        assert all((a == b).all() for a, b in zip(first, kept))


def test_derainer_padded_rows_and_read_only_arrays_are_accepted(derainers):
    left, right = random_pair(32, 64)
    expected = derainers["torch"](left[:, :48].copy(), right[:, :48].copy())
    left.flags.writeable = False
    for derainer in derainers.values():
        got = derainer(left[:, :48], right[:, :48])
        assert np.abs(got[0].astype(int) - expected[0]).max() <= 1


def test_derainer_reads_bgr_memory_through_reversed_views(derainers):
    left, right = random_pair(32, 48)
    in_bgr = [cv2.cvtColor(view, cv2.COLOR_RGB2BGR)[..., ::-1] for view in (left, right)]
    tiled = StereoDerainer("tiny", engine="torch", device="cpu", tile=16, tile_overlap=4)
    for derainer in (*derainers.values(), tiled):
        for got, expected in zip(derainer(*in_bgr), derainer(left, right)):
            np.testing.assert_array_equal(got, expected)
            assert got[..., ::-1].flags.c_contiguous  # BGR for whoever has BGR
        assert derainer(in_bgr[0], right)[0].flags.c_contiguous
    for got, expected in zip(
        derainers["torch"].with_disparity(*in_bgr), derainers["torch"].with_disparity(left, right)
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (np.zeros((32, 32, 3), np.uint8), np.zeros((32, 33, 3), np.uint8), "one size: got 32x32 and 33x32"),
        (np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8), r"\(H, W, 3\) RGB: got shape \(32, 32\)"),
        (np.zeros((8, 32, 3), np.uint8), np.zeros((8, 32, 3), np.uint8), "at least 16 px each way: got 32x8"),
    ],
)
def test_derainer_wrong_shapes_are_refused(derainers, left, right, message):
    with pytest.raises(ValueError, match=message):
        derainers["torch"](left, right)


def test_derainer_float_images_are_refused(derainers):
    with pytest.raises(TypeError, match="uint8.*got float64"):
        derainers["torch"](np.zeros((32, 32, 3)), np.zeros((32, 32, 3)))


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_error_suggests_tile(smallest, error):
    derainer = StereoDerainer(smallest, engine="torch", device="cpu")

    def full(*_):
        raise error

    derainer.engine._eager = full
    with pytest.raises(MemoryError, match=r"not enough memory for a pair of 48x32: use tile"):
        derainer(*random_pair(32, 48))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_derain_tensors_matches_array_results(derainers, dtype):
    pairs = [random_pair(40, 56, seed) for seed in range(3)]
    left, right = (torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2) for views in zip(*pairs))
    if dtype != torch.uint8:
        left, right = left.to(dtype) / 255, right.to(dtype) / 255
    derained = derainers["torch"].derain_tensors(left, right)
    assert all(view.shape == (3, 3, 40, 56) and view.dtype == dtype for view in derained)
    for number, pair in enumerate(pairs):
        for got, want in zip(derained, derainers["torch"](*pair)):
            image = got[number].permute(1, 2, 0).float() * (1 if dtype == torch.uint8 else 255)
            assert np.abs(image.numpy() - want).max() <= 1


def test_derain_tensors_pair_without_numbers_comes_back_unchanged(smallest):
    derainer = StereoDerainer(smallest, engine="torch", device="cpu")
    left, right = (torch.from_numpy(view).permute(2, 0, 1)[None] for view in random_pair(32, 48))
    torch.nn.init.constant_(derainer.engine.network.project_out.weight, torch.nan)
    assert all(torch.equal(*views) for views in zip(derainer.derain_tensors(left, right), (left, right)))


def test_warm_up_of_closed_derainer_or_too_small_size_is_refused(smallest):
    derainer = StereoDerainer(smallest, engine="torch", device="cpu")
    with pytest.raises(ValueError, match="at least 16 px"):
        derainer.warm_up(8, 32)
    derainer.close()
    with pytest.raises(ValueError, match="closed"):
        derainer.warm_up(32, 32)


def test_derain_tensors_bad_input_is_refused(derainers):
    view = torch.zeros(1, 3, 32, 32)
    for left, right, message in (
        (view, view[..., :16], r"both be \(B, 3, H, W\)"),
        (view[:, :1], view[:, :1], r"both be \(B, 3, H, W\)"),
        (view.long(), view.long(), "uint8 or float"),
        (view.to("meta"), view.to("meta"), "must be on cpu: got meta"),
    ):
        with pytest.raises(ValueError, match=message):
            derainers["torch"].derain_tensors(left, right)
    with pytest.raises(ValueError, match="tensors need the engine 'torch'"):
        derainers["openvino"].derain_tensors(view, view)


@pytest.mark.parametrize("engine", CPU_ENGINES)
def test_closed_derainer_raises_value_error(engine, smallest):
    derainer = StereoDerainer(smallest, engine=engine)
    derainer.close()
    with pytest.raises(ValueError, match="the derainer is closed"):
        derainer(*random_pair(32, 32))


def test_derainer_auto_model_reports_chosen_name():
    assert StereoDerainer(engine="torch", device="cpu").model == "tiny"


def test_derainer_ignores_autocast_of_caller(smallest):
    derainer, pair = StereoDerainer(smallest, engine="torch", device="cpu"), random_pair(32, 48)
    tensors = [torch.from_numpy(view).permute(2, 0, 1)[None].float() / 255 for view in pair]
    want, want_tensors = derainer(*pair), derainer.derain_tensors(*tensors)
    with torch.autocast("cpu", torch.bfloat16):
        got, got_tensors = derainer(*pair), derainer.derain_tensors(*tensors)
    assert all(np.array_equal(*views) for views in zip(got, want))
    assert all(torch.equal(*views) for views in zip(got_tensors, want_tensors))


def test_results_of_derain_tensors_can_be_changed_and_trained_on(smallest):
    derainer = StereoDerainer(smallest, engine="torch", device="cpu")
    left, _ = derainer.derain_tensors(*(torch.rand(1, 3, 32, 48) for _ in range(2)))
    left.mul_(2)
    weight = torch.ones((), requires_grad=True)
    (weight * left).sum().backward()
    assert weight.grad == left.sum()
