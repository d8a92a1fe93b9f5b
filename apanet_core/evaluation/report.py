"""Write the report: one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from apanet_core.evaluation.depth import colour_disparity, colour_errors
from apanet_core.evaluation.inputs import SIDES, Views
from apanet_core.evaluation.settings import CLEAN, TRUTH

PICTURES_BYTES = 20_000_000  # limit for all pictures together, as text in the file
WIDEST_PX = 1280
NARROWEST_PX = 240


def draw_picture(
    name: str,
    views: dict[str, Views],
    disparities: dict[str, np.ndarray],
    count: int,
    matches: dict[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Encode the images, disparities and errors of one pair for the report.

    Args:
        name: name of the pair.
        views: left and right view by method.
        disparities: (H, W) px by method, and "truth" if known; empty for single images.
        count: number of pairs that share the size limit; pictures are scaled down until they fit.
        matches: (2 H, W, 3) uint8 RGB by method, from `draw_matches`.

    Returns:
        name, width in px of the original, top_px (disparity drawn in red), and data URIs: images by side and method,
        disparities by method, errors of the disparities by method, matches by method.
    """
    first = next(iter(views.values()))[0]
    clean = disparities.get(CLEAN, np.zeros(0))
    reference = disparities.get(TRUTH, clean)
    known = reference[np.isfinite(reference)]
    top = max(float(np.percentile(known, 99)), 1.0) if known.size else 1.0
    sides = SIDES if disparities else SIDES[:1]
    width = min(first.shape[1], WIDEST_PX)
    while True:
        images = {
            side: {method: _jpeg(_narrowed(pair[index], width, cv2.INTER_AREA)) for method, pair in views.items()}
            for index, side in enumerate(sides)
        }
        maps = {
            method: _png(_narrowed(colour_disparity(disparity, top), width, cv2.INTER_NEAREST))
            for method, disparity in disparities.items()
        }
        errors = {
            method: _png(_narrowed(colour_errors(disparity, reference, clean), width, cv2.INTER_NEAREST))
            for method, disparity in disparities.items()
            if method not in (CLEAN, TRUTH)
        }
        drawn = {m: _jpeg(_narrowed(image, width, cv2.INTER_AREA)) for m, image in (matches or {}).items()}
        size = sum(len(uri) for group in (*images.values(), maps, errors, drawn) for uri in group.values())
        if size <= PICTURES_BYTES / count or width <= NARROWEST_PX:
            break
        width = max(int(0.8 * width), NARROWEST_PX)
    return {
        "name": name,
        "width": first.shape[1],
        "top_px": round(top, 1),
        "images": images,
        "disparities": maps,
        "errors": errors,
        "matches": drawn,
    }


def report_html(results: dict[str, Any]) -> str:
    """Fill the template of the report.

    Args:
        results: content of results.json, and "pictures", a list of results of `draw_picture`.

    Returns:
        The page. Data cannot become markup: their "<", ">" and "&" are escaped.
    """
    data = json.dumps(results, allow_nan=False)
    for character in "<>&":
        data = data.replace(character, f"\\u{ord(character):04x}")
    parts = {part: (Path(__file__).parent / f"report.{part}").read_text(encoding="utf-8") for part in ("css", "js")}
    page = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    # insert the data last: placeholders in them must stay
    page = page.replace("{{STYLE}}", parts["css"]).replace("{{SCRIPT}}", parts["js"])
    return page.replace("{{DATA}}", data)


def _narrowed(image: np.ndarray, width: int, method: int) -> np.ndarray:
    if image.shape[1] <= width:
        return image
    return cv2.resize(image, (width, max(round(image.shape[0] * width / image.shape[1]), 1)), interpolation=method)


def _jpeg(image: np.ndarray) -> str:
    return _uri("jpeg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])


def _png(image: np.ndarray) -> str:
    return _uri("png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _uri(kind: str, image: np.ndarray, options: list[int]) -> str:
    _, encoded = cv2.imencode(f".{kind}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"
