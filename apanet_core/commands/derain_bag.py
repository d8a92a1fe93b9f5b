"""apanet derain-bag"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from apanet_core.bags.settings import BagSettings
from apanet_core.engines.options import DerainerOptions
from apanet_core.workers import WorkerOptions


def run(bags: list[Path], out: Path, settings: BagSettings, options: DerainerOptions, workers: WorkerOptions) -> None:
    """Remove the rain from recordings (MCAP or sqlite3) and copy all other messages; a second run resumes the first.

    Args:
        bags: folders of the recordings, or files in them.
        out: folder to make: the clean recording, or with several recordings a folder that holds the clean ones.
        settings: topics, pairing and output format.
        options: model, engine and device.
        workers: processes or cluster that do the work; each loads the model.
    """
    from apanet_core.bags.derain_bag import derain_bags
    from apanet_core.derainer import StereoDerainer
    from apanet_core.engines.choose import choose_model
    from apanet_core.model.checkpoint import find_checkpoint

    outs = [out] if len(bags) == 1 else [out / (bag.stem if bag.is_file() else bag.resolve().name) for bag in bags]
    if options.model == "auto":
        options = replace(options, model=choose_model(options.engine, options.device))
    weights = find_checkpoint(options.model)
    recipe = {**asdict(options), "model": hashlib.sha256(weights.read_bytes()).hexdigest()}
    reports = derain_bags(bags, outs, settings, partial(StereoDerainer, **asdict(options)), recipe, workers)
    for report in reports:
        if report.finished_before:
            print(f"{report.out}: finished before")
            continue
        left, right = report.unpaired
        print(f"{report.out}: {report.derained} pairs derained, {report.failed} copied unchanged; without partner: "
              f"{left} left, {right} right images")  # fmt: skip
        if report.not_kept:
            print(f"{report.out}: {report.not_kept} of the MCAP file were not copied", file=sys.stderr)
        if report.failed:
            print(f"{report.out}: the first pair that was copied unchanged: {report.problem}", file=sys.stderr)
