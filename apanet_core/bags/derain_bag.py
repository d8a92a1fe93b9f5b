"""Derain recordings, any number of them, in one process or several; a run that was cut off goes on."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from apanet_core.atomic import write_text
from apanet_core.bags.journal import journal_path
from apanet_core.bags.output import custom_data, merge_metadata, ros_distro
from apanet_core.bags.partial import file_fingerprints, has_progress, locked, partial_path
from apanet_core.bags.plan import Plan, Segment, make_plan
from apanet_core.bags.read import bag_root, check_distinct, open_bag
from apanet_core.bags.segment import SegmentResult, WarmDerainer, derain_segment
from apanet_core.bags.settings import BagSettings
from apanet_core.derainer import StereoDerainer
from apanet_core.workers import worker_pool

KEY = "apanet_derain_bag"  # in custom_data of the output: what it was made of, and how
MakeDerainer = Callable[[], StereoDerainer]


@dataclass(frozen=True)
class BagReport:
    """What became of a recording.

    Attributes:
        out: the clean recording.
        derained: pairs.
        failed: pairs left as they were.
        problem: why the first of them.
        unpaired: left and right images without partner, left as they were.
        finished_before: whether an earlier run had made it.
        not_kept: records of MCAP that were left out, in words.
    """

    out: Path
    derained: int = 0
    failed: int = 0
    problem: str = ""
    unpaired: tuple[int, int] = (0, 0)
    finished_before: bool = False
    not_kept: str = ""


@dataclass(frozen=True)
class Job:
    """A recording, its output and the folder in between."""

    plan: Plan
    out: Path
    recipe: str

    @property
    def partial(self) -> Path:
        """Where the output grows."""
        return partial_path(self.out)

    def done(self, segment: Segment) -> Path:
        """The file that says that a segment is finished."""
        return self.partial / f"done_{segment.number}.json"


def derain_bags(
    bags: list[Path],
    outs: list[Path],
    settings: BagSettings,
    make_derainer: MakeDerainer,
    model: dict[str, Any],
    workers: int = 1,
) -> list[BagReport]:
    """Derain every recording of `bags` into its folder of `outs`, which appears when it is complete.

    Args:
        bags: recordings.
        outs: as many folders to make; one that an earlier run made with the same recipe is left alone.
        settings: how.
        make_derainer: called once in every process; it must be picklable for more than one.
        model: what decides the pixels, besides the settings, for the recipe.
        workers: processes.

    Returns:
        A report per recording.

    Raises:
        FileNotFoundError: no bag there.
        FileExistsError: something else is at an `out`, or an unfinished run of another recipe.
        ValueError: no such topics, nothing pairs, or not one pair of a recording could be derained.
        MemoryError: a worker was killed.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1: got {workers}")
    check_distinct(bags)
    if len({out.resolve() for out in outs}) < len(outs):
        raise ValueError(f"every recording needs an output of its own: got {', '.join(map(str, outs))}")
    reports: dict[Path, BagReport] = {}
    jobs: list[Job] = []
    for path, out in zip(bags, outs):
        with open_bag(path) as bag:
            recipe = json.dumps({"bag": file_fingerprints(bag_root(path)), **asdict(settings), **model}, sort_keys=True)
            if _finished(out, recipe):
                reports[out] = BagReport(out, finished_before=True)
                continue
            jobs.append(Job(make_plan(bag, settings), out, recipe))
    with locked([job.partial for job in jobs]):
        for job in jobs:
            _check_recipe(job)
        open_ = [(job, segment) for job in jobs for segment in job.plan.segments if not job.done(segment).exists()]
        total, left = sum(job.plan.pairs for job in jobs), sum(len(segment.pairs) for _, segment in open_)
        with _progress(total, total - left) as on_pair:
            _run(open_, settings, make_derainer, workers, on_pair)
        problems = []
        for job in jobs:  # one without a clean pair does not hold up those behind it
            try:
                reports[job.out] = _finish(job)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("; ".join(problems))
    return [reports[out] for out in outs]


@contextmanager
def _progress(total: int, before: int) -> Iterator[Callable[[], Any]]:
    """A bar whose rate and ETA are those of the work itself: it starts with the first pair, the models loaded."""
    with tqdm(total=total, initial=before, desc="derain", unit="pair") as bar:

        def on_pair() -> None:
            if bar.n == before:
                bar.reset(total)
                bar.initial = bar.n = bar.last_print_n = before
            bar.update()

        yield on_pair


