"""Compare the rainy input, models and other methods' outputs on a data set: quality, stereo depth, consistency."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from apanet_core import __version__
from apanet_core.atomic import check_can_be_made, write_text
from apanet_core.derainer import StereoDerainer
from apanet_core.evaluation.consistency import photometric_error
from apanet_core.evaluation.depth import bad_pixel_rate, end_point_error, error_shares
from apanet_core.evaluation.inputs import (
    SIDES,
    Sample,
    Views,
    check_samples,
    find_samples,
    read_views,
)
from apanet_core.evaluation.lpips import LPIPS, SMALLEST_SIDE_PX
from apanet_core.evaluation.report import draw_picture, report_html
from apanet_core.evaluation.settings import CLEAN, RAINY, TRUTH, EvaluationSettings
from apanet_core.evaluation.stereo_gain import stereo_gain
from apanet_core.evaluation.tables import Row, best_methods, columns, csv_text, markdown, summarise
from apanet_core.images.metrics import brightness_shift, luma, psnr, ssim
from apanet_core.stereo.disparity import read_disparity
from apanet_core.stereo.sgbm import sgbm_disparity

Method = Callable[[Sample], Views]


def evaluate(data: Path, out: Path, settings: EvaluationSettings) -> str:
    """Measure every method on every pair; write per_image.csv, results.json and report.html into `out`.

    Everything is read and checked before the work starts, and `out` is written when it is done.

    Args:
        data: a folder in a layout that `find_pairs` knows.
        out: folder; made where it is missing.
        settings: what to compare.

    Returns:
        The means, as a Markdown table with notes.

    Raises:
        ValueError: an input is unreadable, has the wrong size, or a setting makes no sense.
        FileNotFoundError: an input is missing.
        OSError: `out` cannot be made or written into.
    """
    check_can_be_made(out)
    samples = find_samples(data, settings.named_outputs, settings.disparity, settings.limit)
    lpips = None if settings.lpips is None else LPIPS(settings.lpips)
    derainers, methods, described = _methods(settings)
    check_samples(samples, settings.max_disparity, *([] if lpips is None else [SMALLEST_SIDE_PX]))

    table = columns(settings.disparity is not None, lpips is not None, settings.stereo_gain)
    rows: list[Row] = []
    for sample in tqdm(samples, desc="evaluate", unit="pair"):
        views, disparities = _look(sample, methods, settings.max_disparity)
        rows += _measure(sample.name, views, disparities, lpips)
        if settings.stereo_gain and sample.is_stereo:
            reference = disparities.get(TRUTH, disparities[CLEAN])
            for row in rows[-len(methods) :]:
                if (method := row["method"]) in derainers:
                    own = views[method][0]
                    gains = stereo_gain(derainers[method], views[RAINY], views[CLEAN], own, reference)
                    row.update({key: _rounded(value) for key, value in gains.items()})
    for row in rows:  # what was not measured is None, in every row
        row.update({key: row.get(key) for column in table for key in column.keys})
    shown = _spread(samples, rows, list(methods), settings.pictures)
    pictures = []
    for sample in tqdm(shown, desc="pictures", unit="pair"):
        pictures.append(draw_picture(sample.name, *_look(sample, methods, settings.max_disparity), len(shown)))

    summary = summarise(rows, table)
    results = {
        "data": str(data),
        "images": len(samples),
        "depth_reference": "clean pair" if settings.disparity is None else "ground truth",
        "methods": described,
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
    return "\n".join([markdown(summary, table), "", *_notes(samples, settings)])


def _methods(settings: EvaluationSettings) -> tuple[dict[str, StereoDerainer], dict[str, Method], list[dict[str, str]]]:
    """The models, all methods in the order of the tables, the clean pair last, and what they are in words."""
    derainers: dict[str, StereoDerainer] = {}
    methods: dict[str, Method] = {RAINY: lambda sample: read_views(sample.rainy)}
    described = [{"name": RAINY, "what": "the input"}]
    for name, model in settings.named_models.items():
        derainer = StereoDerainer(model, settings.engine, settings.device)
        derainers[name] = derainer
        methods[name] = lambda sample, derainer=derainer: derainer(*read_views(sample.rainy))  # type: ignore[misc]
        engine = derainer.engine
        described.append({"name": name, "what": f"model {model}, {engine.name}, {engine.device}, {engine.precision}"})
    for name, folder in settings.named_outputs.items():
        methods[name] = lambda sample, name=name: read_views(sample.outputs[name])  # type: ignore[misc]
        described.append({"name": name, "what": f"images in {folder}"})
    methods[CLEAN] = lambda sample: read_views(sample.clean)
    return (
        derainers,
        methods,
        [*described, {"name": CLEAN, "what": "the clean pair itself: what depth and views can reach"}],
    )


def _look(
    sample: Sample, methods: dict[str, Method], max_disparity: int
) -> tuple[dict[str, Views], dict[str, np.ndarray]]:
    """The views of every method and their disparities; "truth" is among those where known."""
    views = {name: method(sample) for name, method in methods.items()}
    disparities: dict[str, np.ndarray] = {}
    if sample.is_stereo:
        disparities = {name: sgbm_disparity(*pair, max_disparity) for name, pair in views.items()}
        if sample.disparity is not None:
            disparities[TRUTH] = read_disparity(sample.disparity)
    return views, disparities


def _measure(name: str, views: dict[str, Views], disparities: dict[str, np.ndarray], lpips: LPIPS | None) -> list[Row]:
    """A row per method."""
    rows = []
    for method, pair in views.items():
        row: Row = {"name": name, "method": method}
        if method != CLEAN:
            row |= _quality(pair[: 2 if disparities else 1], views[CLEAN], lpips)
        if disparities:
            reference = disparities.get(TRUTH, disparities[CLEAN])
            row["epe_px"] = end_point_error(disparities[method], reference)
            row["wrong_percent"] = 100 * bad_pixel_rate(disparities[method], reference)
            shares = error_shares(disparities[method], reference, disparities[CLEAN])
            row |= dict(zip(("ghosts_percent", "off_percent", "missing_percent"), (100 * share for share in shares)))
            row["photometric_error"] = photometric_error(*pair, reference)
        rows.append({k: _rounded(v) if isinstance(v, float) else v for k, v in row.items()})
    return rows


def _quality(views: tuple[np.ndarray, ...], clean: Views, lpips: LPIPS | None) -> Row:
    row: Row = {}
    image, reference = (
        torch.from_numpy(np.stack(pair[: len(views)])).permute(0, 3, 1, 2).float() / 255 for pair in (views, clean)
    )
    values = {
        "psnr_rgb": psnr(image, reference),
        "ssim_rgb": ssim(image, reference),
        "psnr_y": psnr(luma(image), luma(reference)),
        "ssim_y": ssim(luma(image), luma(reference)),
    }
    if lpips is not None:
        values["lpips"] = lpips(image, reference)
    for key, per_view in values.items():
        row |= {f"{key}_{side}": value for side, value in zip(SIDES, per_view.tolist())}
    row["brightness_shift"] = brightness_shift(image, reference).mean().item()
    return row


def _rounded(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None


def _spread(samples: list[Sample], rows: list[Row], methods: list[str], count: int) -> list[Sample]:
    """Pairs from the worst to the best gain of the first method over the rainy input, evenly by rank."""
    psnr_of = {(row["name"], row["method"]): row["psnr_rgb_left"] for row in rows if row["method"] != CLEAN}
    first = methods[1] if methods[1] != CLEAN else RAINY
    gains = {s.name: psnr_of[s.name, first] - psnr_of[s.name, RAINY] for s in samples}
    ranked = sorted(samples, key=lambda s: (gains[s.name], s.name))
    chosen = dict.fromkeys(np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int).tolist())
    return [ranked[i] for i in chosen]


def _notes(samples: list[Sample], settings: EvaluationSettings) -> list[str]:
    against = "those of the clean pair" if settings.disparity is None else "the true ones"
    notes = [
        f"Means over {len(samples)} {'pair' if len(samples) == 1 else 'pairs'}, left / right view. Disparities: "
        f"OpenCV's SGBM, searched up to {settings.max_disparity} px, against {against}."
    ]
    if settings.lpips is None:
        notes.append("LPIPS was not measured: it needs AlexNet's weights (--lpips FILE).")
    if settings.stereo_gain and settings.engine != "torch":
        notes.append("The attention's disparity is read off the torch engine (--engine torch).")
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
