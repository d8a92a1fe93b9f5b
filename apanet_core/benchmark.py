"""Speed and memory of models and engines, side by side in one run."""

from __future__ import annotations

import copy
import json
import math
import platform
import re
import resource
import statistics
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from apanet_core.engines.choose import make_engine
from apanet_core.engines.engine import Engine
from apanet_core.engines.memory import check_memory
from apanet_core.model.checkpoint import bundled_models, load_model
from apanet_core.model.config import preset
from apanet_core.model.network import APANet
from apanet_core.model.parallax_attention import ParallaxAttention, band_mask
from apanet_core.progress import progress_bar
from apanet_core.workers import worker_pool

LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch", "cudaMemcpyAsync")  # calls of the CUDA runtime


@dataclass(frozen=True)
class Case:
    """One case to measure.

    `max_disparity` 0 keeps the cap of the model; `compiled` is torch.compile; `dense` replaces APAM by the form that
    builds its H x W x W map.
    """

    model: str
    engine: str
    device: str
    precision: str
    height: int
    width: int
    max_disparity: int = 0
    compiled: bool = False
    dense: bool = False

    @property
    def name(self) -> str:
        """Return model, engine and size as text, for messages."""
        return f"{self.model}{'+dense' * self.dense}, {self.engine}, {self.width}x{self.height}"


@dataclass(frozen=True)
class Result:
    """Result of one case.

    Attributes:
        model: preset, or path of a checkpoint; "+dense" with the dense map.
        engine: name of the engine.
        device: name of the device.
        precision: auto, float32, float16 or bfloat16.
        size: WIDTHxHEIGHT in px.
        first_ms: time to prepare the engine for a size, and of its first pair.
        median_ms: median time of one pair, uint8 images in and out.
        p95_ms: 95th percentile.
        pairs_per_s: 1000 / median_ms.
        gmac: billions of multiply-accumulates of one pair, counted by torch.
        gmac_per_s: gmac x pairs_per_s.
        peak_gib: most memory the process held (CPU), or torch reserved (CUDA).
        device_ms: time of a pair on the device, copies included; None on a CPU.
        launches: kernels, graphs and copies that a pair starts; None on a CPU.
    """

    model: str
    engine: str
    device: str
    precision: str
    size: str
    first_ms: float
    median_ms: float
    p95_ms: float
    pairs_per_s: float
    gmac: float
    gmac_per_s: float
    peak_gib: float
    device_ms: float | None = None
    launches: int | None = None


def benchmark(cases: list[Case], repeats: int, seconds: float) -> list[Result]:
    """Measure every case in a separate process, so that peak memory is that of the case.

    Args:
        cases: what to measure.
        repeats: most timed runs of a case.
        seconds: a case stops after its first run beyond this.

    Returns:
        A result per case that can run here; why another cannot is printed.

    Raises:
        ValueError: none of the cases can run.
    """
    results = []
    bar = progress_bar(cases, desc="benchmark", unit="case")
    for case in bar:
        try:
            with worker_pool(1) as process:
                results.append(process.submit(measure, case, repeats, seconds).result())
        except BrokenProcessPool:
            bar.write(f"{case.name} was killed, probably out of memory", file=sys.stderr)
        except (ValueError, ImportError, MemoryError, OSError) as error:
            bar.write(f"{case.name}: {error}", file=sys.stderr)
    if not results:
        raise ValueError("nothing could be measured: see the lines above")
    return results


def measure(case: Case, repeats: int, seconds: float) -> Result:
    """Time one case in this process: warm-up, then `repeats` runs of one random pair."""
    torch.manual_seed(0)
    network = _network(case)
    if case.dense:
        for module in network.modules():
            if isinstance(module, ParallaxAttention):
                module.attention = dense_attention
    gmac = count_gmac(network, case.height, case.width)
    engine = make_engine(network, case.engine, case.device, case.precision, case.compiled)
    check_memory(network.config, engine, case.height, case.width, dense=case.dense)
    rng = np.random.default_rng(0)
    left, right = (rng.integers(0, 256, (case.height, case.width, 3), dtype=np.uint8) for _ in range(2))
    started = time.perf_counter()
    engine.prepare(case.height, case.width)
    engine(left, right)
    first = time.perf_counter() - started
    times: list[float] = []
    while len(times) < repeats and sum(times) < seconds:
        times.append(_seconds(engine, left, right))
    median = statistics.median(times)
    on_gpu = engine.device != "CPU"
    on_cpu = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = torch.cuda.max_memory_reserved(engine.memory) if on_gpu else on_cpu
    device_ms, launches = _on_device(engine, left, right) if on_gpu else (None, None)
    return Result(
        model=case.model
        + (f" cap {case.max_disparity}" if case.max_disparity else "")
        + ("+dense" if case.dense else ""),
        engine=engine.name + (" compiled" if case.compiled else ""),
        device=engine.device,
        precision=engine.precision,
        size=f"{case.width}x{case.height}",
        first_ms=1000 * first,
        median_ms=1000 * median,
        p95_ms=1000 * sorted(times)[math.ceil(0.95 * len(times)) - 1],
        pairs_per_s=1 / median,
        gmac=gmac,
        gmac_per_s=gmac / median,
        peak_gib=peak / 2**30,
        device_ms=device_ms,
        launches=launches,
    )


