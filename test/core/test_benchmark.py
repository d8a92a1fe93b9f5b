import json
import os
import signal

import pytest
import torch

from apanet_core import benchmark
from apanet_core.benchmark import count_gmac, dense_attention
from apanet_core.commands.main import main
from apanet_core.model.config import PRESETS
from apanet_core.model.network import APANet
from apanet_core.model.parallax_attention import scanline_attention


def test_dense_attention_matches_scanline_attention():
    rows = tuple(torch.randn(2, 3, 33, 4) for _ in range(3))
    for reach in (None, 5):
        for for_right_view in (False, True):
            torch.testing.assert_close(
                dense_attention(*rows, reach, for_right_view), scanline_attention(*rows, reach, for_right_view)
            )


def test_count_gmac_matches_paper_and_grows_with_size():
    """The paper counts 17.98 for one pair of 128x128; torch counts causal attention as if it were dense."""
    assert abs(count_gmac(APANet(PRESETS["paper"]), 128, 128) / 17.98 - 1) < 0.05
    assert count_gmac(APANet(PRESETS["tiny"]), 256, 128) > 1.9 * count_gmac(APANet(PRESETS["tiny"]), 128, 128)


def test_benchmark_prints_ratio_and_writes_rows(tmp_path, capsys):
    arguments = ["--models", "[tiny]", "--engines", "[torch]", "--sizes", "[64x48]", "--repeats", "2"]
    assert main(["benchmark", *arguments, "--against", "dense", "--json", str(tmp_path / "b.json")]) == 0
    printed = capsys.readouterr().out
    assert "tiny 64x48: dense takes" in printed
    rows = json.loads((tmp_path / "b.json").read_text())["results"]
    assert [row["model"] for row in rows] == ["tiny", "tiny+dense"]
    assert all(row["median_ms"] > 0 and row["first_ms"] > 0 and row["peak_gib"] > 0 for row in rows)
    assert all(row["launches"] is None for row in rows)
    assert "launches" not in printed


def test_benchmark_bad_sizes_are_refused(capsys):
    assert main(["benchmark", "--sizes", "[big]"]) == 2
    assert "WIDTHxHEIGHT" in capsys.readouterr().err


def test_benchmark_failed_case_is_named_and_others_are_measured(capsys):
    arguments = ["benchmark", "--sizes", "[64x48]", "--repeats", "1", "--precision", "float16"]
    assert main([*arguments, "--engines", "[openvino,torch]"]) == 0
    printed = capsys.readouterr()
    assert "tiny, openvino, 64x48: the openvino engine computes in float32 or bfloat16" in printed.err
    assert "| tiny | torch |" in printed.out


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that can be killed")
def test_benchmark_killed_case_is_named(capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "measure", die)
    with pytest.raises(ValueError, match="nothing could be measured"):
        benchmark.benchmark([benchmark.Case("tiny", "torch", "cpu", "auto", 48, 64)], 1, 1.0)
    assert "tiny, torch, 64x48 was killed" in capsys.readouterr().err


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engines", "[torhc]"], "unknown engine 'torhc': choose among torch"),
        (["--engines", "[openvino]", "--against", "dense"], "against must be dense, with the engine torch"),
        (["--repeats", "0"], "repeats must be at least 1"),
        (["--json", "nowhere/b.json"], "no folder nowhere"),
    ],
)
def test_benchmark_bad_options_are_refused(capsys, arguments, message):
    assert main(["benchmark", *arguments]) == 2
    assert message in capsys.readouterr().err
