import json

import cv2
import numpy as np
import pytest

from apanet_core.commands.main import main
from apanet_core.data.layouts import find_clean, find_pairs
from apanet_core.data.paired_folders import PairedFolders
from apanet_core.data.render_folder import render_folder
from apanet_core.evaluation.inputs import find_samples
from apanet_core.rain.drops import Rain
from apanet_core.rain.render_settings import RenderSettings
from apanet_core.rain.sensor import Sensor
from apanet_core.workers import WorkerOptions

SIZE = (64, 160)
SETTINGS = RenderSettings(rain=Rain(30), lens_drops=2, sensor=Sensor(1.0))


@pytest.fixture
def clean(tmp_path):
    """Three textured pairs at disparity 8, with true disparity for the first two."""
    rng = np.random.default_rng(0)
    for folder in ("clean/left", "clean/right", "disparity"):
        (tmp_path / folder).mkdir(parents=True)
    for index in range(3):
        wide = cv2.resize(rng.integers(0, 256, (32, 84, 3), dtype=np.uint8), (168, 64), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / f"clean/left/{index}.png"), wide[:, :160])
        cv2.imwrite(str(tmp_path / f"clean/right/{index}.png"), wide[:, 8:])
        if index < 2:
            cv2.imwrite(str(tmp_path / f"disparity/{index}.png"), np.full(SIZE, 8 * 256, np.uint16))
    return tmp_path / "clean"


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_render_folder_output_is_readable_for_training_and_evaluation(clean, tmp_path):
    out = tmp_path / "out"
    assert render_folder(clean, out, SETTINGS, tmp_path / "disparity") == 3
    assert len(find_pairs(out)) == len(find_samples(out, {})) == 3
    assert len(PairedFolders(out, "train", (32, 64))) == 2
    frames = json.loads((out / "rain.json").read_text())["frames"]
    assert [frame["disparity"].rpartition("/")[2] for frame in frames] == ["0.png", "1.png", "SGBM"]
    assert frames[1]["weather"]["rain"]["rate_mm_h"] == 30
    for frame in frames:
        for side, source in zip(("left", "right"), frame["source"]):
            rainy, kept, mask, original = (
                cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(int)
                for path in (*(out / f"{kind}_{side}/{frame['name']}.png" for kind in ("rain", "gt", "mask")), source)
            )
            np.testing.assert_array_equal(kept, original)
            assert set(np.unique(mask)) == {0, 255}
            assert np.abs(rainy - kept)[mask > 0].mean() > 2 * np.abs(rainy - kept)[mask == 0].mean()


def test_render_folder_equal_seed_equal_files_for_any_workers(clean, tmp_path):
    for out, workers in (("one", 1), ("two", 2)):
        render_folder(clean, tmp_path / out, SETTINGS, options=WorkerOptions(workers))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    for side in ("left", "right"):
        (clean / side / "0.png").unlink()  # the rain over the others stays as it is
    render_folder(clean, tmp_path / "fewer", SETTINGS)
    fewer, one = contents(tmp_path / "fewer"), contents(tmp_path / "one")
    assert all(fewer[name] == one[name] for name in fewer if name != "rain.json")
    render_folder(clean, tmp_path / "other", RenderSettings(rain=Rain(30), lens_drops=2, sensor=Sensor(1.0), seed=1))
    assert contents(tmp_path / "other")["rain_left/1.png"] != one["rain_left/1.png"]


def test_render_folder_resumes_and_refuses_other_settings(clean, tmp_path):
    out = tmp_path / "out"
    render_folder(clean, out, SETTINGS)
    before = contents(out)
    kept = (out / "rain_left/0.png").stat().st_mtime_ns
    (out / "rain_right/2.png").unlink()
    (out / "rain.json").write_text(json.dumps({**json.loads((out / "rain.json").read_text()), "frames": []}))
    render_folder(clean, out, SETTINGS)
    assert contents(out) == before
    assert (out / "rain_left/0.png").stat().st_mtime_ns == kept
    with pytest.raises(ValueError, match="rendered with other settings: seed was 0, is 1; choose another out"):
        render_folder(clean, out, RenderSettings(rain=Rain(30), lens_drops=2, sensor=Sensor(1.0), seed=1))
    assert contents(out) == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").touch()
    with pytest.raises(ValueError, match=r"full is not empty and holds no rain.json"):
        render_folder(clean, tmp_path / "full", SETTINGS)


def test_render_folder_variants_share_clean_pair(clean, tmp_path):
    settings = RenderSettings(kind="both", variants=3, sensor=Sensor(gain_spread=0.1))
    assert render_folder(clean, tmp_path / "out", settings) == 9
    assert len(list((tmp_path / "out/gt_left").iterdir())) == 3
    pairs = find_pairs(tmp_path / "out")
    assert [(pair[0].stem, pair[3].stem) for pair in pairs[:4]] == [
        ("0_0", "0"),
        ("0_1", "0"),
        ("0_2", "0"),
        ("1_0", "1"),
    ]
    assert pairs[0][0].read_bytes() != pairs[1][0].read_bytes()
    assert (cv2.imread(str(pairs[0][2])) != cv2.imread(str(clean / "left/0.png"))).any()  # its gain is the camera's
    streaks = [f["weather"]["streaks"] for f in json.loads((tmp_path / "out/rain.json").read_text())["frames"]]
    assert streaks[0] != streaks[1]


