"""The command line, in a separate process only where that matters."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

import apanet_core.commands.program
import apanet_ros.program
from apanet_core import __version__
from apanet_core.commands.main import main
from apanet_core.missing import run_program


def write_pairs(root, names, size=(40, 60), suffix=".png"):
    rng = np.random.default_rng(0)
    for side in ("left", "right"):
        (root / side).mkdir(parents=True, exist_ok=True)
        for name in names:
            cv2.imwrite(str(root / side / f"{name}{suffix}"), rng.integers(0, 256, (*size, 3), dtype=np.uint8))


def derain(root, *more, left="left", right="right"):
    return main(
        ["derain", "--left", str(root / left), "--right", str(root / right), "--output", str(root / "out"), *more]
    )


def test_derain_folders_writes_png_of_input_size_per_image(tmp_path):
    write_pairs(tmp_path, ["b", "a"], suffix=".jpg")
    assert derain(tmp_path, "--engine", "torch") == 0
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")) == [
        "left/a.png",
        "left/b.png",
        "right/a.png",
        "right/b.png",
    ]
    assert cv2.imread(str(tmp_path / "out/right/b.png")).shape == (40, 60, 3)


def test_derain_single_files_writes_left_and_right(tmp_path):
    write_pairs(tmp_path, ["x"], size=(16, 16))
    assert derain(tmp_path, "--engine", "torch", left="left/x.png", right="right/x.png") == 0
    assert (tmp_path / "out/left/x.png").is_file()
    assert (tmp_path / "out/right/x.png").is_file()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "right/b.png").unlink(), "left/b.png has no partner in"),
        (lambda root: (root / "right/b.png").write_bytes(b"no image"), "not a readable image"),
        (lambda root: cv2.imwrite(str(root / "right/b.png"), np.zeros((40, 61, 3))), "b.png: left and right must have"),
        (lambda root: cv2.imwrite(str(root / "left/b.jpg"), np.zeros((40, 60, 3))), "two images named 'b'"),
    ],
)
def test_derain_bad_folders_prints_error_and_writes_nothing(tmp_path, capsys, break_it, message):
    write_pairs(tmp_path, ["a", "b"])
    break_it(tmp_path)
    assert derain(tmp_path, "--engine", "torch") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("apanet: error: ")
    assert message in error
    assert not (tmp_path / "out").exists()


def test_derain_output_among_inputs_is_refused(tmp_path, capsys):
    write_pairs(tmp_path, ["a"], suffix=".jpg")
    arguments = ["--left", tmp_path / "left", "--right", tmp_path / "right", "--output", tmp_path]
    assert main(["derain", *map(str, arguments), "--engine", "torch"]) == 2
    assert "would put results among the inputs" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "left").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "runs/a/last.ckpt"], "is the state of a training run: give its weights, runs/a/best.safetensors"),
        (["--engine", "magic"], "unknown engine 'magic': choose one of auto, torch, openvino"),
        (["--model", "huge"], "unknown preset 'huge': choose one of base, paper, small, small-mono"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_derain_bad_options_prints_error_and_writes_nothing(tmp_path, capsys, arguments, message):
    write_pairs(tmp_path, ["a"])
    assert derain(tmp_path, *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert not (tmp_path / "out").exists()


def test_missing_folder_or_unknown_command_returns_2(tmp_path, capsys):
    assert derain(tmp_path, left="nowhere") == 2
    assert "no file or folder at" in capsys.readouterr().err
    assert main(["derian"]) == 2
    assert "derain" in capsys.readouterr().err


def test_version_option_prints_package_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"apanet {__version__}"


def test_info_prints_parameter_count_and_licence(capsys):
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert "8,013,443" in printed
    assert "Licence" in printed


def test_core_modules_import_no_ros_package():
    code = "import sys, pkgutil, importlib, apanet_core\n" + (
        "for m in pkgutil.walk_packages(apanet_core.__path__, 'apanet_core.'): importlib.import_module(m.name)\n"
        "ros = {m.split('.')[0] for m in sys.modules} & {'rclpy', 'sensor_msgs', 'apanet_ros', 'cv_bridge', 'launch'}\n"
        "sys.exit(str(ros) if ros else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("module", "distribution", "remedy"),
    [
        ("cv2.typing", "", "-m pip install opencv-python"),
        ("cv2.typing", "jazzy", "sudo apt install python3-opencv"),
        ("docstring_parser", "jazzy", "-m pip install docstring-parser-fork"),
        ("torch", "", "-m pip install 'torch<2.14'"),
        ("rclpy", "", "source /opt/ros/DISTRIBUTION/setup.bash"),
        ("sensor_msgs.msg", "jazzy", "sudo apt install ros-jazzy-sensor-msgs"),
    ],
)
def test_missing_package_prints_one_line_with_remedy(capsys, monkeypatch, module, distribution, remedy):
    monkeypatch.setenv("ROS_DISTRO", distribution)

    def load():
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    assert run_program("apanet", load) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"apanet: error: No module named {module!r}; ")
    assert line.endswith(remedy)


def test_entry_points_load_callable():
    for program in (apanet_core.commands.program, apanet_ros.program):
        assert callable(program._load())


def test_help_does_not_import_torch():
    code = (
        "import sys; from apanet_core.commands.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "derain" in done.stdout
