"""apanet cut-dataset"""

from __future__ import annotations

from pathlib import Path

from apanet_core.bags.settings import CutSettings


def run(bags: list[Path], settings: CutSettings, out: Path = Path("dataset")) -> None:
    """Cut a data set of rainy pairs, in StereoRealRain's layout, out of recordings (MCAP or sqlite3).

    Args:
        bags: folders of the recordings, or files in them.
        settings: topics, and which pairs to keep.
        out: folder to make: train/left, train/right, val/left, val/right, dataset.json.
    """
    from apanet_core.bags.cut_dataset import cut_dataset

    content = cut_dataset(bags, out, settings)
    dropped = ", ".join(f"{count} {reason}" for reason, count in content["dropped"].items())
    print(f"{content['kept']} of {content['pairs']} pairs kept in {len(content['clips'])} clips ({dropped}): {out}")
