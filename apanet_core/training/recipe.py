"""The recipe of a run: all values that decide its weights; a run is only resumed with the same recipe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from apanet_core.images.files import find_images
from apanet_core.model.checkpoint import find_checkpoint
from apanet_core.training.config import TrainConfig

FIRST_BYTES = 4096  # of each image that count as its content; whole data sets would take minutes
NOT_IN_RECIPE = ("out", "steps", "batch_size", "validate_every", "checkpoint_every", "device", "compile", "resume")


def recipe(config: TrainConfig, processes: int) -> str:
    """Return the values of a config that decide the weights, as JSON."""
    values = asdict(config) | {"model": config.model_config.to_dict(), "phases": [asdict(p) for p in config.all_phases]}
    values["processes"] = processes
    for name in NOT_IN_RECIPE:
        del values[name]
    del values["data"]["workers"], values["data"]["renderer"]  # both draw the same samples
    del values["model"]["coring"]  # it acts on bytes, which training does not see
    # Contents count, not paths: a run can be resumed after its data or its weights were moved.
    values["init"] = None if config.init is None else _fingerprint(find_checkpoint(config.init))
    values["data"] |= {
        "photos": [_fingerprint(folder) for folder in config.data.photos],
        "pairs": _fingerprint(config.data.pairs),
    }
    if config.distillation is not None:
        taught = config.distillation
        values["distillation"] |= {
            "teacher": _fingerprint(find_checkpoint(taught.teacher)),
            "unpaired": _fingerprint(taught.unpaired),
            "vgg19": _fingerprint(taught.vgg19),
        }
    return json.dumps(values, default=str)


def differences(name: str, was: Any, now: Any) -> Iterator[str]:
    """Describe every entry that differs in a part of two recipes.

    Args:
        name: name of the part.
        was: value of the part in the stored run.
        now: value of the part in the config.

    Yields:
        Sentences such as "phases[0].steps was 6, is 12".
    """
    if isinstance(was, dict) and isinstance(now, dict):
        for key in now:
            if was.get(key) != now[key]:
                yield from differences(f"{name}.{key}", was.get(key), now[key])
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for index, (one, other) in enumerate(zip(was, now)):
            if one != other:
                yield from differences(f"{name}[{index}]", one, other)
    else:
        yield f"{name} was {was}, is {now}"


def _fingerprint(path: Path | None) -> str | None:
    """Return a hash of the bytes of a file, or of the names, sizes and first bytes of the images in a folder."""
    if path is None:
        return None
    digest = hashlib.sha256()
    if path.is_file():
        digest.update(path.read_bytes())
    for file in find_images(path):
        digest.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode(errors="surrogateescape"))
        with file.open("rb") as start:
            digest.update(start.read(FIRST_BYTES))
    return digest.hexdigest()[:16]
