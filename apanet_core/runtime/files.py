"""Derain image files: one pair, or two folders matched by name."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from apanet_core.data.images import list_images, read_image, write_image
from apanet_core.runtime.derainer import StereoDerainer, check_pair


def match_pairs(left: Path, right: Path) -> list[tuple[Path, Path]]:
    """Pair two files, or the images of two folders by their names without suffix.

    Args:
        left: image or folder.
        right: image or folder.

    Returns:
        (left file, right file) of every pair, sorted by name.

    Raises:
        FileNotFoundError: a path does not exist, a folder is empty, or an image has no partner.
        ValueError: one path is a file and the other a folder, or two images share a name.
    """
    for path in (left, right):
        if not path.exists():
            raise FileNotFoundError(f"no file or folder at {path}")
    if left.is_dir() != right.is_dir():
        raise ValueError(f"left and right must both be images or both be folders: got {left} and {right}")
    if not left.is_dir():
        return [(left, right)]
    views: list[dict[str, Path]] = []
    for folder in (left, right):
        files = list_images(folder)
        names = {path.stem: path for path in files}
        if len(names) < len(files):
            twice = next(path for path in files if names[path.stem] != path)
            raise ValueError(
                f"{folder} holds two images named {twice.stem!r}: their outputs would overwrite each other"
            )
        views.append(names)
    if not views[0]:
        raise FileNotFoundError(f"no images in {left}")
    alone = sorted(views[0].keys() ^ views[1].keys())
    if alone:
        missing = right if alone[0] in views[0] else left
        raise FileNotFoundError(f"{len(alone)} images have no partner: the first, {alone[0]!r}, is not in {missing}")
    return [(views[0][name], views[1][name]) for name in views[0]]


def derain_files(left: Path, right: Path, output: Path, derainer: StereoDerainer) -> int:
    """Clean every pair into `output`/left/NAME.png and `output`/right/NAME.png.

    Every input is read and checked before the first output is written.

    Args:
        left: image or folder.
        right: image or folder.
        output: folder; made where it is missing.
        derainer: what cleans.

    Returns:
        The number of pairs.
    """
    pairs = match_pairs(left, right)
    inputs = {path.resolve() for pair in pairs for path in pair}
    for side in ("left", "right"):
        for paths in pairs:
            if (output / side / f"{paths[0].stem}.png").resolve() in inputs:
                raise ValueError(
                    f"output {output} would overwrite its own input in {output / side}: choose another folder"
                )
    for paths in tqdm(pairs, desc="check", unit="pair", disable=len(pairs) < 2):
        try:
            check_pair(*(read_image(path) for path in paths))
        except ValueError as error:
            raise ValueError(f"{paths[0].name}: {error}") from error
    for side in ("left", "right"):
        (output / side).mkdir(parents=True, exist_ok=True)
    for paths in tqdm(pairs, desc="derain", unit="pair"):
        views = derainer(*(read_image(path) for path in paths))
        for side, view in zip(("left", "right"), views):
            write_image(output / side / f"{paths[0].stem}.png", view)
    return len(pairs)
