"""apanet evaluate"""

from __future__ import annotations

from pathlib import Path

from apanet_core.evaluation.settings import EvaluationSettings
from apanet_core.workers import WorkerOptions


def run(data: Path, settings: EvaluationSettings, workers: WorkerOptions, out: Path = Path("evaluation")) -> None:
    """Compare models and other methods' outputs with the rainy input: quality, stereo depth, consistency.

    Args:
        data: folder of rainy and clean pairs, in a layout that `train` also reads.
        settings: methods to compare and values to measure.
        workers: processes or cluster that do the work; each loads the models.
        out: folder for per_image.csv, results.json and report.html.
    """
    from apanet_core.evaluation.evaluate import evaluate

    print(evaluate(data, out, settings, workers))
    print(f"\nwritten: {out / 'report.html'}, {out / 'results.json'}, {out / 'per_image.csv'}")
