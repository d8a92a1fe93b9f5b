"""Run the demo: python -m tools.demo [--bag BAG --left /topic --right /topic] [--out demo]."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from apanet_core.bags.read import bag_root
from tools.demo.recording import DEMO_TOPICS, motorcycle, open_stereo_bag, write_rainy_bag
from tools.demo.replay import replay
from tools.demo.report import draw, format_table, measure, read_pairs

FRAMES, RATE_HZ = 50, 1.0  # slow enough for two old CPU cores


def main(argv: list[str] | None = None) -> int:
    """Make or open a recording, play it through the node, measure and draw the result."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--bag", type=Path, help="your own recording (MCAP or sqlite3); none: one is made")
    parser.add_argument("--left", help="its left image topic", default=DEMO_TOPICS["left"])
    parser.add_argument("--right", help="its right image topic", default=DEMO_TOPICS["right"])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the bags and the picture")
    options = parser.parse_args(argv)
    try:
        print(run(options.bag, options.left, options.right, options.out))
    except (ValueError, OSError) as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 2
    return 0


def run(source: Path | None, left: str, right: str, out: Path) -> str:
    """Run the demo and return its table."""
    truth = None
    if source is None:
        truth, source = motorcycle(), out / "rainy"
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(source, ignore_errors=True)
        write_rainy_bag(source, truth, FRAMES, RATE_HZ)
    bag = open_stereo_bag(source, left, right)
    out.mkdir(parents=True, exist_ok=True)
    output, log, picture = out / "derained", out / "node.log", out / "before_after.png"
    if output.resolve() == bag_root(bag.path).resolve():
        raise ValueError(f"the demo records into {output}, which is the bag to play: move it, or choose another --out")
    shutil.rmtree(output, ignore_errors=True)
    print(f"starting the node; its log is in {log}", file=sys.stderr)
    played = replay(bag, output, log)
    if not played.sent_at:
        raise ValueError(f"no left and right image of {source} have equal stamps: the demo pairs equal stamps only")
    if not played.received_at:
        raise TimeoutError(f"no pair came back; see {log}")
    rows = measure(bag, output, played, truth, log)
    middle = sorted(played.received_at)[len(played.received_at) // 2]
    topics = {side: f"/derained/{side}/image_rect" for side in ("left", "right")}
    rainy, derained = (
        next(views for stamp, views, _ in read_pairs(path, names) if stamp == middle)
        for path, names in ((bag.path, bag.images), (output, topics))
    )
    draw(rainy, derained, truth, picture)
    return f"\n{format_table(rows)}\n\npicture: {picture}\nrecordings: {source} -> {output}"


if __name__ == "__main__":
    sys.exit(main())
