"""The batches of a training run, from worker processes or from the renderer on the device."""

from __future__ import annotations

from collections.abc import Iterator

from lightning_fabric import Fabric
from torch.utils.data import DataLoader

from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.training.config import Phase, TrainConfig
from apanet_core.training.datasets import SAMPLES_PER_EPOCH, training_set
from apanet_core.training.objectives import Batch
from apanet_core.training.rendered import RenderedBatches
from apanet_core.training.sampling import EpochSampler


def training_steps(
    fabric: Fabric, config: TrainConfig, first: int, atlas: PhotoAtlas | None
) -> Iterator[tuple[int, list[Batch]]]:
    """Yield every step from `first` on with its batches, phase by phase; `atlas` has photographs, if any."""
    step = 0
    for number, phase in enumerate(config.all_phases):
        skipped = max(first - step, 0)
        if skipped < phase.steps:
            batches = _batches(fabric, config, phase, number, skipped, atlas)
            for position in range(skipped, phase.steps):
                yield step + position, [_next(batches) for _ in range(config.accumulate)]
        step += phase.steps


def _next(batches: Iterator[Batch]) -> Batch:
    """Return the next batch; an error from a worker of the loader loses the traceback in its text."""
    try:
        return next(batches)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise MemoryError(
            "a process that prepares samples was killed, probably out of memory: set data.workers lower; the "
            "run continues from its last checkpoint when it is started again"
        ) from error
    except (ValueError, OSError) as error:
        told, found, reason = str(error).rpartition(f"\n{type(error).__name__}: ")
        if not (found and told.startswith("Caught ")):
            raise
        raise type(error)(reason.rstrip()) from error


def _batches(
    fabric: Fabric, config: TrainConfig, phase: Phase, number: int, skipped: int, atlas: PhotoAtlas | None
) -> Iterator[Batch]:
    """Iterate over the batches of a phase, on the device, from step `skipped` on; `atlas` has photographs, if any."""
    seed = config.seed + 1000 * number
    dataset = None
    if not config.renders_on(fabric.device.type):
        dataset = training_set(config.data, config.distillation, phase.size, seed, atlas)
    samples_per_step = phase.batch_size * config.accumulate * fabric.world_size
    sampler = EpochSampler(
        SAMPLES_PER_EPOCH if dataset is None else len(dataset),  # type: ignore[arg-type]
        skipped * samples_per_step,
        phase.steps * samples_per_step,
        seed,
        phase.batch_size,
        fabric.global_rank,
        fabric.world_size,
    )
    if dataset is None:
        assert atlas is not None
        return iter(RenderedBatches(atlas, phase.size, phase.batch_size, sampler, seed, config.data.single_image))
    loader: DataLoader[Batch] = DataLoader(
        dataset,
        phase.batch_size,
        sampler=sampler,
        num_workers=config.data.workers,
        drop_last=True,
        pin_memory=fabric.device.type == "cuda",
    )
    return iter(fabric.setup_dataloaders(loader, use_distributed_sampler=False))  # type: ignore[arg-type]
