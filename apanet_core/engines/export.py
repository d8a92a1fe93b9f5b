"""The network as a file that other engines read."""

from __future__ import annotations

import copy
import io
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from apanet_core.engines.quiet_openvino import import_openvino
from apanet_core.model.checkpoint import CONFIG_KEY
from apanet_core.model.network import APANet
from apanet_core.model.parallax_attention import ParallaxAttention, masked_attention, scanline_attention
from apanet_core.model.uint8 import Uint8Derainer

ONNX_OPSET = 18
FORMATS = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}


def onnx_model(network: APANet) -> bytes:
    """Trace the network into an ONNX model.

    Args:
        network: in eval mode; the trace uses a copy.

    Returns:
        The model: inputs `left`, `right`, outputs `derained_left`, `derained_right`, all (height, width, 3) uint8 RGB
        with dynamic height and width, and `change`, a scalar that is not finite where the network overflows.
    """
    network, example = _traceable(network)
    images, change = ["left", "right", "derained_left", "derained_right"], "change"
    file = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about the shape checks
        torch.onnx.export(
            Uint8Derainer(network).eval(),
            example,
            file,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=ONNX_OPSET,
            input_names=images[:2],
            output_names=[*images[2:], change],
            dynamic_axes={name: {0: "height", 1: "width"} for name in images},
        )
    return file.getvalue()


def export(network: APANet, path: Path, file_format: str | None, size: tuple[int, int]) -> None:
    """Write the network with its config in the metadata, atomically.

    Args:
        network: in eval mode; the export uses a copy.
        path: file to write; .onnx, .xml (OpenVINO, with a .bin of the same name) or .pt2.
        file_format: one of `FORMATS`; None takes that of the suffix.
        size: (height, width) in px, for torch-export, whose size is fixed; the others take any.

    Raises:
        ValueError: an unknown format, a suffix that does not belong to it, or too small a size.
        FileNotFoundError: no such folder.
        OSError: the file cannot be written, as on a full disk; nothing is left of it.
    """
    if file_format is None:
        file_format = next((name for name, suffix in FORMATS.items() if suffix == path.suffix), path.suffix)
    if file_format not in FORMATS:
        known = ", ".join(f"{name} ({suffix})" for name, suffix in FORMATS.items())
        raise ValueError(f"unknown format {file_format!r}: choose one of {known}")
    if path.suffix != FORMATS[file_format]:
        raise ValueError(f"a file of format {file_format} ends with {FORMATS[file_format]}: got {path}")
    if min(size) < 16:
        raise ValueError(f"images must be at least 16 px each way: got {size[1]}x{size[0]}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} to write {path.name} to")
    config = json.dumps(network.config.to_dict())
    save = _converted(network, file_format, size, config)
    with tempfile.TemporaryDirectory(prefix=".export", dir=path.parent) as folder:
        try:
            save(Path(folder) / path.name)
        except (RuntimeError, OSError) as error:  # OpenVINO raises the former for a full disk
            raise OSError(f"cannot write {path}: {' '.join(str(error).split())[:200]}; is the disk full?") from error
        for file in sorted(Path(folder).iterdir()):  # the weights of OpenVINO, .bin, before the .xml
            file.replace(path.with_name(file.name))


def _converted(network: APANet, file_format: str, size: tuple[int, int], config: str) -> Callable[[Path], object]:
    """Convert the network; returns what writes the result to a file."""
    if file_format == "onnx":
        import onnx

        model = onnx.load_model_from_string(onnx_model(network))
        onnx.helper.set_model_props(model, {CONFIG_KEY: config})
        onnx.checker.check_model(model)
        return lambda path: onnx.save_model(model, str(path))
    if file_format == "openvino":
        openvino = import_openvino()
        converted = openvino.Core().read_model(onnx_model(network))
        converted.set_rt_info(config, ["apanet", CONFIG_KEY])
        return lambda path: openvino.save_model(converted, path, compress_to_fp16=False)
    copied, example = _traceable(network, size)
    program = torch.export.export(Uint8Derainer(copied).eval(), example)
    file = io.BytesIO()  # torch's own writing of a file ends the process where the disk is full
    torch.export.save(program, file, extra_files={CONFIG_KEY: config})
    return lambda path: path.write_bytes(file.getvalue())


def _traceable(
    network: APANet, size: tuple[int, int] | None = None
) -> tuple[APANet, tuple[torch.Tensor, torch.Tensor]]:
    """Copy the network with the form of APAM that has no branch on the size; returns it and an example pair."""
    network = copy.deepcopy(network).float().cpu()
    for module in network.modules():
        if isinstance(module, ParallaxAttention) and module.attention is scanline_attention:
            module.attention = masked_attention
    # not a multiple of the stride, so that the padding is traced too
    height, width = size or (network.config.stride + 2, network.config.stride + 6)
    # two tensors: an exporter takes one tensor passed twice for one input
    left, right = (torch.zeros(height, width, 3, dtype=torch.uint8) for _ in range(2))
    return network, (left, right)