def _run(
    tasks: list[tuple[Job, Segment]],
    settings: BagSettings,
    make_derainer: MakeDerainer,
    workers: int,
    on_pair: Callable[[], Any],
) -> None:
    if not tasks:
        return
    if min(workers, len(tasks)) == 1:
        derainer = WarmDerainer(make_derainer())
        try:
            for job, segment in tasks:
                _one(job, segment, settings, derainer, on_pair)
        finally:
            derainer.close()
        return
    ticks = multiprocessing.get_context("spawn").SimpleQueue()

    def count() -> None:
        while ticks.get():
            on_pair()

    counter = threading.Thread(target=count, daemon=True)
    counter.start()
    others = multiprocessing.active_children()
    pool = worker_pool(min(workers, len(tasks)), _start_worker, (settings, make_derainer, ticks))
    try:
        for done in as_completed([pool.submit(_work, task) for task in tasks]):
            done.result()
    except BaseException as error:  # an interrupt too ends the workers at once; their journals keep what is done
        for worker in multiprocessing.active_children():
            if worker not in others:
                worker.terminate()
        if isinstance(error, BrokenProcessPool):
            raise MemoryError(
                "a worker was killed, for lack of memory most likely: use fewer workers; what is done is kept"
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    ticks.put(False)  # not after an error: a worker that was killed may have held the queue's lock
    counter.join()


_worker: tuple[BagSettings, WarmDerainer, Any] | Exception


def _start_worker(settings: BagSettings, make_derainer: MakeDerainer, ticks: Any) -> None:
    global _worker
    try:
        _worker = settings, WarmDerainer(make_derainer()), ticks
    except Exception as error:  # noqa: BLE001 (for `_work` to raise: an initializer's own is lost)
        _worker = error


def _work(task: tuple[Job, Segment]) -> None:
    if isinstance(_worker, Exception):
        raise _worker
    settings, derainer, ticks = _worker
    _one(*task, settings, derainer, lambda: ticks.put(True))


def _one(job: Job, segment: Segment, settings: BagSettings, derainer: WarmDerainer, on_pair: Callable[[], Any]) -> None:
    """Derain a segment; its file is in its place before the segment counts as done."""
    name = f"{job.out.name}_{segment.number}"
    work = job.partial / "work" / name
    work.parent.mkdir(exist_ok=True)
    result = derain_segment(job.plan, segment, work, settings, derainer, on_pair)
    (job.partial / "bag").mkdir(exist_ok=True)
    for file in result.metadata["relative_file_paths"]:
        (work / file).replace(job.partial / "bag" / file)
    write_text(job.done(segment), json.dumps(asdict(result)))
    shutil.rmtree(work)
    journal_path(work).unlink()


def _finish(job: Job) -> BagReport:
    """Put the segments together and let the output appear."""
    results = [SegmentResult(**json.loads(job.done(segment).read_text())) for segment in job.plan.segments]
    derained, failed = sum(r.derained for r in results), sum(r.failed for r in results)
    problem = next((r.problem for r in results if r.problem), "")
    if not derained:
        shutil.rmtree(job.partial)
        raise ValueError(f"not one of the {failed} pairs of {job.plan.path} could be derained: {problem}")
    custom = {**custom_data(job.plan.path), KEY: job.recipe}
    metadata = merge_metadata([result.metadata for result in results], custom, ros_distro(job.plan.path))
    write_text(job.partial / "bag" / "metadata.yaml", metadata)
    (job.partial / "bag").rename(job.out)
    shutil.rmtree(job.partial)
    return BagReport(job.out, derained, failed, problem, job.plan.unpaired, not_kept=job.plan.not_kept)


def _finished(out: Path, recipe: str) -> bool:
    """Whether `out` is there already, of the same recipe."""
    if not out.exists():
        return False
    if out.is_dir() and custom_data(out).get(KEY) == recipe:
        shutil.rmtree(partial_path(out), ignore_errors=True)  # killed between the last two steps
        return True
    raise FileExistsError(f"{out} is there already, and not of this recording and these options: choose another out")


def _check_recipe(job: Job) -> None:
    file = job.partial / "recipe.json"
    if not (file.exists() and has_progress(job.partial)):
        write_text(file, job.recipe)
    elif file.read_text() != job.recipe:
        raise FileExistsError(
            f"{job.partial} was begun with another recording or other options: repeat those, or delete it to begin anew"
        )
