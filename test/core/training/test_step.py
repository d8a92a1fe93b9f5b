"""Which steps are captured, with a stand-in for the graph; the last test needs a CUDA device."""

import copy

import pytest
import torch
from torch import nn

from apanet_core.training.step import EAGER_STEPS, CUDACapture, StepResult, TrainingStep

RATES = [0.1, 0.05, 0.02, 0.2, 0.1, 0.05, 0.1, 0.2, 0.1]


class RecordingCapture:
    """A capture that notes what is asked of it; its replays run the step into the same tensors, as a graph does."""

    def __init__(self, error=None):
        self.eager_steps, self.captures, self.replays, self.error = 0, 0, 0, error

    def eager(self, step):
        self.eager_steps += 1
        return step()

    def capture(self, step):
        self.captures += 1
        if self.error is not None:
            raise self.error
        static = StepResult(torch.zeros(()), torch.zeros(()), {"term": torch.zeros(())})

        def replay():
            self.replays += 1
            result = step()
            static.loss.copy_(result.loss)
            static.norm.copy_(result.norm)
            static.terms["term"].copy_(result.terms["term"])
            return static

        return replay


def training_step(network, capture=None):
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def gradients(batches):
        losses = [network(batch["x"]).square().mean() for batch in batches]
        loss = torch.stack(losses).mean()
        loss.backward()
        return loss.detach(), {"term": losses[-1].detach()}

    return TrainingStep(gradients, lambda: nn.utils.clip_grad_norm_(network.parameters(), 0.5), optimizer, capture)


def batches_of(rows, number, device="cpu"):
    return [{"x": torch.linspace(-1, 1 + number, 3 * rows, device=device).reshape(rows, 3)} for _ in range(2)]


def run(network, capture, rows, device="cpu"):
    step = training_step(network, capture)
    return [step(batches_of(r, n, device), [rate]) for n, (r, rate) in enumerate(zip(rows, RATES))]


@pytest.mark.parametrize("error", [None, RuntimeError("operation not permitted\nmore")])
def test_captured_steps_match_eager_training(error):
    torch.manual_seed(0)
    one = nn.Linear(3, 2)
    other = copy.deepcopy(one)
    rows = [4, 4, 4, 4, 4, 2, 2, 2, 2]
    expected = run(one, None, rows)
    capture = RecordingCapture(error)
    if error is None:
        results = run(other, capture, rows)
        assert (capture.captures, capture.eager_steps, capture.replays) == (2, 2 * EAGER_STEPS, 3)
    else:
        with pytest.warns(UserWarning, match="capture failed.*: operation not permitted$"):
            results = run(other, capture, rows)
        assert (capture.eager_steps, capture.replays) == (len(rows), 0)
    torch.testing.assert_close(other.state_dict(), one.state_dict())
    for result, wanted in zip(results, expected):  # also after later steps
        torch.testing.assert_close((result.loss, result.norm), (wanted.loss, wanted.norm))


def test_capture_out_of_memory_raises_error():
    with pytest.raises(torch.OutOfMemoryError):
        run(nn.Linear(3, 2), RecordingCapture(torch.OutOfMemoryError("out of memory")), [4] * 4)


def test_resumed_optimizer_becomes_capturable():
    network = nn.Linear(3, 2)
    before = torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)
    network(torch.ones(1, 3)).sum().backward()
    before.step()
    resumed = torch.optim.AdamW(network.parameters(), fused=True)
    resumed.load_state_dict(before.state_dict())
    TrainingStep(lambda batches: None, lambda: None, resumed, RecordingCapture())
    assert resumed.param_groups[0]["capturable"]
    assert resumed.param_groups[0]["lr"].item() == pytest.approx(0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_captured_steps_match_eager_training_on_cuda():
    torch.manual_seed(0)
    one = nn.Linear(3, 2, device="cuda")
    other = copy.deepcopy(one)
    expected, results = run(one, None, [4] * 9, "cuda"), run(other, CUDACapture(), [4] * 9, "cuda")
    torch.testing.assert_close(other.state_dict(), one.state_dict())
    for result, wanted in zip(results, expected):
        torch.testing.assert_close((result.loss, result.norm), (wanted.loss, wanted.norm))
