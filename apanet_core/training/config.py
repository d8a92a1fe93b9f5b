"""Configuration of a training run, which `apanet train` and `apanet distill` read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from apanet_core.model.config import ModelConfig, preset

ENDLESS_STEPS = 10**9  # steps of a run that ends by the clock
RENDERERS = ("auto", "workers", "device")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass
class DataConfig:
    """Source of the samples: photographs to render rain on, or folders of rainy/clean pairs.

    Args:
        photos: folders of photographs; scenes and rain are rendered during training.
        pairs: root of a paired data set (see `apanet_core.data.layouts`); give either this or `photos`.
        size: (height, width) of a training sample in px.
        workers: processes that prepare samples.
        single_image: share of samples whose left and right view are the same photograph; 1 for a single-image teacher.
        renderer: workers renders rain in worker processes, device in batches where the network trains; auto takes
            device on CUDA. Both draw the same samples.
    """

    photos: list[Path] = field(default_factory=list)
    pairs: Path | None = None
    size: tuple[int, int] = (96, 256)
    workers: int = 1
    single_image: float = 0.1
    renderer: str = "auto"


@dataclass
class Phase:
    """A part of a run with its own sample size and batch size, as in the paper's patch schedule.

    Args:
        steps: optimiser steps.
        size: (height, width) of a sample in px.
        batch_size: pairs per step and process.
    """

    steps: int
    size: tuple[int, int]
    batch_size: int


@dataclass
class MatchingConfig:
    """Weights of the extra losses of a network that matches its views; other networks ignore them.

    Args:
        estimate: weight of the Charbonnier loss of the result that each view gives without the other.
        attention: weight of the cross-entropy between attention and true disparity, if the data set has disparities.
        disparity: weight of the disparity error, per px.
        photometric: weight of the difference between a clean view and the other one read with the attention, if the
            data set has no disparities.
        cycle: weight of the difference between a disparity and that of the match, per px, if it has none.
    """

    estimate: float = 1.0
    attention: float = 0.1
    disparity: float = 0.004
    photometric: float = 0.5
    cycle: float = 0.002


@dataclass
class DistillationConfig:
    """Single-to-Stereo distillation: the student also learns from real rain without clean partners.

    Args:
        teacher: checkpoint trained on single-image rain; frozen.
        unpaired: root of unpaired real pairs in StereoRealRain's layout; `apanet cut-dataset` writes one.
        total_variation: weight of the total variation of the derained real views.
        dark_channel: weight of the dark channel of the derained real views.
        contrastive: weight of their feature distance to the teacher's result over that to the rainy view.
        vgg19: weight file of torchvision's vgg19 for these features; without it, they are the teacher's encoder's.
    """

    teacher: Path
    unpaired: Path
    total_variation: float = 5e-5
    dark_channel: float = 1e-6
    contrastive: float = 2e-3
    vgg19: Path | None = None


@dataclass
class TrainConfig:
    """A training run.

    Args:
        out: folder of the run: `last.ckpt`, `best.safetensors`, TensorBoard events.
        data: source of the samples.
        model: a preset name, or the fields of a ModelConfig.
        init: start from the weights of this checkpoint (a new run, unlike `resume`).
        distillation: also learn from real rain; for `apanet distill`.
        steps: optimiser steps.
        minutes: train for this time instead of `steps`, validation included; the learning rate follows the clock, and
            a resumed run uses up the time that is left.
        batch_size: pairs per step and process.
        phases: parts of the run with their own sizes; they replace `steps`, `batch_size` and `data.size`.
        accumulate: batches whose gradients are added up for a step.
        learning_rate: learning rate after the warm-up.
        final_learning_rate: learning rate at the end, after a cosine decay.
        warmup_steps: steps of linear warm-up.
        weight_decay: weight decay of AdamW; 0 makes it Adam.
        losses: weight of each term of the supervised loss: some of charbonnier, frequency, ssim, box_ssim.
        matching: weights of the extra losses of a network that matches its views.
        ema: decay of the averaged weights, which are validated and saved; 0: no averaging.
        clip_norm: largest norm of the gradient; 0: no clipping.
        validate_every: steps between validations; the best on the validation split is kept.
        validation_pairs: pairs of the validation split.
        checkpoint_every: steps between resumable checkpoints.
        seed: seed of weights and data.
        precision: 32-true, bf16-mixed or 16-mixed; the loss scale of 16-mixed restarts when a run is resumed.
        device: auto, cpu or cuda; torchrun spreads the run over processes and machines.
        compile: use torch.compile.
        resume: continue from `out`/last.ckpt if it exists.
    """

    out: Path
    data: DataConfig
    model: str | ModelConfig = "tiny"
    init: Path | None = None
    distillation: DistillationConfig | None = None
    steps: int = 100_000
    minutes: float | None = None
    batch_size: int = 8
    phases: list[Phase] = field(default_factory=list)
    accumulate: int = 1
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-6
    warmup_steps: int = 200
    weight_decay: float = 0.0
    losses: dict[str, float] = field(default_factory=lambda: {"charbonnier": 1.0})
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    ema: float = 0.999
    clip_norm: float = 1.0
    validate_every: int = 1000
    validation_pairs: int = 64
    checkpoint_every: int = 500
    seed: int = 0
    precision: str = "32-true"
    device: str = "auto"
    compile: bool = False
    resume: bool = True

    def __post_init__(self) -> None:
        if bool(self.data.photos) == (self.data.pairs is not None):
            raise ValueError(
                "data needs either photos (to render rain on) or pairs (rainy/clean folders), and not both"
            )
        for name in ("accumulate", "validate_every", "validation_pairs", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: got {getattr(self, name)}")
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError(f"minutes must be above 0: got {self.minutes}")
        if self.minutes is not None and self.phases:
            raise ValueError("phases have their own steps, so minutes cannot end them: give minutes or phases")
        for phase in self.all_phases:
            if min(phase.steps, phase.batch_size, *phase.size) < 1:
                raise ValueError(f"steps, batch_size and size must be at least 1: got {phase}")
        for name in ("learning_rate", "final_learning_rate", "warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be below 0: got {getattr(self, name)}")
        if min(vars(self.matching).values()) < 0:
            raise ValueError(f"the weights of matching must not be below 0: got {self.matching}")
        if self.data.renderer not in RENDERERS:
            raise ValueError(f"data.renderer must be one of {', '.join(RENDERERS)}: got {self.data.renderer!r}")
        if self.data.renderer == "device" and (self.distillation is not None or not self.data.photos):
            raise ValueError("data.renderer device needs data.photos, and does not work with distillation")
        if not 0 <= self.data.single_image <= 1:
            raise ValueError(f"data.single_image must lie in [0, 1]: got {self.data.single_image}")
        if not 0 <= self.ema < 1 or self.clip_norm < 0:
            raise ValueError(f"ema must lie in [0, 1) and clip_norm not below 0: got {self.ema}, {self.clip_norm}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}: got {self.precision!r}")

    @property
    def model_config(self) -> ModelConfig:
        """Return the architecture of the network to train."""
        return preset(self.model) if isinstance(self.model, str) else self.model

    @property
    def all_phases(self) -> list[Phase]:
        """Return the phases, or a single one of `steps` steps if none are given."""
        steps = self.steps if self.minutes is None else ENDLESS_STEPS
        return self.phases or [Phase(steps, self.data.size, self.batch_size)]

    def renders_on(self, device: str) -> bool:
        """Whether samples are rendered on the training device, "cpu" or "cuda", and not in worker processes."""
        if self.data.renderer != "auto":
            return self.data.renderer == "device"
        return device == "cuda" and bool(self.data.photos) and self.distillation is None

    @property
    def total_steps(self) -> int:
        """Return the number of steps of all phases."""
        return sum(phase.steps for phase in self.all_phases)
