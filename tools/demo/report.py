"""Compute the demo's numbers and draw its picture."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rosbags.highlevel import AnyReader

from apanet_core.bags.read import bag_root
from apanet_core.evaluation.depth import bad_pixel_rate, colour_disparity
from apanet_core.images.encodings import decode
from apanet_core.images.files import write_image
from apanet_core.images.metrics import psnr, ssim
from apanet_core.progress import progress_bar
from apanet_core.stereo.sgbm import sgbm_disparity
from apanet_ros.stereo_sync import stamp_ns
from tools.demo.recording import SIDES, TYPES, StereoBag, Truth
from tools.demo.replay import Replay

Views = tuple[np.ndarray, np.ndarray]
PICTURE_WIDTH_PX = 520
LABEL_HEIGHT_PX = 30


def read_pairs(path: Path, topics: dict[str, str]) -> Iterator[tuple[int, Views, tuple[str, ...]]]:
    """Yield (stamp in ns, (left, right) RGB, frame ids) of every complete pair of a bag, in order of completion."""
    waiting: dict[int, dict[str, Any]] = {}
    sides = {topic: side for side, topic in topics.items()}
    with AnyReader([bag_root(path)], default_typestore=TYPES) as reader:
        for connection, _, data in reader.messages([c for c in reader.connections if c.topic in sides]):
            message = reader.deserialize(data, connection.msgtype)
            pair = waiting.setdefault(stamp_ns(message), {})
            pair[sides[connection.topic]] = message
            if len(pair) == 2:
                del waiting[stamp_ns(message)]
                views = tuple(decode(pair[side]) for side in SIDES)
                yield stamp_ns(message), views, tuple(pair[side].header.frame_id for side in SIDES)  # type: ignore[misc]


def measure(bag: StereoBag, output: Path, played: Replay, truth: Truth | None, log: Path) -> dict[str, str]:
    """Compare the derained pairs with the rainy ones.

    Args:
        bag: the rainy recording.
        output: folder of the derained recording.
        played: times of sending and arrival.
        truth: the clean scene; None if it is unknown.
        log: the node's log, which names model and engine.

    Returns:
        The rows of the table: value by name.
    """
    derained_topics = {side: f"/derained/{side}/image_rect" for side in SIDES}
    sent = read_pairs(bag.path, bag.images)
    search = search_range(truth)
    identical, quality, wrong, matched, change = 0, [], [], [], []
    bar = progress_bar(read_pairs(output, derained_topics), total=len(played.received_at), desc="measure", unit="pair")
    for stamp, derained, frames in bar:
        rainy, rainy_frames = next(((v, f) for s, v, f in sent if s == stamp), (None, None))
        if rainy is None:
            continue
        identical += frames == rainy_frames
        disparities = [sgbm_disparity(pair[0], pair[1], search) for pair in (rainy, derained)]
        matched.append([100 * float(np.isfinite(d).mean()) for d in disparities])
        change.append(psnr(_batch(derained), _batch(rainy)).mean().item())
        if truth is not None:
            clean = _batch((truth.left, truth.right))
            quality.append([f(_batch(p), clean).mean().item() for f in (psnr, ssim) for p in (rainy, derained)])
            wrong.append([100 * bad_pixel_rate(d, truth.disparity) for d in disparities])
    latency = sorted(1000 * (at - played.sent_at[s]) for s, at in played.received_at.items() if s in played.sent_at)
    engine = re.search(r"model (.*) on (.*)", log.read_text())
    rows = {
        "pairs sent": str(len(played.sent_at)),
        "pairs received": str(len(played.received_at)),
        "identical stamps and frame ids": str(identical),
    }
    if latency:
        rows["latency median, p95"] = (
            f"{statistics.median(latency):.0f} ms, {latency[int(0.95 * (len(latency) - 1))]:.0f} ms"
        )
    if quality:
        q, w = np.mean(quality, axis=0), np.mean(wrong, axis=0)
        rows["PSNR"] = f"{q[0]:.2f} -> {q[1]:.2f} dB"
        rows["SSIM"] = f"{q[2]:.3f} -> {q[3]:.3f}"
        rows["disparity wrong by > 3 px or missing"] = f"{w[0]:.1f} -> {w[1]:.1f} %"
    elif matched:
        m = np.mean(matched, axis=0)
        rows["pixels that SGBM can match"] = f"{m[0]:.1f} -> {m[1]:.1f} %"
        rows["PSNR between rainy and derained"] = f"{np.mean(change):.2f} dB"
    rows["model"], rows["engine, device, precision"] = engine.groups() if engine else ("?", "?")
    return rows


def draw(rainy: Views, derained: Views, truth: Truth | None, path: Path) -> None:
    """Write the picture to `path`: left views above, SGBM disparities below."""
    columns = {"rainy": rainy, "derained": derained}
    if truth is not None:
        columns["true clean"] = (truth.left, truth.right)
    disparities = {name: sgbm_disparity(*pair, search_range(truth)) for name, pair in columns.items()}
    reference = disparities["true clean" if truth is not None else "derained"]
    top = float(np.nanpercentile(reference, 99)) if np.isfinite(reference).any() else 1.0
    upper = [_labelled(pair[0], name) for name, pair in columns.items()]
    lower = [_labelled(colour_disparity(d, top), f"{name}: SGBM disparity") for name, d in disparities.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.concatenate([np.concatenate(upper, axis=1), np.concatenate(lower, axis=1)]))


def search_range(truth: Truth | None) -> int:
    """Return the largest disparity to search, in px: 4 more than the largest true one, or 128 if `truth` is None."""
    return 128 if truth is None else int(np.nanmax(truth.disparity)) + 4


def format_table(rows: dict[str, str]) -> str:
    """Return the rows as text, with names and values in columns."""
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def _batch(views: Views) -> torch.Tensor:
    return torch.from_numpy(np.stack(views).transpose(0, 3, 1, 2)).float() / 255


def _labelled(image: np.ndarray, text: str) -> np.ndarray:
    height = round(image.shape[0] * PICTURE_WIDTH_PX / image.shape[1])
    image = cv2.resize(image, (PICTURE_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    strip = np.zeros((LABEL_HEIGHT_PX, image.shape[1], 3), np.uint8)
    cv2.putText(strip, text, (8, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([strip, image])
