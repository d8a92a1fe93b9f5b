"""Cut a data set of rainy pairs without clean ones, in the StereoRealRain layout, out of recordings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from apanet_core.atomic import check_can_be_made
from apanet_core.bags.read import ImageBag, check_distinct, decode, open_bag
from apanet_core.bags.settings import CutSettings
from apanet_core.images.files import write_image
from apanet_core.progress import progress_bar

SIDES = ("left", "right")
THUMBNAIL = (64, 40)  # width, height: rain averages out in it, motion of the camera does not


@dataclass(frozen=True)
class Look:
    """Features of an image that decide whether it is kept: variance of its Laplacian, and a small grey picture."""

    sharpness: float
    thumbnail: np.ndarray


@dataclass
class Clip:
    """A run of consecutive pairs of stamps (ns), those of them to keep, and the number dropped for each reason."""

    bag: Path
    pairs: list[tuple[int, int]]
    kept: list[tuple[int, int]] = field(default_factory=list)
    blurred: int = 0
    duplicates: int = 0


def cut_dataset(bags: list[Path], out: Path, settings: CutSettings) -> dict[str, Any]:
    """Write train/{left,right}, val/{left,right} and dataset.json.

    Args:
        bags: recordings; a clip never spans two of them.
        out: folder to make; it appears once it is complete.
        settings: topics, and which pairs to keep.

    Returns:
        The content of dataset.json.

    Raises:
        FileNotFoundError: a bag does not exist.
        ValueError: no such topic, no pairs, views of two sizes, or `out` is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty: choose another out")
    check_can_be_made(out)
    check_distinct(bags)
    clips, unpaired, repeated = [], dict.fromkeys(SIDES, 0), 0
    for path in bags:
        with open_bag(path) as bag:
            looks = _look(bag, settings)
            repeated += bag.count([settings.left_topic, settings.right_topic]) - sum(map(len, looks.values()))
        pairs = pair_stamps(sorted(looks["left"]), sorted(looks["right"]), round(1e9 * settings.tolerance_s))
        if not pairs:
            left, right = (np.array(sorted(looks[side]), np.int64) for side in SIDES)
            nearest = np.abs(left - right[_nearest(left, right)]).min() / 1e9
            raise ValueError(
                f"no left and right image of {path} share a stamp within {settings.tolerance_s} s: the nearest differ "
                f"by {nearest:.4f} s; give a larger --tolerance_s if they were taken together"
            )
        for side in SIDES:
            unpaired[side] += len(looks[side]) - len(pairs)
        for run in split_clips([left for left, _ in pairs], settings):
            clips.append(_choose(Clip(path, pairs[run]), looks, settings))
    validation = validation_clips(len(clips), settings.validation_share)
    content = _describe(bags, settings, clips, validation, unpaired, repeated)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(bags, clips, validation, partial, settings)
        (partial / "dataset.json").write_text(json.dumps(content, indent=1) + "\n")
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return content


def pair_stamps(left: list[int], right: list[int], tolerance_ns: int) -> list[tuple[int, int]]:
    """Pair stamps that are each other's nearest, and no more than the tolerance apart.

    Args:
        left: stamps in ns, sorted.
        right: stamps in ns, sorted.
        tolerance_ns: largest difference within a pair.

    Returns:
        (left, right) stamps, in ascending order.
    """
    if not left or not right:
        return []
    a, b = np.asarray(left, np.int64), np.asarray(right, np.int64)
    to_right, to_left = _nearest(a, b), _nearest(b, a)
    mutual = (to_left[to_right] == np.arange(a.size)) & (np.abs(a - b[to_right]) <= tolerance_ns)
    return [(int(a[i]), int(b[to_right[i]])) for i in np.flatnonzero(mutual)]


def _nearest(stamps: np.ndarray, others: np.ndarray) -> np.ndarray:
    after = np.searchsorted(others, stamps).clip(1, max(others.size - 1, 1))
    before = after - 1
    after = after.clip(max=others.size - 1)
    return np.where(stamps - others[before] <= np.abs(others[after] - stamps), before, after)


def split_clips(stamps: list[int], settings: CutSettings) -> list[slice]:
    """Return slices of sorted stamps (ns); a slice ends at a pause and where the clip would get too long."""
    starts = [0]
    for i in range(1, len(stamps)):
        pause = stamps[i] - stamps[i - 1] > 1e9 * settings.gap_s
        if pause or stamps[i] - stamps[starts[-1]] >= 1e9 * settings.clip_s:
            starts.append(i)
    return [slice(begin, end) for begin, end in zip(starts, [*starts[1:], len(stamps)])]


def validation_clips(count: int, share: float) -> set[int]:
    """Return the clips of val/, evenly spread: at least one if there are two clips, never all of them."""
    if count < 2 or share == 0:
        return set()
    chosen = min(max(1, round(share * count)), count - 1)
    return {int((k + 0.5) * count / chosen) for k in range(chosen)}


