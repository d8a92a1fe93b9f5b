"""The command that derains recordings."""

from __future__ import annotations

import hashlib
import sys
from functools import partial
from pathlib import Path


def derain_bag(
    bags: list[Path],
    out: Path,
    left_topic: str = "left/image_rect",
    right_topic: str = "right/image_rect",
    tolerance_s: float = 0.0,
    beside: bool = False,
    jpeg_quality: int = 95,
    segment_pairs: int = 2000,
    workers: int = 1,
    model: str = "tiny",
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    max_disparity: int = 0,
    tile: int = 0,
    tile_overlap: int = 32,
) -> None:
    """Remove the rain from recordings (MCAP or sqlite3), all else copied byte for byte; continues where it was.

    Args:
        bags: folders of the recordings, or files in them.
        out: folder to make, the clean recording; of several recordings the folder to make theirs in.
        left_topic: Image or CompressedImage topic of the left camera, rectified.
        right_topic: likewise of the right camera.
        tolerance_s: largest stamp difference within a pair; 0 asks for equal stamps.
        beside: keep the rainy images, and add the clean ones under derained/, as the node names them.
        jpeg_quality: of clean images that came as JPEG.
        segment_pairs: pairs in a file of the clean recording.
        workers: processes; each loads the model.
        model: a bundled preset or a .safetensors checkpoint.
        engine: auto, torch, openvino, onnxruntime or tensorrt.
        device: auto, cpu, cuda or cuda:N.
        precision: auto, float32, float16 or bfloat16.
        max_disparity: caps parallax attention at this disparity in px; 0 keeps the cap of the checkpoint.
        tile: rows to derain at a time, where memory is short; 0 takes whole images.
        tile_overlap: rows that neighbouring tiles share and blend.
    """
    from apanet_core.bags.derain_bag import derain_bags
    from apanet_core.bags.plan import BagSettings
    from apanet_core.derainer import StereoDerainer
    from apanet_core.model.checkpoint import find_checkpoint

    settings = BagSettings(left_topic, right_topic, tolerance_s, beside, jpeg_quality, segment_pairs)
    weights = find_checkpoint(model)
    outs = [out] if len(bags) == 1 else [out / (bag.stem if bag.is_file() else bag.resolve().name) for bag in bags]
    options = (engine, device, precision, max_disparity, tile, tile_overlap)
    recipe = {"model": hashlib.sha256(weights.read_bytes()).hexdigest(), "options": options}
    reports = derain_bags(bags, outs, settings, partial(StereoDerainer, model, *options), recipe, workers)
    for report in reports:
        if report.finished_before:
            print(f"{report.out}: finished before")
            continue
        left, right = report.unpaired
        print(f"{report.out}: {report.derained} pairs derained, {report.failed} left as they were; without partner: "
              f"{left} left, {right} right images")  # fmt: skip
        if report.failed:
            print(f"{report.out}: the first pair left as it was: {report.problem}", file=sys.stderr)
