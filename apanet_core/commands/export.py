"""apanet export"""

from __future__ import annotations

from pathlib import Path


def run(output: Path, model: str = "tiny", format: str | None = None, height: int = 480, width: int = 640) -> None:
    """Export a model for another engine; its views are (height, width, 3) uint8 RGB, in and out.

    Args:
        output: .onnx, .xml (OpenVINO, in bfloat16 on a CPU that has it unless INFERENCE_PRECISION_HINT is f32) or .pt2
            (torch-export).
        model: a bundled preset or a .safetensors checkpoint.
        format: onnx, openvino or torch-export; by default, the suffix of `output` decides.
        height: image height in px, for torch-export only; other formats accept any size.
        width: image width in px, for torch-export only; other formats accept any size.
    """
    from apanet_core.atomic import check_can_be_made
    from apanet_core.engines.export import export
    from apanet_core.model.checkpoint import load_model

    check_can_be_made(output.parent)
    export(load_model(model), output, format, (height, width))
    print(f"wrote {output}")
    if output.suffix == ".xml":
        print("OpenVINO computes in bfloat16 on a CPU that has it: set INFERENCE_PRECISION_HINT to f32 for float32")
