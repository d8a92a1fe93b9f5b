import json

import torch

from apanet_core.cli import main
from apanet_core.model.config import PRESETS
from apanet_core.model.network import APANet
from apanet_core.model.parallax_attention import scanline_attention
from apanet_core.runtime.benchmark import count_gmac, dense_attention


def test_the_dense_reference_is_the_same_attention():
    rows = tuple(torch.randn(2, 3, 33, 4) for _ in range(3))
    for reach in (None, 5):
        for to_the_right in (False, True):
            torch.testing.assert_close(
                dense_attention(*rows, reach, to_the_right), scanline_attention(*rows, reach, to_the_right)
            )


def test_multiply_accumulates_are_counted():
    """The paper counts 17.98 for one pair of 128x128; torch counts causal attention as if it were dense."""
    assert abs(count_gmac(APANet(PRESETS["paper"]), 128, 128) / 17.98 - 1) < 0.05
    assert count_gmac(APANet(PRESETS["tiny"]), 256, 128) > 1.9 * count_gmac(APANet(PRESETS["tiny"]), 128, 128)


def test_rows_and_ratio_are_printed_and_written(tmp_path, capsys):
    arguments = ["--models", "[tiny]", "--engines", "[torch]", "--sizes", "[64x48]", "--repeats", "2"]
    assert main(["benchmark", *arguments, "--against", "dense", "--json", str(tmp_path / "b.json")]) == 0
    printed = capsys.readouterr().out
    assert "tiny 64x48: dense takes" in printed
    rows = json.loads((tmp_path / "b.json").read_text())["results"]
    assert [row["model"] for row in rows] == ["tiny", "tiny+dense"]
    assert all(row["median_ms"] > 0 and row["peak_gib"] > 0 for row in rows)


def test_wrong_sizes_are_refused(capsys):
    assert main(["benchmark", "--sizes", "[big]"]) == 2
    assert "WIDTHxHEIGHT" in capsys.readouterr().err
