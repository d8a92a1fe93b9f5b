import csv
import json

import cv2
import numpy as np
import pytest

from apanet_core.commands.main import main
from apanet_core.data.layouts import LAYOUTS
from apanet_core.derainer import StereoDerainer
from apanet_core.evaluation.evaluate import evaluate
from apanet_core.evaluation.settings import EvaluationSettings
from apanet_core.images.files import read_image, write_image


def run(root, *more):
    arguments = ["evaluate", str(root / "data"), "--out", str(root / "out"), "--max_disparity", "32"]
    return main([*arguments, "--outputs", f"[copy={root / 'copy'}]", "--engine", "torch", *more])


def results_of(root):
    return json.loads((root / "out/results.json").read_text())


def test_evaluate_stereo_gain_option_reports_gains(data_set, capsys):
    assert run(data_set, "--disparity", str(data_set / "truth"), "--stereo_gain", "true") == 0
    assert "stereo gain" in capsys.readouterr().out
    results = results_of(data_set)
    derainer = StereoDerainer("tiny", "torch")
    for row in results["rows"]:
        gains = [row[key] for key in ("stereo_gain_db", "clean_partner_db", "attention_wrong_percent")]
        if row["method"] != "tiny":
            assert gains == [None, None, None]
            continue
        rainy, clean = (
            [read_image(data_set / "data" / kind / side / f"{row['name']}.png") for side in ("left", "right")]
            for kind in ("rain", "norain")
        )
        own, twice, dry = (derainer(rainy[0], other)[0].astype(float) for other in (rainy[1], rainy[0], clean[1]))
        db = [10 * np.log10(255**2 / np.square(view - clean[0]).mean()) for view in (own, twice, dry)]
        assert gains[:2] == pytest.approx([db[0] - db[1], db[2] - db[0]], abs=1e-3)
        assert 0 <= gains[2] <= 100


