"""Render rain over a folder of clean pairs: a paired data set with rain masks and a record of every parameter."""

from __future__ import annotations

import json
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from apanet_core.atomic import check_can_be_made, write_text
from apanet_core.data.layouts import find_clean
from apanet_core.images.files import read_image, write_image
from apanet_core.progress import progress_bar
from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.records import numbers_of
from apanet_core.rain.render import render_rain, with_camera_gains
from apanet_core.rain.render_settings import RenderSettings
from apanet_core.stereo.disparity import fill_unknown, find_disparities, read_disparity, to_right_view
from apanet_core.stereo.sgbm import sgbm_disparity
from apanet_core.workers import WorkerOptions, run_tasks

RAINY, CLEAN, MASKS = ("rain_left", "rain_right"), ("gt_left", "gt_right"), ("mask_left", "mask_right")
PARAMETERS = "rain.json"
LARGEST_ISLAND = 0.01  # share of the pixels of an estimated disparity map


@dataclass(frozen=True)
class CleanPair:
    """Files of one pair; `disparity` is None if it has to be estimated."""

    name: str
    left: Path
    right: Path
    disparity: Path | None


def render_folder(
    clean: Path,
    out: Path,
    settings: RenderSettings,
    disparity: Path | None = None,
    options: WorkerOptions | None = None,
) -> int:
    """Render rain over every pair of a folder; a second call resumes an interrupted one.

    Args:
        clean: a folder that `find_clean` reads.
        out: folder for rain_left, rain_right, gt_left, gt_right, mask_left, mask_right and rain.json.
        settings: rain to render; settings and pair names determine the images, the number of workers does not.
        disparity: folder of true left disparities, named as the left images; others are estimated.
        options: processes or cluster that do the work; None: this process.

    Returns:
        The number of rainy pairs in `out`.

    Raises:
        FileNotFoundError: `clean` holds no pairs, or no disparity has the name of a left image.
        ValueError: files do not fit together, or `out` holds something else.
    """
    pairs = _find(clean, disparity)
    _check_names([pair.name for pair in pairs], settings.variants)
    settings.camera((1, 1))  # raises on an impossible camera before any work
    (options or WorkerOptions()).check()
    check_can_be_made(out)
    header = {"clean": str(clean), "disparity": None if disparity is None else str(disparity), **asdict(settings)}
    header = json.loads(json.dumps(header))
    _claim(out, header)
    frames: dict[str, list[dict[str, Any]]] = {}
    work = partial(_render_pair, out=out, settings=settings)
    with progress_bar(total=len(pairs) * settings.variants, desc="render rain", unit="pair") as bar:
        for name, records in run_tasks(work, pairs, options):
            frames[name] = records
            bar.update(settings.variants)
    listing = [record for pair in pairs for record in frames[pair.name]]
    _write_json(out / PARAMETERS, {"settings": header, "frames": listing})
    return len(listing)


def _find(clean: Path, disparity: Path | None) -> list[CleanPair]:
    files = {} if disparity is None else find_disparities(disparity)
    pairs = [
        CleanPair(name, left, right, files.get(left.stem) or files.get(name)) for name, left, right in find_clean(clean)
    ]
    if files and not any(pair.disparity for pair in pairs):
        raise FileNotFoundError(f"no disparity in {disparity} is named as a left image, such as {pairs[0].left.stem}")
    return pairs


def _check_names(names: list[str], variants: int) -> None:
    """Raise ValueError if a variant of one pair would have the name of another pair."""
    known = set(names)
    for name in names if variants > 1 else []:
        taken = next((f"{name}_{k}" for k in range(variants) if f"{name}_{k}" in known), None)
        if taken is not None:
            raise ValueError(f"a variant of {name} would be called {taken}, as another pair is: rename one of them")


def _claim(out: Path, header: dict[str, Any]) -> None:
    """Claim `out` for this rendering, or check that it already is its output."""
    before = None
    if (out / PARAMETERS).is_file():
        before = _settings_in(out / PARAMETERS)
        was, now = _flat(before), _flat(header)
        changed = [f"{key} was {was.get(key)}, is {now[key]}" for key in now if was.get(key) != now[key]]
        if changed and any(any((out / folder).glob("*")) for folder in (*RAINY, *CLEAN, *MASKS)):
            raise ValueError(f"{out} was rendered with other settings: {'; '.join(changed)}; choose another out")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty and holds no {PARAMETERS}: choose another out")
    for folder in (*RAINY, *CLEAN, *MASKS):
        (out / folder).mkdir(parents=True, exist_ok=True)
    if before != header:
        _write_json(out / PARAMETERS, {"settings": header, "frames": []})


