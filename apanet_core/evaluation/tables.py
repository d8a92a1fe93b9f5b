"""The results of an evaluation: columns, means, and export as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from apanet_core.evaluation.inputs import SIDES
from apanet_core.evaluation.settings import CLEAN

Row = dict[str, Any]
Summary = dict[str, dict[str, "float | None"]]  # mean by method and key


@dataclass(frozen=True)
class Column:
    """A measured value.

    Attributes:
        key: name in CSV and JSON; `_left` and `_right` are appended if `per_view`.
        title: name in tables.
        unit: unit of the value; may be empty.
        better: "higher", "lower", "zero" (the nearest to it), "clean" (the nearest to the clean pair's) or
            "none".
        digits: decimals in tables.
        per_view: whether left and right have a value each.
        meaning: an explanation for the report.
    """

    key: str
    title: str
    unit: str
    better: str
    digits: int
    per_view: bool
    meaning: str

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of its values in a row."""
        return tuple(f"{self.key}_{side}" for side in SIDES) if self.per_view else (self.key,)


def columns(truth_is_known: bool, lpips: bool, stereo_gain: bool = False) -> list[Column]:
    """Return the columns of an evaluation.

    Args:
        truth_is_known: compare disparities with true ones; otherwise, with those of the clean pair.
        lpips: whether LPIPS is measured.
        stereo_gain: whether the gain from the second view is measured.

    Returns:
        The columns, in the order of the tables.
    """
    reference = "the true disparity" if truth_is_known else "the disparity of the clean pair"
    quality = [
        Column("psnr_rgb", "PSNR RGB", "dB", "higher", 2, True, "over all RGB values; 100 for equal images"),
        Column(
            "ssim_rgb",
            "SSIM RGB",
            "",
            "higher",
            4,
            True,
            "mean over the RGB channels, whole Gaussian windows of 11 px, sigma 1.5",
        ),
        Column("psnr_y", "PSNR Y", "dB", "higher", 2, True, "on BT.601 luma in 16..235, as MATLAB's rgb2ycbcr"),
        Column("ssim_y", "SSIM Y", "", "higher", 4, True, "on the same luma"),
    ]
    if lpips:
        quality.append(Column("lpips", "LPIPS", "", "lower", 4, True, "perceptual distance, AlexNet, version 0.1"))
    gains = []
    if stereo_gain:
        gains = [
            Column("stereo_gain_db", "stereo gain", "dB", "higher", 2, False,
                   "PSNR of the left view with its own partner minus that with the left view given twice"),
            Column("clean_partner_db", "clean partner", "dB", "higher", 2, False,
                   "PSNR of the left view with the clean right view minus that with its own rainy one"),
            Column("attention_wrong_percent", "attention wrong", "%", "lower", 2, False,
                   f"pixels whose attention lies more than 3 px from {reference}"),
        ]  # fmt: skip
    return [
        *quality,
        Column("epe_px", "EPE", "px", "none", 2, False,
               f"mean error of SGBM's disparity against {reference}, over matched pixels; a method that matches "
               "fewer pixels leaves out the hardest, so no best is marked"),
        Column("wrong_percent", "disparity wrong", "%", "lower", 2, False,
               f"pixels whose SGBM disparity is missing or more than 3 px from {reference}"),
        Column("ghosts_percent", "ghosts", "%", "lower", 2, False,
               f"pixels more than 3 px nearer than {reference}: a robot brakes for them"),
        Column("off_percent", "disparity off", "%", "lower", 2, False,
               f"pixels with a disparity that is more than 3 px from {reference}, ghosts included"),
        Column("missing_percent", "missing", "%", "lower", 2, False,
               "pixels without a disparity where the clean pair has one"),
        Column("photometric_error", "left/right difference", "grey levels", "clean", 2, False,
               f"between the left view and the right view moved onto it by {reference}; blur lowers it too, so the "
               "nearest to the clean pair's is best"),
        Column("brightness_shift", "brightness shift", "grey levels", "zero", 2, False,
               "mean of the output minus mean of the clean pair"),
        *gains,
    ]  # fmt: skip


def summarise(rows: list[Row], table: list[Column]) -> Summary:
    """Return the mean of every key over the images that have a value, by method."""
    summary: Summary = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        summary[method] = {}
        for key in (key for column in table for key in column.keys):
            values = [row[key] for row in own if row[key] is not None]
            summary[method][key] = round(float(np.mean(values)), 6) if values else None
    return summary


def best_methods(summary: Summary, column: Column) -> list[str]:
    """Return the methods with the best mean over both views; the clean pair is left out."""
    if column.better == "none":
        return []
    scores = {}
    for method, means in summary.items():
        values = [value for key in column.keys if (value := means[key]) is not None]
        if method != CLEAN and values:
            scores[method] = round(_badness(float(np.mean(values)), column, summary), column.digits)
    return [method for method, score in scores.items() if score == min(scores.values())]


def _badness(value: float, column: Column, summary: Summary) -> float:
    if column.better == "higher":
        return -value
    if column.better == "lower":
        return value
    return abs(value - ((summary[CLEAN][column.key] or 0.0) if column.better == "clean" else 0.0))


def markdown(summary: Summary, table: list[Column]) -> str:
    """Return the means as a table, best in bold; two views give a cell "left / right"."""
    heads = [f"{c.title}{f' ({c.unit})' if c.unit else ''}" for c in table]
    lines = [f"| method | {' | '.join(heads)} |", f"|{'---|' * (len(heads) + 1)}"]
    best = {column.key: best_methods(summary, column) for column in table}
    for method, means in summary.items():
        cells = []
        for column in table:
            texts = [f"{v:.{column.digits}f}" for key in column.keys if (v := means[key]) is not None]
            mark = "**" if texts and method in best[column.key] else ""
            cells.append(f"{mark}{' / '.join(texts)}{mark}")
        name = method.replace("|", "\\|")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def csv_text(rows: list[Row], table: list[Column]) -> str:
    """Return CSV with a line per image and method; an empty cell for a missing value."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["name", "method", *(key for c in table for key in c.keys)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
