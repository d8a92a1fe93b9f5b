"""Find which image files are a stereo pair."""

from __future__ import annotations

import re
from pathlib import Path

from apanet_core.images.files import list_images

# What tells rainy from clean and left from right in a name, and is not part of what names the pair.
_ROLE = re.compile(
    r"[_-](?:no)?rain.*$|[_-](?:left|right)(?:img8bit.*)?$|[_-][lr]$|^(?:no)?rain[_-]|^(?:left|right)[_-]|[_-](?:clean|gt)$",
    re.I,
)


def match_pairs(left: Path, right: Path) -> list[tuple[Path, Path]]:
    """Pair two files, or the images of two folders by what their names share, as `match_files`.

    Args:
        left: image or folder.
        right: image or folder.

    Returns:
        (left file, right file) of every pair, sorted by name.

    Raises:
        FileNotFoundError: a path does not exist, or a folder is empty.
        ValueError: one path is a file and the other a folder, two images share a name, or one has no partner.
    """
    for path in (left, right):
        if not path.exists():
            raise FileNotFoundError(f"no file or folder at {path}")
    if left.is_dir() != right.is_dir():
        raise ValueError(f"left and right must both be images or both be folders: got {left} and {right}")
    if not left.is_dir():
        return [(left, right)]
    files = list_images(left)
    if not files:
        raise FileNotFoundError(f"no images in {left}")
    names: dict[str, Path] = {}
    for path in files:
        if path.stem in names:
            raise ValueError(f"{left} holds two images named {path.stem!r}: their outputs would overwrite each other")
        names[path.stem] = path
    return list(zip(files, match_files(files, list_images(right), shared=False)))


def match_files(files: list[Path], others: list[Path], shared: bool) -> list[Path]:
    """Find the partner of every file by what the names share.

    Names are compared as they are, then without the words for rain and side, then by their first number; the first
    comparison that leaves no file over is taken.

    Args:
        files: of one folder.
        others: of another folder.
        shared: whether one of `others` may be the partner of several files.

    Returns:
        One of `others` for every one of `files`, each used.

    Raises:
        ValueError: a file without its partner; the message names one.
    """
    if not files or not others:
        raise ValueError(f"images without partners: {len(files)} on one side and {len(others)} on the other")
    problem = ""
    for key in (_stem, name_of_pair, _first_number):
        keys: dict[str | None, Path] = {key(other): other for other in others}
        partners = [_partner(key(file), keys, shared) for file in files]
        used = set(partners)
        unused = [other for other in others if other not in used]
        if None not in used and not unused and len(keys) == len(others) and (shared or len(used) == len(files)):
            return [partner for partner in partners if partner is not None]
        if key is name_of_pair:  # the rule that says most about what is wrong
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


def name_of_pair(path: Path) -> str:
    """000046_10 of 000046_10_rain_2_50.jpg and 000046_10_norain_2.png."""
    return _ROLE.sub("", path.stem)


def _first_number(path: Path) -> str | None:
    number = re.search(r"\d+", path.stem)
    return str(int(number.group())) if number else None
