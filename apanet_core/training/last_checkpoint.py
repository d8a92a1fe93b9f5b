"""The checkpoint from which a run is resumed."""

from __future__ import annotations

import json
import math
from typing import Any

from lightning_fabric import Fabric

from apanet_core.training.config import TrainConfig
from apanet_core.training.recipe import differences
from apanet_core.training.schedule import Schedule

LAST_CHECKPOINT, BEST_WEIGHTS = "last.ckpt", "best.safetensors"


def load_last(fabric: Fabric, config: TrainConfig, state: dict[str, Any]) -> None:
    """Load the checkpoint of a run into `state`, if there is one and it has the same recipe.

    Args:
        fabric: the processes of the run.
        config: the run.
        state: model, optimizer and all else that `save_last` stores.

    Raises:
        ValueError: the file is damaged, or of a run with another recipe.
    """
    last = config.out / LAST_CHECKPOINT
    if not (config.resume and last.exists()):
        return
    stored = ("step", "best", "seconds", "recipe")
    try:
        found = fabric.load(last, {k: v for k, v in state.items() if k not in stored}, weights_only=True)
        was = json.loads(found["recipe"])
    except (MemoryError, OSError):
        raise
    except Exception as error:  # torch.load raises many types on a damaged file
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{last} is damaged or not a run of this model: choose another out, or resume false: {reason}"
        ) from error
    changed = {key: value for key, value in json.loads(state["recipe"]).items() if was.get(key) != value}
    if changed:
        details = "; ".join(
            detail for key, value in changed.items() for detail in differences(key, was.get(key), value)
        )
        raise ValueError(
            f"{last} is a run with another {', '.join(changed)}: choose another out, or resume false "
            f"(init starts a new run from its weights). {details}"
        )
    state.update({key: found[key] for key in stored})
    if not (config.out / BEST_WEIGHTS).exists():
        state["best"] = -math.inf  # the next validation writes it again


def save_last(fabric: Fabric, config: TrainConfig, state: dict[str, Any], schedule: Schedule) -> None:
    """Write the checkpoint atomically: to a temporary file, which then replaces it."""
    state["seconds"] = schedule.spent_s
    last = config.out / LAST_CHECKPOINT
    fabric.save(last.with_suffix(".partial"), state)
    if fabric.is_global_zero:
        last.with_suffix(".partial").replace(last)
