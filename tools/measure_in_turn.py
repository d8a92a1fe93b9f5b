"""Time presets in turn in one process, which compares them fairly on a machine whose speed varies.

Run: .venv/bin/python -m tools.measure_in_turn float32 --size 640x480
"""

import argparse
import statistics
import time

import numpy as np

from apanet_core import StereoDerainer
from apanet_core.model.checkpoint import bundled_models

ROUNDS = 40


def main() -> None:
    """Print the least and the median time of each preset for a pair, NumPy in and out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("precision", nargs="?", default="auto")
    parser.add_argument("--size", default="1242x375", help="WIDTHxHEIGHT in px")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    left, right = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    derainers = {model: StereoDerainer(model, precision=given.precision) for model in bundled_models()}
    for derainer in derainers.values():
        derainer.warm_up(height, width)
        derainer(left, right)
    times_ms: dict[str, list[float]] = {model: [] for model in derainers}
    for _ in range(ROUNDS):
        for model, derainer in derainers.items():
            began = time.perf_counter()
            derainer(left, right)
            times_ms[model].append(1000 * (time.perf_counter() - began))
    engine = derainers["tiny"].engine
    print(f"{engine.name}, {engine.device}, {engine.precision}, {given.size}, {ROUNDS} pairs each, in turn")
    print("| model | least (ms) | median (ms) |\n|---|---|---|")
    for model, values in times_ms.items():
        print(f"| {model} | {min(values):.0f} | {statistics.median(values):.0f} |")


if __name__ == "__main__":
    main()