def test_evaluate_with_truth_writes_consistent_results(data_set, capsys):
    assert run(data_set, "--disparity", str(data_set / "truth")) == 0
    printed = capsys.readouterr().out
    assert sorted(p.name for p in (data_set / "out").iterdir()) == ["per_image.csv", "report.html", "results.json"]
    results = results_of(data_set)
    rows = {(row["name"], row["method"]): row for row in results["rows"]}
    names = sorted(path.stem for path in (data_set / "copy/left").iterdir())
    assert len(names) == 3
    assert list(rows) == [(n, m) for n in names for m in ("rainy", "tiny", "copy", "clean")]
    assert [method["name"] for method in results["methods"]] == list(results["summary"])

    for name in names:
        shift = np.load(data_set / "truth" / f"{name}.npy")[0, 0]
        copy, clean, rainy = (rows[name, method] for method in ("copy", "clean", "rainy"))
        assert copy["psnr_rgb_left"] == copy["psnr_y_right"] == 100
        assert copy["ssim_rgb_right"] == pytest.approx(1, abs=1e-5)
        assert copy["brightness_shift"] == copy["photometric_error"] == clean["photometric_error"] == 0
        assert copy["epe_px"] == clean["epe_px"] < 0.1
        assert copy["wrong_percent"] == clean["wrong_percent"] < 20
        # `shift` streaks of 150 grey levels in each view
        assert rainy["brightness_shift"] == pytest.approx(150 * shift / 112, abs=0.01)
        assert rainy["psnr_rgb_left"] == pytest.approx(10 * np.log10(255**2 * 112 / (150**2 * shift)), abs=0.01)
        assert rainy["photometric_error"] > 1
        assert rainy["wrong_percent"] > clean["wrong_percent"]

    with open(data_set / "out/per_image.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["name"], line["method"]) for line in lines] == list(rows)
    for line, row in zip(lines, results["rows"]):
        assert {k: None if v == "" else float(v) for k, v in line.items() if k not in ("name", "method")} == {
            k: v for k, v in row.items() if k not in ("name", "method")
        }
    for method, means in results["summary"].items():
        for key, mean in means.items():
            values = [row[key] for row in results["rows"] if row["method"] == method and row[key] is not None]
            assert mean == (pytest.approx(np.mean(values), abs=1e-5) if values else None)
    tiny = results["summary"]["tiny"]
    assert f"{tiny['psnr_rgb_left']:.2f} / {tiny['psnr_rgb_right']:.2f}" in printed
    assert "LPIPS was not measured" in printed


def test_evaluate_without_truth_uses_clean_pair_and_is_repeatable(data_set):
    assert run(data_set, "--models", "[]", "--limit", "2") == 0
    first = (data_set / "out/results.json").read_bytes(), (data_set / "out/report.html").read_bytes()
    results = results_of(data_set)
    assert results["depth_reference"] == "clean pair"
    assert len(results["rows"]) == 6
    assert {row["wrong_percent"] for row in results["rows"] if row["method"] != "rainy"} == {0}
    assert run(data_set, "--models", "[]", "--limit", "2") == 0
    assert ((data_set / "out/results.json").read_bytes(), (data_set / "out/report.html").read_bytes()) == first


def test_evaluate_single_images_has_no_depth_measures(data_set, monkeypatch):
    monkeypatch.setitem(LAYOUTS, "single", ("rain/left", "rain/left", "norain/left", "norain/left"))
    monkeypatch.delitem(LAYOUTS, "StereoCityscapes")
    for path in (data_set / "copy/right").iterdir():
        path.unlink()
    text = evaluate(data_set / "data", data_set / "out", EvaluationSettings([], [f"copy={data_set / 'copy'}"]))
    assert "Single images have no depth" in text
    for row in results_of(data_set)["rows"]:
        assert row["epe_px"] is row["wrong_percent"] is row["photometric_error"] is row["psnr_rgb_right"] is None
        assert (row["psnr_rgb_left"] is None) == (row["method"] == "clean")


def test_evaluate_pair_with_unknown_truth_has_no_depth_measures(data_set):
    np.save(data_set / "truth/a.npy", np.full((48, 112), np.nan))
    assert run(data_set, "--models", "[]", "--disparity", str(data_set / "truth")) == 0
    results = results_of(data_set)
    for row in results["rows"]:
        unknown = row["name"] == "a"
        assert (
            (row["epe_px"] is None) == (row["wrong_percent"] is None) == (row["photometric_error"] is None) == unknown
        )
    others = [row["epe_px"] for row in results["rows"] if row["method"] == "rainy" and row["name"] != "a"]
    assert results["summary"]["rainy"]["epe_px"] == pytest.approx(np.mean(others), abs=1e-5)


@pytest.mark.parametrize(
    ("break_it", "more", "message"),
    [
        (lambda root: (root / "copy/left/a.png").unlink(), [], "outputs of copy: no "),
        (lambda root: cv2.imwrite(str(root / "copy/left/a.png"), np.zeros((48, 99, 3))), [], "is 99x48, the rainy"),
        (lambda root: (root / "data/norain").rename(root / "data/dry"), [], "has no layout known here"),
        (lambda root: (root / "data").rename(root / "gone"), [], "no folder at"),
        (lambda root: None, ["--models", "[huge]"], "'huge'"),
        (lambda root: None, ["--models", "[tiny,tiny]"], "two methods are named 'tiny'"),
        (lambda root: None, ["--models", "[copy=tiny]"], "both named 'copy'"),
        (lambda root: None, ["--models", "[rainy=tiny]"], "'rainy' is reserved"),
        (lambda root: None, ["--limit", "0"], "limit must be at least 1: got 0"),
        (lambda root: None, ["--disparity", "nowhere"], "no folder of disparities at nowhere"),
        (lambda root: None, ["--lpips", "nowhere.pth"], "no weights at nowhere.pth"),
    ],
)
def test_evaluate_bad_input_prints_error_and_writes_nothing(data_set, capsys, break_it, more, message):
    break_it(data_set)
    assert run(data_set, *more) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("apanet: error: ")
    assert message in error
    assert not (data_set / "out").exists()


def test_evaluate_existing_file_as_output_is_preserved(data_set):
    (data_set / "out").write_text("mine")
    assert run(data_set) == 2
    assert (data_set / "out").read_text() == "mine"


def test_evaluate_wrong_disparity_scale_prints_hint(data_set):
    for path in (data_set / "truth").glob("*.npy"):
        write_image(path.with_suffix(".png"), np.full(np.load(path).shape, 8 * np.load(path)[0, 0], np.uint8))
        path.unlink()
    said = {}
    for scale in (8.0, 2.0):
        settings = EvaluationSettings([], [], data_set / "truth", scale, 64)
        said[scale] = evaluate(data_set / "data", data_set / "out", settings)
    assert "check the true disparities, --disparity_scale" in said[2.0]
    assert "check the true disparities" not in said[8.0]
