"""Derain recordings in one process, several processes or a cluster; an interrupted run can be resumed."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from apanet_core.atomic import check_can_be_made, write_text
from apanet_core.bags.journal import journal_path, pairs_in
from apanet_core.bags.output import custom_data, merge_metadata, ros_distro
from apanet_core.bags.partial import file_fingerprints, has_progress, locked, partial_path, waiting_for_others
from apanet_core.bags.plan import Plan, Segment, make_plan
from apanet_core.bags.read import bag_root, check_distinct, open_bag
from apanet_core.bags.segment import SegmentResult, derain_segment
from apanet_core.bags.settings import BagSettings
from apanet_core.derainer import StereoDerainer, WarmDerainer
from apanet_core.progress import progress_bar
from apanet_core.workers import WorkerOptions, once_per_process, run_tasks

LOOK_EVERY_S = 0.5  # period of the progress bar
KEY = "apanet_derain_bag"  # entry of the output's custom_data that holds the recipe
MakeDerainer = Callable[[], StereoDerainer]


@dataclass(frozen=True)
class BagReport:
    """The result for one recording.

    Attributes:
        out: the clean recording.
        derained: number of derained pairs.
        failed: number of pairs copied unchanged because they could not be derained.
        problem: error of the first failed pair.
        unpaired: left and right images without a partner, copied unchanged.
        finished_before: whether an earlier run made the output.
        not_kept: MCAP records that were left out, in words.
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
    """A recording, its output, and its recipe: everything that decides the pixels."""

    plan: Plan
    out: Path
    recipe: str

    @property
    def partial(self) -> Path:
        """Return the folder in which the output grows."""
        return partial_path(self.out)

    def work(self, segment: Segment) -> Path:
        """Return the folder in which a segment grows."""
        return self.partial / "work" / f"{self.out.name}_{segment.number}"

    def done(self, segment: Segment) -> Path:
        """Return the file that marks a segment as finished."""
        return self.partial / f"done_{segment.number}.json"


def derain_bags(
    bags: list[Path],
    outs: list[Path],
    settings: BagSettings,
    make_derainer: MakeDerainer,
    model: dict[str, Any],
    options: WorkerOptions | None = None,
) -> list[BagReport]:
    """Derain every recording of `bags` into its folder of `outs`, which appears once it is complete.

    Args:
        bags: recordings.
        outs: one folder for each recording; a folder that an earlier run made with the same recipe is left alone.
        settings: topics, pairing and output format.
        make_derainer: called once in every process; with several processes it must be picklable.
        model: further entries of the recipe: all that decides the pixels besides the settings.
        options: processes or cluster that do the work; None: this process.

    Returns:
        A report per recording.

    Raises:
        FileNotFoundError: a bag does not exist.
        FileExistsError: an `out` holds something else, or an unfinished run of another recipe.
        ValueError: a topic is missing, no images pair, or no pair of a recording could be derained.
        MemoryError: a worker was killed.
        ConnectionError: the scheduler of the cluster does not answer.
    """
    (options or WorkerOptions()).check()
    for folder in {out.parent for out in outs}:
        check_can_be_made(folder)
    check_distinct(bags)
    if len({out.resolve() for out in outs}) < len(outs):
        raise ValueError(f"recordings need different outputs: got {', '.join(map(str, outs))}")
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
        with _progress(jobs):
            _run(open_, settings, make_derainer, options or WorkerOptions())
        problems = []
        for job in jobs:  # a recording without a clean pair does not block the next ones
            try:
                reports[job.out] = _finish(job)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("; ".join(problems))
    return [reports[out] for out in outs]


@contextmanager
def _progress(jobs: list[Job]) -> Iterator[None]:
    """Show a progress bar over the pairs of all processes and machines, counted in the files that they write.

    The bar starts with the first pair, after the models are loaded, so its rate and ETA exclude the loading time.
    """
    segments = [(job, segment) for job in jobs for segment in job.plan.segments]
    finished, stopped = set[Path](), threading.Event()

    def done() -> int:
        pairs = 0
        for job, segment in segments:
            if job.done(segment) not in finished and job.done(segment).exists():
                finished.add(job.done(segment))
            whole = job.done(segment) in finished
            pairs += len(segment.pairs) if whole else pairs_in(journal_path(job.work(segment)))
        return pairs

    before, total = done(), sum(len(segment.pairs) for _, segment in segments)
    with progress_bar(total=total, initial=before, desc="derain", unit="pair") as bar:

        def watch() -> None:
            while not stopped.wait(LOOK_EVERY_S):
                show(done())
            show(done())

        def show(pairs: int) -> None:
            if pairs > bar.n == before:
                bar.start_t = bar._time()  # the rate and the remaining time leave out the loading of the model
            bar.update(max(0, pairs - bar.n))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stopped.set()
            watcher.join()


def _run(
    tasks: list[tuple[Job, Segment]], settings: BagSettings, make_derainer: MakeDerainer, options: WorkerOptions
) -> None:
    if not tasks:
        return
    if options.in_process(len(tasks)):
        derainer = WarmDerainer(make_derainer())
        try:
            for job, segment in tasks:
                _one(job, segment, settings, derainer)
        finally:
            derainer.close()
        return
    work = partial(_work, settings=settings, make_derainer=make_derainer, run=uuid4().hex)
    for _ in run_tasks(work, tasks, options):
        pass


def _work(task: tuple[Job, Segment], settings: BagSettings, make_derainer: MakeDerainer, run: str) -> None:
    """Run `_one` in a worker process."""
    with once_per_process(run, lambda: WarmDerainer(make_derainer())) as derainer:
        _one(*task, settings, derainer)


def _one(job: Job, segment: Segment, settings: BagSettings, derainer: WarmDerainer) -> None:
    """Derain a segment, move its file into the output, then mark the segment as finished."""
    work = job.work(segment)
    work.parent.mkdir(exist_ok=True)
    # Dask may assign a segment a second time while a worker that it lost still runs it
    with waiting_for_others(work.with_name(f"{work.name}.lock")):
        if job.done(segment).exists():
            return
        result = derain_segment(job.plan, segment, work, settings, derainer)
        (job.partial / "bag").mkdir(exist_ok=True)
        for file in result.metadata["relative_file_paths"]:
            (work / file).replace(job.partial / "bag" / file)
        write_text(job.done(segment), json.dumps(asdict(result)))
        shutil.rmtree(work)
        journal_path(work).unlink()


def _finish(job: Job) -> BagReport:
    """Merge the segments' metadata and move the output to its final name."""
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
    """Return whether `out` exists and has the same recipe; raise FileExistsError if it has another one."""
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
            f"{job.partial} holds an unfinished run that was begun with another recording or other options: "
            "finish that run with its recording and options, or delete it"
        )
