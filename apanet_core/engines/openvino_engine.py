"""The network in OpenVINO."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch

from apanet_core.engines.engine import EngineOptions, Pair, check_change, memory_errors
from apanet_core.engines.export import openvino_model
from apanet_core.engines.quiet_openvino import import_openvino
from apanet_core.images.channel_order import contiguous
from apanet_core.model.network import APANet

SAME_SIZE_IN_A_ROW = 3
KERNELS_KEPT = 200  # by default 5000, which are those of hundreds of sizes and a gigabyte


class OpenVINOEngine:
    """OpenVINO on the CPU, the fastest there for small networks.

    A model for any size is ready from the start. After `SAME_SIZE_IN_A_ROW` pairs of one size, a model for that size is
    compiled in the background, because it is faster (docs/decisions/004).

    Args:
        network: in eval mode, float32, on the CPU.
        options: the CPU, float32 or bfloat16.
    """

    name = "openvino"

    def __init__(self, network: APANet, options: EngineOptions) -> None:
        if options.device not in ("auto", "cpu"):
            raise ValueError(f"the openvino engine runs on the CPU: use device 'auto' or 'cpu', not {options.device!r}")
        if options.precision == "float16":
            raise ValueError("the openvino engine computes in float32 or bfloat16: use precision 'auto', not 'float16'")
        self.device, self.memory = "CPU", torch.device("cpu")
        self._core = import_openvino().Core()
        self.precision = self._choose(options.precision)
        self._running = threading.Lock()  # a request runs one pair at a time
        self._compiling: threading.Thread | None = None
        self._in_a_row: tuple[tuple[int, ...], int] = ((), 0)
        self._expected: set[tuple[int, ...]] = set()  # sizes compiled for so far
        self._model: Any = openvino_model(network)
        self._any_size = self._compile(self._model)
        self._one_size: tuple[tuple[int, ...], Any] | None = None

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        with self._running:
            one_size = self._one_size
            if one_size is not None and one_size[0] == left.shape:
                request = one_size[1]
            else:
                request = self._any_size
                self._expect(left.shape)
            with memory_errors(f"a pair of {left.shape[1]}x{left.shape[0]}"):
                result = request.infer([contiguous(left), contiguous(right)], share_inputs=True)
            check_change(float(result[2]), self.precision)
            return result[0].copy(), result[1].copy()

    def _choose(self, precision: str) -> str:
        """Resolve "auto": bfloat16 where the CPU has it."""
        has_bfloat16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bfloat16" and not has_bfloat16:
            raise ValueError("this CPU has no bfloat16 (avx512_bf16 or AMX): use precision 'auto' or 'float32'")
        if precision != "auto":
            return precision
        return "bfloat16" if has_bfloat16 else "float32"

    def _expect(self, shape: tuple[int, ...]) -> None:
        """Compile for `shape` in the background once it came several times in a row, and only once."""
        self._in_a_row = (shape, self._in_a_row[1] + 1) if self._in_a_row[0] == shape else (shape, 1)
        idle = self._compiling is None or not self._compiling.is_alive()
        if idle and self._in_a_row[1] >= SAME_SIZE_IN_A_ROW and shape not in self._expected:
            self._expected.add(shape)
            self._compiling = threading.Thread(target=self._prepare, args=(shape, self._model))
            self._compiling.start()

    def prepare(self, height: int, width: int) -> None:
        self._prepare((height, width, 3), self._model)

    def _prepare(self, shape: tuple[int, ...], model: Any) -> None:
        with memory_errors(f"a model for {shape[1]}x{shape[0]}"):
            model = model.clone()
            model.reshape({0: list(shape), 1: list(shape)})
            request = self._compile(model)
        with self._running:
            if self._model is not None:  # not closed since
                self._expected.add(shape)
                self._one_size = (shape, request)

    def close(self) -> None:
        with self._running:  # waits for the current pair; a compilation in the background drops its result
            self._one_size = self._any_size = self._model = None

    def _compile(self, model: Any) -> Any:
        options = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[self.precision],
            "PERFORMANCE_HINT": "LATENCY",
            "CPU_RUNTIME_CACHE_CAPACITY": KERNELS_KEPT,
        }
        return self._core.compile_model(model, "CPU", options).create_infer_request()
