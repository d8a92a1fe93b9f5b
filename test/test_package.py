"""What the package promises beside its code: metadata, launch file, documents."""

import ast
import json
import re
import runpy
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from apanet_ros.launch_arguments import arguments, refuse_unknown
from apanet_ros.parameters import definitions
from tools.write_parameters import FILES as PARAMETER_FILES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
NODE_PAGE = (ROOT / "docs/node.md").read_text()
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "apanet_core/weights").glob("*.md")]
# import name -> rosdep key in package.xml
ROSDEP = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "torch": "python3-pytorch-pip",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
NO_ROSDEP_KEY = {
    "torchmetrics",
    "safetensors",
    "simplejpeg",
    "jsonargparse",
    "onnx",
    "openvino",
    "rosbags",
}  # pip, in the README
ROS_PACKAGES = {
    *("rclpy", "message_filters", "builtin_interfaces", "diagnostic_msgs", "lifecycle_msgs", "rcl_interfaces"),
    *("sensor_msgs", "std_msgs", "std_srvs", "launch", "launch_ros", "ament_index_python", "cv_bridge"),
}


def imports_of(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.split(".")[0]


def test_every_import_is_declared_dependency():
    declared = {e.text for e in ElementTree.parse(ROOT / "package.xml").getroot().findall("exec_depend")}
    folders = ("apanet_ros", "launch", "apanet_core/engines", "apanet_core/images")
    used = {name for folder in folders for name in imports_of(folder)}
    others = used - sys.stdlib_module_names - NO_ROSDEP_KEY - {"apanet_core", "apanet_ros"}
    assert {name if name in ROS_PACKAGES else ROSDEP[name] for name in others} <= declared


def test_documents_have_no_placeholders():
    for path in DOCUMENTS:
        assert not re.search(r"@[A-Z]+@", path.read_text()), path


def test_installed_package_holds_all_imports(tmp_path):
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    listed = set(tracked.stdout.split())
    for path in [*(ROOT / "apanet_core").rglob("*.py"), *(ROOT / "apanet_ros").rglob("*.py")]:
        assert str(path.relative_to(ROOT)) in listed, f"{path} is not in git"


def test_modules_of_tests_have_unique_names():  # pytest imports them by their names alone
    names = [path.name for path in (ROOT / "test").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def test_versions_agree():
    import apanet_core

    version = ElementTree.parse(ROOT / "package.xml").getroot().findtext("version")
    assert version == apanet_core.__version__
    assert re.search(r'version="(.*)"', (ROOT / "setup.py").read_text()).group(1) == version
    newest = re.search(r"^(\S.*)\n-+$", (ROOT / "CHANGELOG.rst").read_text(), re.M).group(1)
    assert newest == "Forthcoming" or newest.startswith(f"{version} (")  # REP 132


def launch_arguments(name):
    """Default by argument of a launch file."""
    if name == "derain":
        return {name: argument.default for name, argument in arguments().items()}
    source = ast.parse((ROOT / f"launch/{name}.launch.py").read_text())  # it needs launch to be run
    found = next(n.value for n in source.body if isinstance(n, ast.Assign) and n.targets[0].id == "ARGUMENTS")
    return {name: default for name, (default, _) in ast.literal_eval(found).items()}


def test_launch_arguments_and_topics_are_in_page_of_node():
    for name in [*set(launch_arguments("derain")) - set(definitions()), "derained/left/image_rect", "~/enable"]:
        assert f"`{name}`" in NODE_PAGE, name


def test_shipped_parameter_file_holds_defaults():
    shipped = yaml.safe_load((ROOT / "config/derain.yaml").read_text())["/**"]["ros__parameters"]
    assert shipped == {name: definition.default for name, definition in definitions().items()}


@pytest.mark.parametrize("path", PARAMETER_FILES)
def test_files_derived_from_parameters_are_current(path):
    assert (ROOT / path).read_text() == PARAMETER_FILES[path](), "run python -m tools.write_parameters"


def test_arguments_of_example_are_in_page_of_node():
    example = launch_arguments("stereo_depth")
    for name, default in example.items():
        assert f"| `{name}` | `{default}`" in NODE_PAGE, name
    assert set(example) & set(launch_arguments("derain")) == {"namespace"}  # the others are taken over


SHOWN = {
    *("/stereo/left/image_rect", "/stereo/derained/left/image_rect"),
    *("/stereo/derained/disparity_image", "/stereo/derained/points2"),
}


def test_rviz_layout_shows_topics_of_example():
    displays = yaml.safe_load((ROOT / "rviz/derain.rviz").read_text())["Visualization Manager"]["Displays"]
    assert {display["Topic"]["Value"] for display in displays} == SHOWN
    assert all(display["Topic"]["Reliability Policy"] == "Best Effort" for display in displays)  # hears every publisher


def test_foxglove_layout_shows_topics_of_example():
    layout = json.loads((ROOT / "foxglove/derain.json").read_text())
    panels = layout["configById"]
    images = {panel["imageMode"]["imageTopic"] for panel in panels.values() if "imageMode" in panel}
    assert images == SHOWN - {"/stereo/derained/points2"}

    def leaves(node):
        return {node} if isinstance(node, str) else leaves(node["first"]) | leaves(node["second"])

    assert leaves(layout["layout"]) == set(panels)


def test_foxglove_layout_plots_diagnostics_of_node():
    pytest.importorskip("rclpy", reason="needs rclpy")
    from rclpy.clock import Clock

    from apanet_ros.diagnostics import DiagnosticsPublisher
    from apanet_ros.node_statistics import NodeStatistics
    from apanet_ros.stereo_sync import PairingCounts

    published = []
    node = SimpleNamespace(
        create_publisher=lambda *_, **__: SimpleNamespace(publish=published.append),
        get_fully_qualified_name=lambda: "/stereo/derain",
        get_clock=Clock,
    )
    words = dict.fromkeys(("model", "engine", "device", "precision"), "")
    DiagnosticsPublisher(node, PairingCounts([0, 0]), NodeStatistics(), words).publish("", "", None, [], [])
    (status,) = published[0].status
    panels = json.loads((ROOT / "foxglove/derain.json").read_text())["configById"]
    paths = [path["value"] for panel in panels.values() for path in panel.get("paths", ())]
    of_diagnostics = [re.findall(r'=="(.*?)"', path) for path in paths if path.startswith("/diagnostics.")]
    assert of_diagnostics == [[status.name, key] for key in ("latency median ms", "latency p95 ms")]
    assert {"latency median ms", "latency p95 ms"} <= {value.key for value in status.values}
    assert [path for path in paths if not path.startswith("/diagnostics.")] == ["/stereo/derain/rain_level.data"]


def test_training_configs_are_valid():
    from apanet_core.commands.main import main

    for path in (ROOT / "config/training").glob("*.yaml"):
        with pytest.raises(SystemExit) as done:
            main(["train", str(path), "--out", "x", "--data.photos", "[.]", "--print_config"])
        assert done.value.code == 0


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_documents_exist(path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_readme_names_parameters_with_their_defaults():
    from apanet_ros.parameters import default_text

    told = re.findall(r"^\| `(\w+)` \| (?:string|bool|double|integer) \| `(.*?)` \|", README, re.M)
    assert len(told) == 8
    assert dict(told) == {name: default_text(definitions()[name]) for name, _ in told}


def test_misspelt_launch_argument_is_refused_with_nearest_name():
    command = ["/opt/ros2", "launch", "apanet_ros", "derain.launch.py", "namespace:=stereo"]
    file = ROOT / "launch" / "derain.launch.py"
    refuse_unknown(file, arguments(), [*command, "model:=small"])
    with pytest.raises(ValueError, match="there is no launch argument 'modle': did you mean 'model'?"):
        refuse_unknown(file, arguments(), [*command, "modle:=small"])
    with pytest.raises(ValueError, match="no launch argument 'xyzzy': All: ros2 launch apanet_ros derain.launch.py -s"):
        refuse_unknown(file, arguments(), ["ros2", "launch", str(file), "xyzzy:=1"])
    for name in ("robot.launch.py", "derain.launch.py"):  # includes the file
        refuse_unknown(file, arguments(), ["/opt/ros2", "launch", "robot", name, "models:=all"])


@pytest.fixture
def descriptions():
    """The launch files' descriptions, from the real launch_ros."""
    pytest.importorskip("launch_ros", reason="launch_ros is not on PyPI; it comes with a ROS distribution")
    pytest.importorskip("ament_index_python", reason="comes with a ROS distribution")
    from ament_index_python.packages import PackageNotFoundError

    modules = {name: runpy.run_path(str(ROOT / f"launch/{name}.launch.py")) for name in ("derain", "stereo_depth")}
    try:
        return modules, {name: module["generate_launch_description"]() for name, module in modules.items()}
    except PackageNotFoundError:
        pytest.skip("apanet_ros is not installed in the ament index: colcon build it and source the workspace")


def test_launch_descriptions_with_real_launch_ros(descriptions):
    _, made = descriptions
    assert len(made["derain"].entities) == 1 + len(launch_arguments("derain"))
    assert len(made["stereo_depth"].entities) == 3 + len(launch_arguments("stereo_depth"))


def test_remap_of_inputs_does_not_reach_depth_nodes(descriptions):
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations["ros_remaps"] = [("left/image_rect", "/eye"), ("disparity", "/d")]
    descriptions[0]["stereo_depth"]["forget_input_remaps"](context)
    assert context.launch_configurations["ros_remaps"] == [("disparity", "/d")]


@pytest.mark.parametrize(
    ("given", "packages"),
    [
        ({}, ["rclcpp_components"]),
        ({"disparity_image": "true"}, ["rclcpp_components", "topic_tools"]),
        ({"rviz": "true"}, ["rclcpp_components", "topic_tools", "rviz2"]),
    ],
)
def test_example_starts_viewers_only_when_asked(descriptions, monkeypatch, given, packages):
    from launch import LaunchContext

    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "chosen.xml")  # is kept
    context = LaunchContext()
    for name in ("derain", "stereo_depth"):
        context.launch_configurations.update(launch_arguments(name))
    context.launch_configurations.update(given)
    nodes = descriptions[0]["stereo_depth"]["make_depth"](context)
    assert [node.node_package for node in nodes] == packages


def test_files_for_ros_are_installed(tmp_path):
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
    for name in (
        *("package.xml", "launch/derain.launch.py", "launch/stereo_depth.launch.py", "config/derain.yaml"),
        *("rviz/derain.rviz", "foxglove/derain.json", "security/policy.xml"),
    ):
        assert (share / name).is_file(), name
    assert (tmp_path / "apanet_ros/fastdds.xml").is_file()
    assert (tmp_path / "share/ament_index/resource_index/packages/apanet_ros").is_file()
    for name in ("report.html", "report.css", "report.js"):
        assert (tmp_path / "apanet_core/evaluation" / name).is_file()
    for name in ("tiny.safetensors", "tiny.md"):
        assert (tmp_path / "apanet_core/weights" / name).is_file()
