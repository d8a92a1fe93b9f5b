"""Options of `apanet evaluate`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

RAINY, CLEAN, TRUTH = "rainy", "clean", "truth"  # names that no method can have


@dataclass(frozen=True)
class EvaluationSettings:
    """Options of an evaluation.

    Args:
        models: presets or .safetensors checkpoints, as in '[tiny,mine=runs/a/best.safetensors]'.
        outputs: folders of derained pairs, left/NAME.png and right/NAME.png, as in '[mprnet=results/mprnet]'.
        disparity: folder of true disparities (16-bit PNG like KITTI's, .npy or .pfm); without it, disparities are
            compared with those of the clean pairs.
        disparity_scale: grey levels per px of disparities in PNG; default 256, as in KITTI.
        max_disparity: search range of the stereo matcher, px.
        limit: largest number of pairs to evaluate.
        engine: auto, torch or openvino.
        device: auto, cpu, cuda or cuda:N.
        lpips: AlexNet's weights (torchvision's alexnet-owt-7be5be79.pth), to measure LPIPS as well.
        pictures: number of pairs shown in the report.
        stereo_gain: also measure how much the second view improves the result of each model and, with engine torch,
            how far the disparity of its attention is off.
    """

    models: list[str] = field(default_factory=lambda: ["tiny"])
    outputs: list[str] = field(default_factory=list)
    disparity: Path | None = None
    disparity_scale: float | None = None
    max_disparity: int = 128
    limit: int | None = None
    engine: str = "auto"
    device: str = "auto"
    lpips: Path | None = None
    pictures: int = 6
    stereo_gain: bool = False

    def __post_init__(self) -> None:
        if self.disparity_scale is not None and self.disparity_scale <= 0:
            raise ValueError(f"disparity_scale must be above 0: got {self.disparity_scale}")
        for name, value, least in (
            ("max_disparity", self.max_disparity, 1),
            ("limit", self.limit, 1),
            ("pictures", self.pictures, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}: got {value}")
        models, outputs = self.named_models, self.named_outputs
        for name in (RAINY, CLEAN, TRUTH):
            if name in models or name in outputs:
                raise ValueError(f"{name!r} is reserved for a part of the comparison: give that method another name")
        if both := models.keys() & outputs.keys():
            raise ValueError(f"a model and an output folder are both named {min(both)!r}: rename one, as in other=PATH")

    @property
    def named_models(self) -> dict[str, str]:
        """Return the models to evaluate: name to preset or checkpoint."""
        return _named(self.models, default_name=True)

    @property
    def named_outputs(self) -> dict[str, Path]:
        """Return the folders of derained pairs: name of the method to folder."""
        return {name: Path(folder) for name, folder in _named(self.outputs).items()}


def _named(items: list[str], default_name: bool = False) -> dict[str, str]:
    """Split NAME=VALUE items; with `default_name`, an item without "=" gets the stem of its path as its name."""
    result: dict[str, str] = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not separator:
            name, value = (Path(item).stem if default_name else ""), item
        if not name or not value:
            raise ValueError(f"expected NAME=FOLDER, such as mprnet=results/mprnet: got {item!r}")
        if name in result:
            raise ValueError(f"two methods are named {name!r}: tell them apart, as in first={value}")
        result[name] = value
    return result