def _look(bag: ImageBag, settings: CutSettings) -> dict[str, dict[int, Look]]:
    """Read every image once and return the looks of each side by stamp."""
    topics = {settings.left_topic: "left", settings.right_topic: "right"}
    bag.check_topics(list(topics))
    looks: dict[str, dict[int, Look]] = {side: {} for side in SIDES}
    sizes: dict[str, tuple[int, ...]] = {}
    for topic, stamp, message in progress_bar(
        bag.images(list(topics)), desc=f"look at {bag.path.name}", total=bag.count(list(topics)), unit="image"
    ):
        view = _decoded(bag.path, topic, message)
        sizes[topics[topic]] = view.shape[:2]
        if len(set(sizes.values())) > 1:
            (left_h, left_w), (right_h, right_w) = sizes["left"], sizes["right"]
            raise ValueError(
                f"left and right of {bag.path} must have one size: got {left_w}x{left_h} and {right_w}x{right_h}"
            )
        grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)
        half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)  # averages sensor noise out
        sharpness = float(cv2.Laplacian(half, cv2.CV_32F).var())
        thumbnail = cv2.resize(grey, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        looks[topics[topic]].setdefault(stamp, Look(sharpness, thumbnail))
    return looks


def _decoded(path: Path, topic: str, message: Any) -> np.ndarray:
    try:
        return decode(message)
    except ValueError as error:
        raise ValueError(f"{path}, topic {topic}: {error}") from error


def _choose(clip: Clip, looks: dict[str, dict[int, Look]], settings: CutSettings) -> Clip:
    """Fill in the kept pairs of a clip and the counts of dropped ones."""
    sharpness = np.array([[looks[side][stamp].sharpness for side, stamp in zip(SIDES, pair)] for pair in clip.pairs])
    sharp = (sharpness >= settings.blur_below * np.median(sharpness, axis=0)).all(axis=1)
    last: np.ndarray | None = None
    for pair, is_sharp in zip(clip.pairs, sharp):
        thumbnail = looks["left"][pair[0]].thumbnail
        if not is_sharp:
            clip.blurred += 1
        elif last is not None and np.abs(thumbnail - last).mean() < settings.duplicate_below:
            clip.duplicates += 1
        else:
            clip.kept.append(pair)
            last = thumbnail
    return clip


def _write(bags: list[Path], clips: list[Clip], validation: set[int], out: Path, settings: CutSettings) -> None:
    """Read the bags again, and write the kept pairs as SPLIT/SIDE/CLIP_FRAME.png."""
    for split in ("train", "val") if validation else ("train",):
        for side in SIDES:
            (out / split / side).mkdir(parents=True)
    topics = {settings.left_topic: "left", settings.right_topic: "right"}
    with progress_bar(total=2 * sum(len(clip.kept) for clip in clips), desc="write", unit="image") as bar:
        for path in dict.fromkeys(bags):
            files = {
                (side, stamp): out / ("val" if number in validation else "train") / side / f"{number:03}_{frame:05}.png"
                for number, clip in enumerate(clips)
                if clip.bag == path
                for frame, pair in enumerate(clip.kept)
                for side, stamp in zip(SIDES, pair)
            }
            with open_bag(path) as bag:
                for topic, stamp, message in _wanted(bag, topics, files):
                    write_image(files.pop((topics[topic], stamp)), _decoded(path, topic, message))
                    bar.update()


def _wanted(
    bag: ImageBag, topics: dict[str, str], files: dict[tuple[str, int], Path]
) -> Iterator[tuple[str, int, Any]]:
    for topic, stamp, message in bag.images(list(topics)):
        if (topics[topic], stamp) in files:
            yield topic, stamp, message
        if not files:
            return


def _describe(
    bags: list[Path],
    settings: CutSettings,
    clips: list[Clip],
    validation: set[int],
    unpaired: dict[str, int],
    repeated: int,
) -> dict[str, Any]:
    return {
        "bags": [str(bag) for bag in bags],
        "settings": asdict(settings),
        "pairs": sum(len(clip.pairs) for clip in clips),
        "kept": sum(len(clip.kept) for clip in clips),
        "dropped": {
            "blurred": sum(clip.blurred for clip in clips),
            "duplicates": sum(clip.duplicates for clip in clips),
            "left images without right": unpaired["left"],
            "right images without left": unpaired["right"],
            "images with the stamp of an earlier one": repeated,
        },
        "clips": [
            {
                "clip": number,
                "bag": str(clip.bag),
                "split": "val" if number in validation else "train",
                "first_stamp_ns": clip.pairs[0][0],
                "last_stamp_ns": clip.pairs[-1][0],
                "pairs": len(clip.pairs),
                "kept": len(clip.kept),
                "blurred": clip.blurred,
                "duplicates": clip.duplicates,
            }
            for number, clip in enumerate(clips)
        ],
    }
