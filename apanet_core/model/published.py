"""Checkpoints of the code published with the paper, read into our network.

They are saved by torch as ``{"net": state_dict, ...}`` or as a bare state dict, with or without the ``module.`` that
DataParallel puts in front of every name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from apanet_core.model.checkpoint import load_tensors
from apanet_core.model.config import PRESETS
from apanet_core.model.network import APANet
from apanet_core.model.torch_file import read_tensors

# The published external attention divides by 1e9 + sum where its source has 1e-9 + sum.
PUBLISHED_EPS = 1e9
# (pattern of our name, the published name)
_NAMES: list[tuple[str, Callable[[re.Match[str]], str]]] = [
    (r"down\.(\d)\.0\.weight", lambda m: f"down{int(m[1]) + 1}_{int(m[1]) + 2}.body.0.weight"),
    (r"up\.(\d)\.0\.weight", lambda m: f"up{int(m[1]) + 2}_{int(m[1]) + 1}.body.0.weight"),
    (r"reduce\.(\d)\.(\w+)", lambda m: f"reduce_chan_level{int(m[1]) + 1}.{m[2]}"),
    (r"encoder\.3\.(.+)", lambda m: f"latent.{_in_block(m[1])}"),
    (r"(encoder|decoder)\.(\d)\.(.+)", lambda m: f"{m[1]}_level{int(m[2]) + 1}.{_in_block(m[3])}"),
    (r"(project_in|project_out)\.(\w+)", lambda m: m[0]),
]
_IN_BLOCK = {
    "external.attention_scale": "spatial_block.beta",
    "external.feed_forward_scale": "spatial_block.gamma",
    "external.attention_norm": "spatial_block.norm1.body",
    "external.feed_forward_norm": "spatial_block.norm2.body",
    "external.attention.key": "spatial_block.attn.EAttentionBlock.mk",
    "external.attention.value": "spatial_block.attn.EAttentionBlock.mv",
    "external.feed_forward.project_in": "spatial_block.ffn.project_in",
    "external.feed_forward.depthwise": "spatial_block.ffn.dwconv",
    "external.feed_forward.project_out": "spatial_block.ffn.project_out",
    "parallax.left_scale": "stereo_block.beta",
    "parallax.right_scale": "stereo_block.gamma",
    "parallax.left_norm": "stereo_block.norm_l",
    "parallax.right_norm": "stereo_block.norm_r",
    "parallax.query": "stereo_block.l_proj1",
    "parallax.key": "stereo_block.r_proj1",
    "parallax.left_value": "stereo_block.l_proj2",
    "parallax.right_value": "stereo_block.r_proj2",
}


def load_published(path: str | Path) -> APANet:
    """Read a published checkpoint.

    Args:
        path: a file written by torch.save; only tensors and plain containers are unpickled.

    Returns:
        The `paper` network with these weights, in eval mode; `config.external_attention_eps` is that of the
        published code.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a checkpoint; the message names the first tensor that is missing, extra or misshapen.
    """
    path = Path(path)
    state = {name.removeprefix("module."): value for name, value in read_tensors(path).items()}

    model = APANet(replace(PRESETS["paper"], external_attention_eps=PUBLISHED_EPS))
    tensors = {}
    for name, ours in model.state_dict().items():
        theirs = published_name(name)
        if theirs not in state:
            raise ValueError(f"{path} lacks the tensor {theirs!r}: it is not a checkpoint of the published network")
        value = state.pop(theirs)
        if value.squeeze().shape != ours.squeeze().shape:
            raise ValueError(
                f"{path}: {theirs!r} has shape {tuple(value.shape)}, expected one like {tuple(ours.shape)}"
            )
        tensors[name] = value.float().reshape(ours.shape)
    if state:
        raise ValueError(f"{path} has an extra tensor {next(iter(state))!r}: it belongs to another network")
    load_tensors(model, tensors, path)
    return model.eval()


def published_name(name: str) -> str:
    """Name that a tensor of the `paper` network has in published checkpoints."""
    for pattern, translate in _NAMES:
        if match := re.fullmatch(pattern, name):
            return translate(match)
    raise KeyError(name)


def _in_block(name: str) -> str:
    index, _, inner = name.partition(".")
    for ours, theirs in _IN_BLOCK.items():
        if inner == ours or inner.startswith(f"{ours}."):
            return f"{index}.{theirs}{inner.removeprefix(ours)}"
    raise KeyError(name)
