"""Find which image files are a stereo pair."""

from __future__ import annotations

from pathlib import Path

from apanet_core.images.files import list_images


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
