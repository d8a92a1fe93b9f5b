"""apanet info"""

from __future__ import annotations

from pathlib import Path


def run() -> None:
    """List the presets with sizes, and cards, evaluation and training data of the bundled weights."""
    from apanet_core.benchmark import count_gmac
    from apanet_core.model.checkpoint import bundled_models
    from apanet_core.model.config import PRESETS
    from apanet_core.model.network import APANet

    bundled = bundled_models()
    print("preset          parameters  GMAC of 128x128  receptive field  max_disparity  weights")
    for name, config in PRESETS.items():
        network = APANet(config)
        parameters = sum(p.numel() for p in network.parameters())
        print(
            f"{name:<14}{parameters:>12,}{count_gmac(network, 128, 128):>17.2f}{config.receptive_field:>14} px"
            f"{config.max_disparity or 'none':>12}    {'bundled' if name in bundled else 'none'}"
        )
    print(
        "\nGMAC count one pair. The receptive field is that of the convolutions; external attention adds a\n"
        "statistic of the whole image, parallax attention the row up to max_disparity px."
    )
    for card in (*bundled, "evaluation", "data"):
        text = (Path(__file__).parents[1] / "weights" / f"{card}.md").read_text()
        print(f"\n{text}")
