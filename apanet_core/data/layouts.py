"""Data sets on disk, recognised by their folders: which files belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from apanet_core.images.files import list_images

VIEWS = ("rainy_left", "rainy_right", "clean_left", "clean_right")
# Folder of each view, in the order of VIEWS, by layout; sets of single photographs have one folder for both views.
LAYOUTS: dict[str, tuple[str, str, str, str]] = {
    "RainKITTI as APANet reads it": ("rain_left", "rain_right", "gt_left", "gt_right"),
    "RainKITTI as released": ("image_2_3_rain50", "image_3_2_rain50", "image_2_3_norain", "image_3_2_norain"),
    "StereoCityscapes": ("rain/left", "rain/right", "norain/left", "norain/right"),
    "single images, rain and norain": ("rain", "rain", "norain", "norain"),
    "single images, rain and clean": ("rain", "rain", "clean", "clean"),
    "single images, rainy_image and ground_truth": ("rainy_image", "rainy_image", "ground_truth", "ground_truth"),
    "single images, input and target": ("input", "input", "target", "target"),
}
UNPAIRED_LAYOUT = ("left", "right")  # StereoRealRain, below train/ or by itself
# Clean pairs to render rain on.
CLEAN_LAYOUTS: dict[str, tuple[str, ...]] = {
    "left and right": UNPAIRED_LAYOUT,
    "KITTI": ("image_2", "image_3"),
    "KITTI raw": ("image_02/data", "image_03/data"),
    **{f"clean views of {name}": folders[2:] for name, folders in LAYOUTS.items() if folders[2] != folders[3]},
}
LEVELS = 2  # how far below the folder that was named a data set is looked for
# What tells rainy from clean and left from right in a name, and is not part of what names the pair.
_ROLE = re.compile(r"[_-](?:no)?rain.*$|[_-](?:left|right)(?:img8bit.*)?$|^(?:no)?rain[_-]|[_-](?:clean|gt)$", re.I)


def find_pairs(root: str | Path) -> list[tuple[Path, ...]]:
    """List the pairs of a data set, matched by what their names share.

    Args:
        root: a folder in one of `LAYOUTS`, or one above it where nothing else below is one.

    Returns:
        (rainy left, rainy right, clean left, clean right) each, sorted by name; one file for both views in sets of
        single photographs. Several rainy files may share their clean ones.

    Raises:
        FileNotFoundError: no layout found; the message says which there are and what is there.
        ValueError: several data sets below `root`, or a file without its partner.
    """
    root = Path(root)
    here, folders = _locate(root, LAYOUTS)
    listings = {folder: list_images(here / folder) for folder in dict.fromkeys(folders)}
    rainy_left, rainy_right, clean_left, clean_right = folders
    left = listings[rainy_left]
    right = _match(left, listings[rainy_right], shared=False)
    clean = _match(left, listings[clean_left], shared=True)
    clean_of_right = clean if clean_left == clean_right else _match(right, listings[clean_right], shared=True)
    return list(zip(left, right, clean, clean_of_right))


def find_unpaired(root: str | Path, split: str = "train") -> list[tuple[Path, Path]]:
    """List rainy pairs that have no clean partner.

    Args:
        root: a folder that holds left/ and right/, or train/ (and val/) with them, as StereoRealRain does.
        split: "train" or "val", where `root` is split.

    Returns:
        (left, right) each, sorted by name.

    Raises:
        FileNotFoundError: not such a folder.
        ValueError: a file without its partner.
    """
    root = Path(root)
    for here in (root / split, root) if split == "train" else (root / split,):
        if _is_layout(here, UNPAIRED_LAYOUT):
            left = list_images(here / "left")
            return list(zip(left, _match(left, list_images(here / "right"), shared=False)))
    raise FileNotFoundError(
        f"expected {split}/left and {split}/right with images in {root} (StereoRealRain); found: {_contents(root)}"
    )


def find_clean(root: str | Path) -> list[tuple[str, Path, Path]]:
    """List clean stereo pairs.

    Args:
        root: a folder in one of `CLEAN_LAYOUTS`, or one above it where nothing else below is one.

    Returns:
        (name, left, right) each, sorted by file name; names are unique.

    Raises:
        FileNotFoundError: no layout found.
        ValueError: several data sets below `root`, a file without its partner, or two files of one name.
    """
    root = Path(root)
    here, (left_folder, right_folder) = _locate(root, CLEAN_LAYOUTS)
    left = list_images(here / left_folder)
    right = _match(left, list_images(here / right_folder), shared=False)
    names = [_without_role(path) for path in left]
    if len(set(names)) < len(names):
        names = [path.stem for path in left]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{here / left_folder} holds two images named {twice!r}: rename one")
    return list(zip(names, left, right))


def _locate(root: Path, layouts: Mapping[str, tuple[str, ...]]) -> tuple[Path, tuple[str, ...]]:
    """The folder that has a layout, and the layout's folders."""
    level = [root]
    for _ in range(LEVELS + 1):
        found = [(here, folders) for here in level if (folders := _layout_of(here, layouts)) is not None]
        if len(found) > 1:
            choices = ", ".join(str(here) for here, _ in found)
            raise ValueError(f"{root} holds several data sets: name one of {choices}")
        if found:
            return found[0]
        level = sorted(sub for here in level if here.is_dir() for sub in here.iterdir() if sub.is_dir())
    known = "; ".join(f"{name}: {', '.join(dict.fromkeys(folders))}" for name, folders in layouts.items())
    message = f"{root} has no layout known here ({known}); found: {_contents(root)}"
    above = next((p for p in list(root.absolute().parents)[:LEVELS] if _layout_of(p, layouts) is not None), None)
    if above is not None:
        message += f"; name the folder above, {above}"
    elif any(_is_layout(here, UNPAIRED_LAYOUT) for here in (root, root / "train")):
        message += "; left and right alone are rainy pairs without clean ones, which only distillation takes"
    raise FileNotFoundError(message)


