"""Find the pairs of data sets on disk, whose layout is recognised by the names of the folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from apanet_core.images.files import images_in, list_images
from apanet_core.images.pair_files import match_files, name_of_pair

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
UNPAIRED_LAYOUT = ("left", "right")  # StereoRealRain, in train/ or directly in the root
# Layouts of clean pairs, to render rain on.
CLEAN_LAYOUTS: dict[str, tuple[str, ...]] = {
    "left and right": UNPAIRED_LAYOUT,
    "KITTI": ("image_2", "image_3"),
    "KITTI raw": ("image_02/data", "image_03/data"),
    **{f"clean views of {name}": folders[2:] for name, folders in LAYOUTS.items() if folders[2] != folders[3]},
}
LEVELS = 2  # depth below the given folder down to which a data set is searched


def find_pairs(root: str | Path) -> list[tuple[Path, ...]]:
    """List the pairs of a data set, matched by the common parts of their file names.

    Args:
        root: a folder in one of `LAYOUTS`, or one up to two levels above a single such folder.

    Returns:
        (rainy left, rainy right, clean left, clean right) each, sorted by name. In sets of single photographs, left
        and right are the same file. Several rainy files may have the same clean ones.

    Raises:
        FileNotFoundError: no layout was found; the message lists the known ones and the content of `root`.
        ValueError: several data sets below `root`, or a file without its partner.
    """
    root = Path(root)
    here, folders = _locate(root, LAYOUTS)
    listings = {folder: images_in(here / folder) for folder in dict.fromkeys(folders)}
    rainy_left, rainy_right, clean_left, clean_right = folders
    left = listings[rainy_left]
    right = match_files(left, listings[rainy_right], shared=False)
    clean = match_files(left, listings[clean_left], shared=True)
    clean_of_right = clean if clean_left == clean_right else match_files(right, listings[clean_right], shared=True)
    return list(zip(left, right, clean, clean_of_right))


def find_unpaired(root: str | Path, split: str = "train") -> list[tuple[Path, Path]]:
    """List rainy pairs without clean partners.

    Args:
        root: a folder that holds left/ and right/, or train/ (and val/) with these, as StereoRealRain does.
        split: "train" or "val", for a `root` with these folders.

    Returns:
        (left, right) each, sorted by name.

    Raises:
        FileNotFoundError: `root` has no such folders.
        ValueError: a file without its partner.
    """
    root = Path(root)
    for here in (root / split, root) if split == "train" else (root / split,):
        if _is_layout(here, UNPAIRED_LAYOUT):
            left = images_in(here / "left")
            return list(zip(left, match_files(left, list_images(here / "right"), shared=False)))
    raise FileNotFoundError(
        f"expected {split}/left and {split}/right with images in {root} (StereoRealRain); found: {_contents(root)}"
    )


def find_clean(root: str | Path) -> list[tuple[str, Path, Path]]:
    """List clean stereo pairs.

    Args:
        root: a folder in one of `CLEAN_LAYOUTS`, or one up to two levels above a single such folder.

    Returns:
        (name, left, right) each, sorted by file name; names are unique.

    Raises:
        FileNotFoundError: no layout was found.
        ValueError: several data sets below `root`, a file without its partner, or two files with one name.
    """
    root = Path(root)
    here, (left_folder, right_folder) = _locate(root, CLEAN_LAYOUTS)
    left = images_in(here / left_folder)
    right = match_files(left, list_images(here / right_folder), shared=False)
    names = [name_of_pair(path) for path in left]
    if len(set(names)) < len(names):
        names = [path.stem for path in left]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{here / left_folder} holds two images named {twice!r}: rename one")
    return list(zip(names, left, right))


def _locate(root: Path, layouts: Mapping[str, tuple[str, ...]]) -> tuple[Path, tuple[str, ...]]:
    """Return the folder that has one of the layouts, and the folders of that layout."""
    if not root.is_dir():
        raise FileNotFoundError(f"no folder at {root}")
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
    """Return whether all folders exist and one holds images: rain/ may also hold only left/ and right/."""
    paths = [here / folder for folder in folders]
    return all(path.is_dir() for path in paths) and any(list_images(path) for path in paths)


def _contents(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    names = sorted(p.name for p in folder.iterdir())
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "nothing"