def _network(case: Case) -> APANet:
    if case.model.endswith(".safetensors") or case.model in bundled_models():
        return load_model(case.model, case.max_disparity)
    return APANet(preset(case.model).capped(case.max_disparity)).eval()  # speed needs no weights


def _seconds(engine: Engine, left: np.ndarray, right: np.ndarray) -> float:
    """Time one pair, host arrays in and out, in s."""
    start = time.perf_counter()
    engine(left, right)
    return time.perf_counter() - start


def _on_device(engine: Engine, left: np.ndarray, right: np.ndarray) -> tuple[float, int]:
    """Return the device time of a pair in ms, and the number of launches and copies from the host."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        engine(left, right)
    events = profiler.key_averages()
    launches = sum(event.count for event in events if event.key.startswith(LAUNCHES))
    # the calls on the host have the time of their kernels as well
    on_card = sum(event.self_device_time_total for event in events if event.device_type == DeviceType.CUDA)
    return on_card / 1000, launches


def dense_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    max_disparity_columns: int | None,
    for_right_view: bool = False,
) -> torch.Tensor:
    """`scanline_attention` as the formula has it, through a map of H x W x W weights: the reference to beat."""
    logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    mask = band_mask(query.shape[2], max_disparity_columns, query.device)
    return F.softmax(logits.masked_fill(~(mask.T if for_right_view else mask), -torch.inf), dim=-1) @ value


def count_gmac(network: APANet, height: int, width: int) -> float:
    """Return the GMAC of one pair, counted without running it."""
    from torch.utils.flop_counter import FlopCounterMode

    shape_only = copy.deepcopy(network).to("meta")
    view = torch.empty(1, 3, height, width, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shape_only(view, view)
    return counter.get_total_flops() / 2e9


def format_results(results: list[Result]) -> str:
    """Return a Markdown table, the ratio of every `+dense` row to the row without it, and the machine."""
    rows = [asdict(result) for result in results]
    names = [field.name for field in fields(Result) if any(row[field.name] is not None for row in rows)]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join(_text(row[name]) for name in names)} |" for row in rows]
    own = {(r.model, r.engine, r.size, r.precision): r for r in results}
    for dense in (r for r in results if r.model.endswith("+dense")):
        ours = own[dense.model.removesuffix("+dense"), dense.engine, dense.size, dense.precision]
        speed, memory = dense.median_ms / ours.median_ms, dense.peak_gib / ours.peak_gib
        lines.append(
            f"\n{ours.model} {ours.size}: dense takes {speed:.2f} times as long, {memory:.2f} times the memory"
        )
    return "\n".join([*lines, "", machine()])


def _text(value: str | float | None) -> str:
    """Return three digits of a number; empty for None."""
    if isinstance(value, float):
        return f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return "" if value is None else str(value)


def machine() -> str:
    """Return CPU, thread count, torch version, and graphics card and driver if there is one, as text."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    words = [cpu, f"{torch.get_num_threads()} threads", f"torch {torch.__version__}"]
    if torch.cuda.is_available():
        words += [torch.cuda.get_device_name(), f"driver {_nvidia_driver()}"]
    return ", ".join(words)


def _nvidia_driver() -> str:
    """Return the version of NVIDIA's kernel module; "unknown" where it does not tell."""
    told = Path("/proc/driver/nvidia/version")
    versions = re.findall(r"\d+\.\d+[.\d]*", told.read_text().partition("\n")[0]) if told.exists() else []
    return versions[0] if versions else "unknown"


def write_json(results: list[Result], path: Path) -> None:
    """Write the results and the machine as JSON."""
    path.write_text(json.dumps({"machine": machine(), "results": [asdict(r) for r in results]}, indent=2) + "\n")
