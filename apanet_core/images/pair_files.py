"""Find the image files that form stereo pairs."""

from __future__ import annotations

import re
from pathlib import Path

from apanet_core.images.files import images_in, list_images

# The parts of a name for rain and side, which do not belong to the name of the pair.
_ROLE = re.compile(
    r"[_-](?:no)?rain.*$|[_-](?:left|right)(?:img8bit.*)?$|[_-][lr]$|^(?:no)?rain[_-]|^(?:left|right)[_-]|[_-](?:clean|gt)$",
    re.I,
)


def match_pairs(left: Path, right: Path) -> list[tuple[Path, Path]]:
    """Pair two files, or the images of two folders by the common parts of their names (see `match_files`).

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
    files = images_in(left)
    names: dict[str, Path] = {}
    for path in files:
        if path.stem in names:
            raise ValueError(f"{left} holds two images named {path.stem!r}: their outputs would overwrite each other")
        names[path.stem] = path
    return list(zip(files, match_files(files, list_images(right), shared=False)))


def match_files(files: list[Path], others: list[Path], shared: bool) -> list[Path]:
    """Find the partner of every file by the common parts of the names.

    Three keys are tried: the name, the name without the words for rain and side, and its first number. The first key
    that leaves no file without a partner is used.

    Args:
        files: files of one folder.
        others: files of another folder.
        shared: whether one of `others` may be the partner of several files.

    Returns:
        One of `others` for every one of `files`; each of `others` is used.

    Raises:
        ValueError: a file has no partner; the message names it.
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
        if key is name_of_pair:  # this key gives the clearest message
            alone = next((f for f, partner in zip(files, partners) if partner is None), None)
            if alone is not None:
                problem = f"{alone} has no partner in {others[0].parent}: expected {key(alone)!r} in its name"
            elif unused:
                problem = f"{unused[0]} has no partner in {files[0].parent}"
            else:
                problem = f"names in {files[0].parent} are not unique"
    raise ValueError(f"{problem} ({len(files)} and {len(others)} images)")


def _partner(key: str | None, keys: dict[str | None, Path], shared: bool) -> Path | None:
    """Return the file with the key; if shared, also with a prefix of it: im_01 is the clean image of im_01_s80."""
    if key is None:
        return None
    while shared and key not in keys and "_" in key:
        key = key.rpartition("_")[0]
    return keys.get(key)


def _stem(path: Path) -> str:
    return path.stem


def name_of_pair(path: Path) -> str:
    """Return the name without rain and side: 000046_10 for 000046_10_rain_2_50.jpg and 000046_10_norain_2.png."""
    return _ROLE.sub("", path.stem)


def _first_number(path: Path) -> str | None:
    number = re.search(r"\d+", path.stem)
    return str(int(number.group())) if number else None
