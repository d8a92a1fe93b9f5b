"""Measure the values of the cards of the bundled weights: quality before and after, in rain that `apanet` renders.

STEREO is a folder of clean rectified pairs (left/NAME and right/NAME), with four kinds of rain rendered over it.
SINGLES is a folder of rainy photographs with clean partners (rain/ and clean/). Both are lists, as the models are.
Run: .venv/bin/python -m tools.measure_weights --stereo '[STEREO]' --singles '[SINGLES]' --models '[tiny,small]'
"""

import contextlib
import io
import json
import tempfile
from pathlib import Path

from jsonargparse import auto_cli

from apanet_core.commands.main import main

KINDS = {
    "heavy drops, 50 mm/h, veil": ["--rate", "50"],
    "moderate drops, 12 mm/h, no veil": ["--rate", "12", "--veil", "false"],
    "streaks, each view its own": ["--kind", "streaks"],
    "dry": ["--rate", "0"],
}


def quietly(*arguments: str) -> None:
    """Run an `apanet` command without its output on stdout; exit if it fails."""
    with contextlib.redirect_stdout(io.StringIO()):
        if main(list(arguments)):
            raise SystemExit(f"apanet {' '.join(arguments)} failed")


def row(words: str, data: Path, out: Path, models: str, depth: bool) -> str:
    """Evaluate and return a line of the table: PSNR / SSIM / moved disparities of the input and of every model.

    Args:
        words: first cell of the line.
        data: folder of rainy and clean pairs.
        out: folder of the evaluation.
        models: value of `apanet evaluate --models`.
        depth: whether to add the moved disparities.
    """
    quietly("evaluate", str(data), "--out", str(out), "--models", models, "--pictures", "1")
    results = json.loads((out / "results.json").read_text())
    cells = [f"{words} ({results['images']})"]
    for method in [m["name"] for m in results["methods"] if m["name"] != "clean"]:
        s = results["summary"][method]
        views = ("left", "right") if depth else ("left",)  # a single photograph stands for both
        psnr, ssim = (sum(s[f"{key}_{view}"] for view in views) / len(views) for key in ("psnr_rgb", "ssim_rgb"))
        cells.append(f"{psnr:.2f} / {ssim:.3f}" + (f" / {s['wrong_percent']:.1f} %" if depth else ""))
    return f"| {' | '.join(cells)} |"


def measure(models: str = "[tiny]", stereo: list[Path] = [], singles: list[Path] = []) -> None:  # noqa: B006
    """Print both tables.

    Args:
        models: value of `apanet evaluate --models`.
        stereo: folders of clean pairs.
        singles: folders of rainy photographs and their clean partners.
    """
    with tempfile.TemporaryDirectory() as folder:
        for number, pairs in enumerate(stereo):
            for words, options in KINDS.items():
                data = Path(folder) / f"{number}-{words.partition(' ')[0]}"
                quietly("render-rain", str(pairs), "--out", str(data), *options)
                print(row(f"{pairs.name}: {words}", data, data / "evaluation", models, depth=True), flush=True)
        for number, photos in enumerate(singles):
            print(row(photos.name, photos, Path(folder) / f"single-{number}", models, depth=False), flush=True)


if __name__ == "__main__":
    auto_cli(measure, as_positional=False)
