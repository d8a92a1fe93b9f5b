"""Checkpoints: safetensors files with the model config in their metadata."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from apanet_core.atomic import write_bytes
from apanet_core.model.config import PRESETS, ModelConfig, preset
from apanet_core.model.network import APANet

CONFIG_KEY = "apanet_config"


def save_checkpoint(model: APANet, path: str | Path, dtype: torch.dtype = torch.float32, **metadata: str) -> None:
    """Write the weights of `model` and its config to `path`, atomically.

    Args:
        model: to store.
        path: a .safetensors file; its folder must exist.
        dtype: type of the stored parameters.
        **metadata: further entries, such as the training recipe.
    """
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in model.state_dict().items()}
    write_bytes(Path(path), save(tensors, {CONFIG_KEY: json.dumps(model.config.to_dict()), **metadata}))


def load_model(name_or_path: str | Path, max_disparity: int | None = None) -> APANet:
    """Load a bundled preset or a checkpoint file.

    Args:
        name_or_path: a preset with bundled weights (`bundled_models` lists them) or the path of a .safetensors file.
        max_disparity: largest disparity of APAM and of the matching in px; None or 0 keeps that of the checkpoint.

    Returns:
        The network in eval mode, on the CPU, in float32; its shape is in `.config`.

    Raises:
        FileNotFoundError: no such file, or a preset that has no bundled weights.
        ValueError: not an APANet checkpoint; the message names the first tensor that is missing, extra or misshapen.
    """
    path = find_checkpoint(name_or_path)
    try:
        with safe_open(str(path), framework="pt") as file:
            config_json = (file.metadata() or {}).get(CONFIG_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error
    if config_json is None:
        raise ValueError(f"{path} has no {CONFIG_KEY!r} in its metadata: it is not a checkpoint of this package")
    model = APANet(_parse_config(config_json, path).capped(max_disparity))
    load_tensors(model, tensors, path)
    return model.eval()


def load_tensors(model: APANet, tensors: dict[str, torch.Tensor], source: str | Path) -> None:
    """Copy `tensors` into `model`; every name and shape must match, and every value must be finite.

    Args:
        model: the network to fill.
        tensors: by parameter name.
        source: where they came from, for the error.

    Raises:
        ValueError: naming the first tensor at fault and `source`.
    """
    expected = model.state_dict()
    for name in expected:
        if name not in tensors:
            raise ValueError(f"{source} lacks the tensor {name!r}: it belongs to another network, or another version")
        if tensors[name].shape != expected[name].shape:
            raise ValueError(
                f"{source}: {name!r} should have shape {tuple(expected[name].shape)}, has {tuple(tensors[name].shape)}"
            )
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(f"{source}: {name!r} holds NaN or infinite values; the file is damaged")
    for name in tensors:
        if name not in expected:
            raise ValueError(
                f"{source} has an extra tensor {name!r}: it belongs to another network, or another version"
            )
    model.load_state_dict(tensors)


def bundled_models() -> list[str]:
    """Names of the presets whose weights come with the package."""
    return sorted(name for name in PRESETS if _bundled(name).is_file())


def _bundled(name: str) -> Path:
    return Path(str(resources.files("apanet_core"))) / "weights" / f"{name}.safetensors"


def find_checkpoint(name_or_path: str | Path) -> Path:
    """Return the file that `load_model` reads; raise its error if the file is missing."""
    path = Path(name_or_path).expanduser()
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise FileNotFoundError(f"no checkpoint at {path}")
        return path
    if path.suffix == ".ckpt":
        raise ValueError(
            f"{path} is the state of a training run: give its weights, {path.with_name('best.safetensors')}"
        )
    preset(str(name_or_path))  # raises for an unknown name, listing the valid ones
    bundled = _bundled(str(name_or_path))
    if not bundled.is_file():
        raise FileNotFoundError(
            f"the preset {str(name_or_path)!r} comes without weights: choose one of {', '.join(bundled_models())}, "
            "or train it and give the path of its .safetensors file"
        )
    return bundled


def _parse_config(text: str, path: Path) -> ModelConfig:
    try:
        return ModelConfig.from_dict(json.loads(text))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds a model config that cannot be read: {error}") from error
