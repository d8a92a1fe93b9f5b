"""The network as a file that other engines read."""

from __future__ import annotations

import copy
import io
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from apanet_core.engines.quiet_openvino import import_openvino
from apanet_core.model.checkpoint import CONFIG_KEY
from apanet_core.model.network import APANet
from apanet_core.model.parallax_attention import ParallaxAttention, masked_attention, scanline_attention
from apanet_core.model.uint8 import Uint8Derainer

ONNX_OPSET = 18
SMALLEST_SIDE = 16  # px
FORMATS = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}
# In every format, views are (height, width, 3) uint8 RGB; "change" is a scalar that is not finite where the network
# overflows.
INPUTS, OUTPUTS = ["left", "right"], ["derained_left", "derained_right", "change"]


def openvino_model(network: APANet) -> Any:
    """Convert the network by OpenVINO's own reader of PyTorch.

    Args:
        network: in eval mode; the conversion uses a copy.

    Returns:
        The openvino.Model with `INPUTS` and `OUTPUTS`, of dynamic height and width.
    """
    openvino = import_openvino()
    network, example = _traceable(network)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about the shape checks
        any_size = openvino.PartialShape([-1, -1, 3])
        inputs = [(name, any_size, openvino.Type.u8) for name in INPUTS]
        model = openvino.convert_model(Uint8Derainer(network).eval(), example_input=example, input=inputs)
    forget_traced_classes = getattr(torch._C, "_jit_clear_class_registry", None)
    if forget_traced_classes is not None:
        forget_traced_classes()  # the traced network, weights included, would stay for the life of the process
    for port, name in zip(model.outputs, OUTPUTS):
        port.set_names({name})
    return model


def onnx_program(network: APANet) -> Any:
    """Export the network for ONNX; takes half a minute to a minute.

    Args:
        network: in eval mode; the export uses a copy.

    Returns:
        The torch.onnx.ONNXProgram with `INPUTS` and `OUTPUTS`, of dynamic height and width.
    """
    network, example = _traceable(network)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            Uint8Derainer(network).eval(),
            example,
            dynamo=True,
            opset_version=ONNX_OPSET,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},) * 2,
            verbose=False,
        )


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
    if min(size) < SMALLEST_SIDE:
        raise ValueError(f"images must be at least {SMALLEST_SIDE} px each way: got {size[1]}x{size[0]}")
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

        model = onnx_program(network).model_proto
        onnx.helper.set_model_props(model, {CONFIG_KEY: config})
        onnx.checker.check_model(model)
        return lambda path: onnx.save_model(model, str(path))
    if file_format == "openvino":
        converted = openvino_model(network)
        converted.set_rt_info(config, ["apanet", CONFIG_KEY])
        converted.set_rt_info("float32", ["apanet", "precision"])  # of the weights; the device chooses how it computes
        return lambda path: import_openvino().save_model(converted, path, compress_to_fp16=False)
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
    height, width = size or (network.config.stride + 18, network.config.stride + 22)
    # two tensors: an exporter takes one tensor passed twice for one input
    left, right = (torch.zeros(height, width, 3, dtype=torch.uint8) for _ in range(2))
    return network, (left, right)