def _settings_in(path: Path) -> dict[str, Any]:
    """Return the settings in the rain.json of an earlier call."""
    try:
        settings = json.loads(path.read_text())["settings"]
    except (ValueError, KeyError, TypeError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"{path} was not written by render-rain: choose another out, or delete it")
    return settings


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level, with names such as rain.rate_mm_h."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")


def _render_pair(pair: CleanPair, out: Path, settings: RenderSettings) -> tuple[str, list[dict[str, Any]]]:
    """Write every missing variant of one pair; return the pair's name and its records for rain.json."""
    left, right = read_image(pair.left), read_image(pair.right)
    if left.shape != right.shape:
        sizes = " and ".join(f"{view.shape[1]}x{view.shape[0]}" for view in (left, right))
        raise ValueError(f"{pair.left}: left and right must have one size: got {sizes}; rectify both to the same size")
    views = with_camera_gains((left, right), settings.sensor.gain_spread, _numbers(settings, pair.name))
    names = [pair.name if settings.variants == 1 else f"{pair.name}_{variant}" for variant in range(settings.variants)]
    files = [[out / folder / f"{name}.png" for folder in (*MASKS, *RAINY)] for name in names]
    missing = [not all(path.is_file() for path in some) for some in files]
    if any(missing):  # before anything is written, since a disparity map may not fit
        disparities = both_disparities(pair, *views, settings)
    clean = [out / folder / f"{pair.name}.png" for folder in CLEAN]
    for path, view, source in zip(clean, views, (pair.left, pair.right)):
        if path.is_file():
            continue
        if source.suffix.lower() == ".png" and not settings.sensor.gain_spread:
            shutil.copyfile(source, path.with_suffix(".partial"))  # a third of the time of encoding
            path.with_suffix(".partial").replace(path)
        else:
            write_image(path, view)
    camera = settings.camera(left.shape[:2])
    records = []
    for variant, name in enumerate(names):
        random = _numbers(settings, f"{pair.name}/{variant}")
        weather = settings.weather(random)
        if missing[variant]:
            rainy = render_rain(views, disparities, camera, weather, random)
            masks = [255 * mask.astype(np.uint8) for mask in (rainy.left_mask, rainy.right_mask)]
            with ThreadPoolExecutor() as pool:  # encoding takes a fifth of the time
                list(pool.map(write_image, files[variant], (*masks, rainy.left, rainy.right)))
        records.append(
            {
                "name": name,
                "clean": pair.name,
                "source": [str(pair.left), str(pair.right)],
                "disparity": _source_of_disparity(pair, settings),
                "camera": asdict(camera),
                "weather": numbers_of(weather),
            }
        )
    return pair.name, records


def _numbers(settings: RenderSettings, name: str) -> CounterRandom:
    """Return random numbers by name: further files do not change the rain of the others."""
    return CounterRandom(settings.seed, torch.tensor([zlib.crc32(name.encode())]))


def _source_of_disparity(pair: CleanPair, settings: RenderSettings) -> str:
    if settings.kind == "streaks":
        return "not needed"
    return "SGBM" if pair.disparity is None else str(pair.disparity)


def both_disparities(
    pair: CleanPair, left: np.ndarray, right: np.ndarray, settings: RenderSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Return left and right disparity without gaps; zeros for streaks, which do not use them."""
    if settings.kind == "streaks":
        nothing = np.zeros(left.shape[:2], np.float32)
        return nothing, nothing
    if pair.disparity is None:
        sparse = _without_islands(sgbm_disparity(left, right, settings.max_disparity))
    else:
        sparse = read_disparity(pair.disparity, settings.disparity_scale)
        if sparse.shape != left.shape[:2]:
            raise ValueError(
                f"{pair.disparity} is {sparse.shape[1]}x{sparse.shape[0]}, its image "
                f"{left.shape[1]}x{left.shape[0]}: both must have one size"
            )
    filled = fill_unknown(sparse)
    return filled, to_right_view(filled)


def _without_islands(disparity: np.ndarray) -> np.ndarray:
    """Drop small patches that differ from their surroundings: mostly false matches, which would get another veil."""
    sixteenths = np.where(np.isfinite(disparity), 16 * disparity, -16).astype(np.int16)
    cv2.filterSpeckles(sixteenths, -16, int(LARGEST_ISLAND * disparity.size), 16)
    return np.where(sixteenths < 0, np.float32(np.nan), disparity)


def describe(clean: Path, settings: RenderSettings, disparity: Path | None) -> str:
    """Return the assumptions of the rendering: camera values that were not given, and the sources of disparity."""
    lines = settings.taken_for_granted()
    pairs = _find(clean, disparity)
    estimated = sum(pair.disparity is None for pair in pairs)
    if settings.kind != "streaks":
        lines.append(
            f"disparity: {len(pairs) - estimated} pairs from {disparity or 'files'}, {estimated} estimated by SGBM"
        )
    return "\n".join(lines)
