"""apanet import-checkpoint"""

from __future__ import annotations

from pathlib import Path


def run(published: Path, output: Path) -> None:
    """Convert a checkpoint of the code published with the paper.

    Args:
        published: a .pth file of that code.
        output: the .safetensors file to write.
    """
    from apanet_core.model.checkpoint import save_checkpoint
    from apanet_core.model.published import load_published

    if output.suffix != ".safetensors":
        raise ValueError(f"output must be a .safetensors file: got {output}")
    save_checkpoint(load_published(published), output, source=published.name)
    print(f"wrote {output}")