def _layout_of(here: Path, layouts: Mapping[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    return next((folders for folders in layouts.values() if _is_layout(here, folders)), None)


def _is_layout(here: Path, folders: tuple[str, ...]) -> bool:
    """Whether all folders are there, and images lie in one of them: rain/ may also hold left/ and right/."""
    paths = [here / folder for folder in folders]
    return all(path.is_dir() for path in paths) and any(list_images(path) for path in paths)


def _contents(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    names = sorted(p.name for p in folder.iterdir())
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "nothing"


def _match(files: list[Path], others: list[Path], shared: bool) -> list[Path]:
    """The partner of every file.

    Args:
        files: of one folder.
        others: of another.
        shared: whether one of `others` may be the partner of several files.

    Returns:
        One of `others` for every one of `files`, each used.
    """
    if not files or not others:
        raise ValueError(f"images without partners: {len(files)} on one side and {len(others)} on the other")
    problem = ""
    for key in (_stem, _without_role, _first_number):
        keys: dict[str | None, Path] = {key(other): other for other in others}
        partners = [_partner(key(file), keys, shared) for file in files]
        used = set(partners)
        unused = [other for other in others if other not in used]
        if None not in used and not unused and len(keys) == len(others) and (shared or len(used) == len(files)):
            return [partner for partner in partners if partner is not None]
        if key is _without_role:  # the rule that says most about what is wrong
            alone = next((f for f, partner in zip(files, partners) if partner is None), None)
            if alone is not None:
                problem = f"{alone} has no partner in {others[0].parent}: expected {key(alone)!r} in its name"
            elif unused:
                problem = f"{unused[0]} has no partner in {files[0].parent}"
            else:
                problem = f"names in {files[0].parent} are not unique"
    raise ValueError(f"{problem} ({len(files)} and {len(others)} images)")


def _partner(key: str | None, keys: dict[str | None, Path], shared: bool) -> Path | None:
    """By the same key; a clean file may also be named as what comes before an underscore (im_01 for im_01_s80)."""
    if key is None:
        return None
    while shared and key not in keys and "_" in key:
        key = key.rpartition("_")[0]
    return keys.get(key)


def _stem(path: Path) -> str:
    return path.stem


def _without_role(path: Path) -> str:
    """000046_10 of 000046_10_rain_2_50.jpg and 000046_10_norain_2.png."""
    return _ROLE.sub("", path.stem)


def _first_number(path: Path) -> str | None:
    number = re.search(r"\d+", path.stem)
    return str(int(number.group())) if number else None
