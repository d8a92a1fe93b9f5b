"""Compare the rainy input, models and other methods' outputs on a data set: quality, stereo depth, consistency."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from apanet_core import __version__
from apanet_core.atomic import check_can_be_made, write_text
from apanet_core.evaluation import lpips
from apanet_core.evaluation.comparison import Comparison
from apanet_core.evaluation.inputs import Sample, check_samples, find_samples
from apanet_core.evaluation.report import report_html
from apanet_core.evaluation.settings import CLEAN, RAINY, EvaluationSettings
from apanet_core.evaluation.tables import Row, Summary, best_methods, columns, csv_text, markdown, summarise
from apanet_core.images import sizes
from apanet_core.progress import progress_bar
from apanet_core.workers import WorkerOptions, once_per_process, run_tasks

SUSPICIOUS_PERCENT = 15.0  # share of wrong SGBM disparities on clean pairs; 2 to 8 % on KITTI and Middlebury


def evaluate(data: Path, out: Path, settings: EvaluationSettings, options: WorkerOptions | None = None) -> str:
    """Measure every method on every pair; write per_image.csv, results.json and report.html into `out`.

    All inputs are read and checked before the work starts; `out` is written at the end.

    Args:
        data: a folder in a layout that `find_pairs` knows.
        out: folder; made if it does not exist.
        settings: methods to compare and values to measure.
        options: processes or cluster that do the work; None: this process.

    Returns:
        The means as a Markdown table, with notes.

    Raises:
        ValueError: an input is unreadable or has the wrong size, or a setting is invalid.
        FileNotFoundError: an input is missing.
        OSError: `out` cannot be made or written into.
        MemoryError: a worker was killed.
    """
    check_can_be_made(out)
    options = options or WorkerOptions()
    options.check()
    samples = find_samples(data, settings.named_outputs, settings.disparity, settings.limit)
    comparison = Comparison(settings)
    smallest_px = sizes.SMALLEST_SIDE_PX if settings.lpips is None else lpips.SMALLEST_SIDE_PX
    check_samples(samples, settings.max_disparity, smallest_px, settings.disparity_scale)

    measure: Callable[[Sample], list[Row]] = comparison.measure
    if not options.in_process(len(samples)):
        measure = partial(_measure, settings=settings, run=uuid4().hex)
    measured: dict[Any, list[Row]] = {}
    tasks = run_tasks(measure, samples, options)
    for of_sample in progress_bar(tasks, desc="evaluate", total=len(samples), unit="pair"):
        measured[of_sample[0]["name"]] = of_sample
    table = columns(settings.disparity is not None, settings.lpips is not None, settings.stereo_gain)
    rows = [row for sample in samples for row in measured[sample.name]]
    for row in rows:  # a value that was not measured is None
        row.update({key: row.get(key) for column in table for key in column.keys})
    shown = _spread(samples, rows, comparison.names, settings.pictures)
    pictures = [comparison.picture(sample, len(shown)) for sample in progress_bar(shown, desc="pictures", unit="pair")]

    summary = summarise(rows, table)
    results = {
        "data": str(data),
        "images": len(samples),
        "depth_reference": "clean pair" if settings.disparity is None else "ground truth",
        "methods": comparison.described,
        "settings": asdict(settings),
        "versions": _versions(),
        "columns": [{**asdict(column), "keys": column.keys} for column in table],
        "summary": summary,
        "best": {column.key: best_methods(summary, column) for column in table},
        "rows": rows,
    }
    text = json.dumps(results, indent=1, default=str, allow_nan=False) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "per_image.csv", csv_text(rows, table))
    write_text(out / "results.json", text)
    write_text(out / "report.html", report_html({**json.loads(text), "pictures": pictures}))
    return "\n".join([markdown(summary, table), "", *_notes(samples, settings, summary)])


def _measure(sample: Sample, settings: EvaluationSettings, run: str) -> list[Row]:
    """Run `Comparison.measure` in a worker process."""
    with once_per_process(run, partial(Comparison, settings)) as comparison:
        return comparison.measure(sample)


def _spread(samples: list[Sample], rows: list[Row], methods: list[str], count: int) -> list[Sample]:
    """Return `count` pairs, evenly by rank, from the worst to the best PSNR gain of the first method."""
    psnr_of = {(row["name"], row["method"]): row["psnr_rgb_left"] for row in rows if row["method"] != CLEAN}
    first = methods[1] if methods[1] != CLEAN else RAINY
    gains = {s.name: psnr_of[s.name, first] - psnr_of[s.name, RAINY] for s in samples}
    ranked = sorted(samples, key=lambda s: (gains[s.name], s.name))
    chosen = dict.fromkeys(np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int).tolist())
    return [ranked[i] for i in chosen]


def _notes(samples: list[Sample], settings: EvaluationSettings, summary: Summary) -> list[str]:
    against = "those of the clean pair" if settings.disparity is None else "the true ones"
    notes = [
        f"Means over {len(samples)} {'pair' if len(samples) == 1 else 'pairs'}, left / right view. Disparities: "
        f"OpenCV's SGBM, searched up to {settings.max_disparity} px, against {against}."
    ]
    off = summary[CLEAN].get("off_percent")
    if settings.disparity is not None and off is not None and off > SUSPICIOUS_PERCENT:
        notes.append(
            f"{off:.0f} % of the clean pairs' own disparities are off by more than 3 px: check the true disparities, "
            "--disparity_scale and the order of the views."
        )
    if settings.lpips is None:
        notes.append("LPIPS was not measured: it needs AlexNet's weights (--lpips FILE).")
    if settings.stereo_gain and not any("attention_wrong_percent" in values for values in summary.values()):
        notes.append("The attention's disparity needs the torch engine (--engine torch).")
    if not all(sample.is_stereo for sample in samples):
        notes.append("Single images have no depth and no right view.")
    return notes


def _versions() -> dict[str, str]:
    found = {"apanet": __version__, "numpy": np.__version__, "torch": torch.__version__}
    for package in ("opencv-python", "torchmetrics", "openvino"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
