"""What the package promises beside its code: metadata, launch file, documents."""

import ast
import re
import runpy
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# import name -> rosdep key in package.xml
ROSDEP = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "torch": "python3-pytorch-pip",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
NO_ROSDEP_KEY = {"safetensors", "jsonargparse", "onnx", "onnxruntime", "openvino", "rosbags"}  # pip, in the README
ROS_PACKAGES = {
    *("rclpy", "message_filters", "builtin_interfaces", "diagnostic_msgs", "lifecycle_msgs", "rcl_interfaces"),
    *("sensor_msgs", "std_msgs", "std_srvs", "launch", "launch_ros", "ament_index_python", "cv_bridge"),
}


def imports_of(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        if "demo" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    yield from (alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    yield node.module.split(".")[0]


def test_every_import_is_a_declared_dependency():
    declared = {e.text for e in ElementTree.parse(ROOT / "package.xml").getroot().findall("exec_depend")}
    used = set(imports_of("apanet_ros")) | set(imports_of("launch")) | set(imports_of("apanet_core/runtime"))
    others = used - sys.stdlib_module_names - NO_ROSDEP_KEY - {"apanet_core", "apanet_ros"}
    assert {name if name in ROS_PACKAGES else ROSDEP[name] for name in others} <= declared


def test_no_document_has_a_gap_left_to_fill():
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "apanet_core/weights").glob("*.md")]:
        assert not re.search(r"@[A-Z]+@", path.read_text()), path


def test_everything_that_is_imported_is_in_the_installed_package(tmp_path):
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    listed = set(tracked.stdout.split())
    for path in [*(ROOT / "apanet_core").rglob("*.py"), *(ROOT / "apanet_ros").rglob("*.py")]:
        assert str(path.relative_to(ROOT)) in listed, f"{path} is not in git"


def test_versions_agree():
    import apanet_core

    version = ElementTree.parse(ROOT / "package.xml").getroot().findtext("version")
    assert version == apanet_core.__version__
    assert re.search(r'version="(.*)"', (ROOT / "setup.py").read_text()).group(1) == version
    assert f"{version} (" in (ROOT / "CHANGELOG.rst").read_text()


def test_parameters_launch_arguments_and_topics_are_in_the_readme():
    pytest.importorskip("rclpy", reason="needs rclpy")
    from apanet_ros.parameters import _DECLARATIONS

    launch = ast.parse((ROOT / "launch/derain.launch.py").read_text())
    arguments = next(
        ast.literal_eval(n.value) for n in launch.body if isinstance(n, ast.Assign) and n.targets[0].id == "ARGUMENTS"
    )
    assert set(arguments) == {
        *("namespace", "left_image", "right_image", "left_camera_info", "right_camera_info", "model", "engine"),
        *("device", "image_transport", "approximate_sync", "tolerance_s", "params_file", "use_sim_time", "log_level"),
    }
    for name in [*_DECLARATIONS, *arguments, "derained/left/image_rect", "~/enable", "/diagnostics"]:
        assert f"`{name}`" in README, name
    shipped = yaml.safe_load((ROOT / "config/derain.yaml").read_text())["/**"]["ros__parameters"]
    assert shipped == {name: _DECLARATIONS[name][0] for name in shipped}
    assert set(shipped) | set(arguments) >= set(_DECLARATIONS)


def test_training_configs_are_valid():
    from apanet_core.cli import main

    for path in (ROOT / "config/training").glob("*.yaml"):
        with pytest.raises(SystemExit) as done:
            main(["train", str(path), "--out", "x", "--data.photos", "[.]", "--print_config"])
        assert done.value.code == 0


def test_links_and_files_of_the_readme_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_launch_description_with_the_real_launch_ros():
    pytest.importorskip("launch_ros", reason="launch_ros is not on PyPI; it comes with a ROS distribution")
    pytest.importorskip("ament_index_python", reason="comes with a ROS distribution")
    from ament_index_python.packages import PackageNotFoundError

    module = runpy.run_path(str(ROOT / "launch/derain.launch.py"))
    try:
        description = module["generate_launch_description"]()
    except PackageNotFoundError:
        pytest.skip("apanet_ros is not installed in the ament index: colcon build it and source the workspace")
    assert len(description.entities) == 15


def test_files_that_ros_needs_are_installed(tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--target",
            tmp_path,
            ROOT,
        ],
        check=True,
        capture_output=True,
    )
    share = tmp_path / "share/apanet_ros"
    for name in ("package.xml", "launch/derain.launch.py", "config/derain.yaml", "rviz/derain.rviz"):
        assert (share / name).is_file(), name
    assert (tmp_path / "apanet_ros/fastdds.xml").is_file()
    assert (tmp_path / "share/ament_index/resource_index/packages/apanet_ros").is_file()
    for name in ("report.html", "report.css", "report.js"):
        assert (tmp_path / "apanet_core/evaluation" / name).is_file()
    for name in ("tiny.safetensors", "tiny.md"):
        assert (tmp_path / "apanet_core/weights" / name).is_file()