def test_render_folder_ambiguous_variant_name_is_refused(clean, tmp_path):
    for side in ("left", "right"):
        folder = tmp_path / "names" / side
        folder.mkdir(parents=True)
        for name in ("a", "a_1"):
            (folder / f"{name}.png").write_bytes((clean / side / "0.png").read_bytes())
    with pytest.raises(ValueError, match="a variant of a would be called a_1, as another pair is"):
        render_folder(tmp_path / "names", tmp_path / "out", RenderSettings(variants=2))
    assert not (tmp_path / "out").exists()
    assert render_folder(tmp_path / "names", tmp_path / "out", RenderSettings()) == 2


def test_render_folder_rate_zero_returns_clean_images(clean, tmp_path):
    render_folder(clean, tmp_path / "out", RenderSettings(rain=Rain(0)))
    for rainy_left, rainy_right, clean_left, clean_right in find_pairs(tmp_path / "out"):
        np.testing.assert_array_equal(cv2.imread(str(rainy_left)), cv2.imread(str(clean_left)))
        np.testing.assert_array_equal(cv2.imread(str(rainy_right)), cv2.imread(str(clean_right)))


def test_find_clean_reads_kitti_folders_and_paired_sets(clean, tmp_path):
    (clean / "left").rename(clean / "image_2")
    (clean / "right").rename(clean / "image_3")
    assert [name for name, _, _ in find_clean(tmp_path)] == ["0", "1", "2"]
    render_folder(clean, tmp_path / "out", SETTINGS)
    render_folder(tmp_path / "out", tmp_path / "again", RenderSettings())
    assert [pair[2].stem for pair in find_pairs(tmp_path / "again")] == ["0", "1", "2"]


def test_render_rain_reports_assumed_camera_and_disparity(clean, tmp_path, capsys):
    arguments = ["render-rain", str(clean), "--out", str(tmp_path / "out"), "--rate", "10", "--lens-drops", "1"]
    assert main([*arguments, "--disparity", str(tmp_path / "disparity")]) == 0
    printed = capsys.readouterr()
    assert "focal_px and baseline_m not given: taken as KITTI's" in printed.err
    assert "2 pairs from" in printed.err
    assert "1 estimated by SGBM" in printed.err
    assert "3 rainy pairs" in printed.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--kind", "hail"], "kind must be one of drops, streaks, both: got 'hail'"),
        (["--rate", "-1"], "rate from 0 to 1000 mm/h"),
        (["--kind", "streaks", "--rate", "10"], "rate of the drops has no effect on kind streaks"),
        (["--disparity", "nowhere"], "no folder of disparities at nowhere"),
        (["--focal_px", "0"], "focal_px must be 1e-3 to 1e6 px"),
        (["--lens_drops", "-1"], "0 to 48 drops"),
        (["--workers", "0"], "workers must be at least 1"),
    ],
)
def test_render_rain_bad_options_print_error_and_write_nothing(clean, tmp_path, capsys, more, message):
    assert main(["render-rain", str(clean), "--out", str(tmp_path / "out"), *more]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"frames": []}', '{"settings": 1}'])
def test_render_folder_foreign_rain_json_is_refused(clean, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/rain.json").write_text(text)
    with pytest.raises(ValueError, match=r"rain.json was not written by render-rain: choose another out"):
        render_folder(clean, tmp_path / "out", SETTINGS)
    assert (tmp_path / "out/rain.json").read_text() == text


def test_render_folder_unequal_sizes_are_refused(clean, tmp_path):
    np.save(tmp_path / "disparity/2.npy", np.zeros((5, 5)))
    with pytest.raises(ValueError, match=r"2.npy is 5x5, its image 160x64"):
        render_folder(clean, tmp_path / "out", SETTINGS, tmp_path / "disparity")
    assert not list((tmp_path / "out").rglob("2.png"))
    cv2.imwrite(str(clean / "right/0.png"), np.zeros((64, 159, 3), np.uint8))
    with pytest.raises(ValueError, match=r"left/0.png: left and right must have one size: got 160x64 and 159x64"):
        render_folder(clean, tmp_path / "out2", SETTINGS)


def test_render_folder_without_images_accepts_other_settings(clean, tmp_path, capsys):
    out = tmp_path / "out"
    render_folder(clean, out, RenderSettings(rain=Rain(0)))
    for image in out.rglob("*.png"):
        image.unlink()
    render_folder(clean, out, SETTINGS)
    with pytest.raises(ValueError, match=r"rain.rate_mm_h was 30.*, is 0"):
        render_folder(clean, out, RenderSettings(rain=Rain(0)))
