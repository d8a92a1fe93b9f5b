"""What a training run is made of; read from YAML by `apanet train`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from apanet_core.model.config import ModelConfig, preset


@dataclass
class DataConfig:
    """Where samples come from: photographs to render rain on, or folders of rainy/clean pairs.

    Args:
        photos: folders of photographs; scenes and rain are rendered as training goes.
        pairs: root of a paired data set (see `apanet_core.data.paired_folders`), in place of `photos`.
        size: (height, width) of a training sample in px.
        workers: processes that prepare samples.
        single_image: share of samples whose views are one photograph.
    """

    photos: list[Path] = field(default_factory=list)
    pairs: Path | None = None
    size: tuple[int, int] = (96, 256)
    workers: int = 1
    single_image: float = 0.1


@dataclass
class TrainConfig:
    """One training run.

    Args:
        out: folder of the run: `last.ckpt`, `best.safetensors`, TensorBoard events.
        data: where samples come from.
        model: a preset name, or the fields of a ModelConfig.
        init: start from the weights of this checkpoint (a new run, unlike `resume`).
        steps: optimiser steps.
        batch_size: pairs per step.
        learning_rate: at the start, after the warm-up.
        final_learning_rate: at the end of the cosine.
        warmup_steps: linear warm-up.
        weight_decay: of AdamW; 0 makes it Adam.
        losses: weight of every term of the loss.
        ema: decay of the averaged weights that are validated and kept; 0 for none.
        clip_norm: largest norm of the gradient.
        validate_every: steps between validations; the best on the validation split is kept.
        validation_pairs: pairs in that split.
        checkpoint_every: steps between resumable checkpoints.
        seed: of weights and data.
        precision: as lightning-fabric names it: 32-true, bf16-mixed, 16-mixed.
        compile: use torch.compile.
        resume: continue `out`/last.ckpt where it is there.
    """

    out: Path
    data: DataConfig
    model: str | ModelConfig = "tiny"
    init: Path | None = None
    steps: int = 100_000
    batch_size: int = 8
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-6
    warmup_steps: int = 200
    weight_decay: float = 0.0
    losses: dict[str, float] = field(default_factory=lambda: {"charbonnier": 1.0})
    ema: float = 0.999
    clip_norm: float = 1.0
    validate_every: int = 1000
    validation_pairs: int = 64
    checkpoint_every: int = 500
    seed: int = 0
    precision: str = "32-true"
    compile: bool = False
    resume: bool = True

    def __post_init__(self) -> None:
        if bool(self.data.photos) == (self.data.pairs is not None):
            raise ValueError(
                "data needs either photos (to render rain on) or pairs (rainy/clean folders), and not both"
            )

    @property
    def model_config(self) -> ModelConfig:
        """The shape of the network to train."""
        return preset(self.model) if isinstance(self.model, str) else self.model
