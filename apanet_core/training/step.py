"""One step of training; on a CUDA device a graph of its kernels, whose launches would take longer than their work."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch

from apanet_core.training.objectives import Batch

EAGER_STEPS = 3  # before a capture: libraries choose their kernels, the optimizer allocates its state


class StepResult(NamedTuple):
    """Scalars on the device: mean loss of the batches, norm of the gradient, terms of the last batch."""

    loss: torch.Tensor
    norm: torch.Tensor
    terms: dict[str, torch.Tensor]


class Capture(Protocol):
    """Makes graphs of steps."""

    def eager(self, step: Callable[[], StepResult]) -> StepResult:
        """Run a step in such a way that it can be captured later."""

    def capture(self, step: Callable[[], StepResult]) -> Callable[[], StepResult]:
        """Return the replay of a step, which this call does not run."""


class CUDACapture:
    """CUDA graphs of steps, warmed up and captured in a stream of their own."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def eager(self, step: Callable[[], StepResult]) -> StepResult:
        """Run a step in the stream of the captures."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            result = step()
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def capture(self, step: Callable[[], StepResult]) -> Callable[[], StepResult]:
        """Return the replay of a step, which this call does not run."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            result = step()

        def replay() -> StepResult:
            graph.replay()
            return result

        return replay


class TrainingStep:
    """Gradients of one step, clipping and the update of the weights.

    With a capture, the first `EAGER_STEPS` steps of each shape of batches run eagerly, the others as a graph. If the
    capture fails, one warning says so, and all steps run eagerly.

    Args:
        gradients: adds the gradients of batches to the parameters; returns their mean loss and the terms of the last.
        clip: clips the gradients; returns their norm before.
        optimizer: updates the weights; for a capture, one that can be `capturable`.
        capture: makes the graphs; None runs all steps eagerly.
    """

    def __init__(
        self,
        gradients: Callable[[list[Batch]], tuple[torch.Tensor, dict[str, torch.Tensor]]],
        clip: Callable[[], torch.Tensor | None],
        optimizer: torch.optim.Optimizer,
        capture: Capture | None = None,
    ) -> None:
        self._gradients, self._clip, self._optimizer, self._capture = gradients, clip, optimizer, capture
        self._inputs: list[Batch] = []  # of the graph
        self._eager_left = EAGER_STEPS
        self._replay: Callable[[], StepResult] | None = None
        self._capture_failed = False
        if capture is not None:
            for group in optimizer.param_groups:
                group["capturable"] = True
                # a graph reads the rate from the device
                group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=group["params"][0].device)

    def __call__(self, batches: list[Batch], rates: list[float]) -> StepResult:
        """Train one step.

        Args:
            batches: entries of (B, ...) on the device of the network.
            rates: learning rate of each parameter group.

        Returns:
            Loss and norm are the caller's; the next step may overwrite the terms.
        """
        groups = zip(self._optimizer.param_groups, rates, strict=True)
        if self._capture is None:
            for group, rate in groups:
                group["lr"] = rate
            return self._step(batches)
        for group, rate in groups:
            group["lr"].fill_(rate)
        self._copy_in(batches)
        if self._replay is None and self._eager_left <= 0 and not self._capture_failed:
            self._replay = self._captured(self._capture)
        if self._replay is not None:
            result = self._replay()
        else:
            self._eager_left -= 1
            result = self._capture.eager(lambda: self._step(self._inputs))
        return result._replace(loss=result.loss.clone(), norm=result.norm.clone())

    def _copy_in(self, batches: list[Batch]) -> None:
        """Copy the batches into the inputs of the graph; give up the graph if their shapes are new."""
        if _shapes(batches) != _shapes(self._inputs):
            self._replay, self._eager_left = None, EAGER_STEPS
            self._inputs = [{name: value.clone() for name, value in batch.items()} for batch in batches]
            return
        for inputs, batch in zip(self._inputs, batches):
            for name, value in batch.items():
                inputs[name].copy_(value)

    def _captured(self, capture: Capture) -> Callable[[], StepResult] | None:
        try:
            return capture.capture(lambda: self._step(self._inputs))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            warnings.warn(f"CUDA graph capture failed, training runs without it: {reason}", stacklevel=3)
            self._capture_failed = True
            return None

    def _step(self, batches: list[Batch]) -> StepResult:
        self._optimizer.zero_grad()
        loss, terms = self._gradients(batches)
        norm = self._clip()
        assert norm is not None
        self._optimizer.step()
        return StepResult(loss, norm, terms)


def _shapes(batches: list[Batch]) -> list[dict[str, tuple[torch.Size, torch.dtype]]]:
    return [{name: (value.shape, value.dtype) for name, value in batch.items()} for batch in batches]
