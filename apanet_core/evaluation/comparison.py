"""Run and measure the methods of an evaluation on one pair after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from apanet_core.derainer import StereoDerainer, WarmDerainer
from apanet_core.evaluation.consistency import photometric_error
from apanet_core.evaluation.depth import bad_pixel_rate, end_point_error, error_shares
from apanet_core.evaluation.inputs import SIDES, Sample, Views, read_views
from apanet_core.evaluation.lpips import LPIPS
from apanet_core.evaluation.match_picture import draw_matches
from apanet_core.evaluation.report import draw_picture
from apanet_core.evaluation.settings import CLEAN, RAINY, TRUTH, EvaluationSettings
from apanet_core.evaluation.stereo_gain import has_attention, stereo_gain
from apanet_core.evaluation.tables import Row
from apanet_core.images.metrics import brightness_shift, luma, psnr, ssim
from apanet_core.stereo.disparity import read_disparity
from apanet_core.stereo.sgbm import sgbm_disparity


class Comparison:
    """The rainy input, the models, the folders of other methods and the clean pair, in this order.

    Args:
        settings: methods, files and limits.

    Attributes:
        described: entries with the name of a method and a description of it.

    Raises:
        ValueError: a model or LPIPS's weights cannot be used.
        FileNotFoundError: a model or LPIPS's weights do not exist.
    """

    def __init__(self, settings: EvaluationSettings) -> None:
        self._settings = settings
        self._lpips = None if settings.lpips is None else LPIPS(settings.lpips)
        self._derainers: dict[str, StereoDerainer] = {}
        self._methods: dict[str, Callable[[Sample], Views]] = {RAINY: lambda sample: read_views(sample.rainy)}
        self.described = [{"name": RAINY, "what": "the input"}]
        for name, model in settings.named_models.items():
            derainer = StereoDerainer(model, settings.engine, settings.device)
            self._derainers[name] = derainer
            warm = WarmDerainer(derainer)
            self._methods[name] = lambda sample, warm=warm: warm(*read_views(sample.rainy))  # type: ignore[misc]
            engine = derainer.engine
            what = f"model {model}, {engine.name}, {engine.device}, {engine.precision}"
            self.described.append({"name": name, "what": what})
        for name, folder in settings.named_outputs.items():
            self._methods[name] = lambda sample, name=name: read_views(sample.outputs[name])  # type: ignore[misc]
            self.described.append({"name": name, "what": f"images in {folder}"})
        self._methods[CLEAN] = lambda sample: read_views(sample.clean)
        self.described.append({"name": CLEAN, "what": "the clean pair: the limit for depth and consistency"})

    @property
    def names(self) -> list[str]:
        """Return the names of the methods."""
        return list(self._methods)

    def measure(self, sample: Sample) -> list[Row]:
        """Return a row per method, with the values of `tables.columns` that were asked for and can be measured."""
        views, disparities = self._look(sample)
        rows = []
        for method, pair in views.items():
            row: Row = {"name": sample.name, "method": method}
            if method != CLEAN:
                row |= self._quality(pair[: 2 if disparities else 1], views[CLEAN])
            if disparities:
                reference = disparities.get(TRUTH, disparities[CLEAN])
                row |= _depth(pair, disparities[method], reference, disparities[CLEAN])
                if self._settings.stereo_gain and method in self._derainers:
                    derainer = self._derainers[method]
                    row |= stereo_gain(derainer, views[RAINY], views[CLEAN], pair[0], reference)
            rows.append({key: _rounded(value) if isinstance(value, float) else value for key, value in row.items()})
        return rows

    def picture(self, sample: Sample, count: int) -> dict[str, Any]:
        """Return what the report shows of a pair; `count` pairs share the size of the file."""
        views, disparities = self._look(sample)
        matches = {}
        if self._settings.stereo_gain and disparities:
            reference = disparities.get(TRUTH, disparities[CLEAN])
            for name, derainer in self._derainers.items():
                if has_attention(derainer):
                    found = derainer.with_disparity(*views[RAINY])
                    matches[name] = draw_matches(*views[RAINY], found.disparity_px, found.confidence, reference)
        return draw_picture(sample.name, views, disparities, count, matches)

    def _look(self, sample: Sample) -> tuple[dict[str, Views], dict[str, np.ndarray]]:
        """Return the views and the disparities of every method, with "truth" among the disparities if known."""
        views = {name: method(sample) for name, method in self._methods.items()}
        disparities: dict[str, np.ndarray] = {}
        if sample.is_stereo:
            farthest = self._settings.max_disparity
            disparities = {name: sgbm_disparity(*pair, farthest) for name, pair in views.items()}
            if sample.disparity is not None:
                disparities[TRUTH] = read_disparity(sample.disparity, self._settings.disparity_scale)
        return views, disparities

    def _quality(self, views: tuple[np.ndarray, ...], clean: Views) -> Row:
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
        if self._lpips is not None:
            values["lpips"] = self._lpips(image, reference)
        for key, per_view in values.items():
            row |= {f"{key}_{side}": value for side, value in zip(SIDES, per_view.tolist())}
        row["brightness_shift"] = brightness_shift(image, reference).mean().item()
        return row


def _depth(pair: Views, disparity: np.ndarray, reference: np.ndarray, of_clean: np.ndarray) -> Row:
    shares = error_shares(disparity, reference, of_clean)
    return {
        "epe_px": end_point_error(disparity, reference),
        "wrong_percent": 100 * bad_pixel_rate(disparity, reference),
        **dict(zip(("ghosts_percent", "off_percent", "missing_percent"), (100 * share for share in shares))),
        "photometric_error": photometric_error(*pair, reference),
    }


def _rounded(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None
