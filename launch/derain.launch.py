"""Start the derain node: ros2 launch apanet_ros derain.launch.py namespace:=stereo"""

from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

# name: (default, description). An empty default leaves the parameter to params_file.
ARGUMENTS = {
    "namespace": ("", "Namespace of the node and of every relative topic, such as the stereo camera's."),
    "left_image": ("left/image_rect", "Left rectified image topic."),
    "right_image": ("right/image_rect", "Right rectified image topic."),
    "left_camera_info": ("left/camera_info", "CameraInfo of the left view."),
    "right_camera_info": ("right/camera_info", "CameraInfo of the right view."),
    "model": ("", "Bundled preset, or path of a .safetensors checkpoint."),
    "engine": ("", "auto, torch, openvino, onnxruntime or tensorrt."),
    "device": ("", "auto, cpu, cuda or cuda:N."),
    "image_transport": ("", "raw, or compressed to take image_rect/compressed."),
    "approximate_sync": ("", "true pairs nearest stamps within tolerance_s, in place of equal stamps only."),
    "tolerance_s": ("", "Largest stamp difference within a pair, in seconds, with approximate_sync."),
    "autostart": ("", "false waits for a lifecycle manager to configure and activate the node."),
    "params_file": (
        "",
        "YAML file of parameters in place of the package's config/derain.yaml; arguments given win over it.",
    ),
    "use_sim_time": ("", "true takes time from /clock, as when a bag is played with --clock."),
    "log_level": ("info", "Least severity that is logged."),
    "enclave": ("", "SROS 2 enclave of the node, such as /derain."),
}
CHOICES = {
    "engine": ["", "auto", "torch", "openvino", "onnxruntime", "tensorrt"],
    "image_transport": ["", "raw", "compressed"],
    "log_level": ["debug", "info", "warn", "error", "fatal"],
}
PARAMETERS = {
    "model": str,
    "engine": str,
    "device": str,
    "image_transport": str,
    "approximate_sync": bool,
    "tolerance_s": float,
    "autostart": bool,
    "use_sim_time": bool,
}
TOPICS = {
    "left/image_rect": "left_image",
    "right/image_rect": "right_image",
    "left/camera_info": "left_camera_info",
    "right/camera_info": "right_camera_info",
}


def make_node(context: LaunchContext) -> list[Node]:
    """Build the node from the arguments that were given."""
    given = {name: context.launch_configurations[name] for name in ARGUMENTS}
    default_file = Path(get_package_share_directory("apanet_ros")) / "config" / "derain.yaml"
    params_file = Path(given["params_file"] or default_file).expanduser()
    if not params_file.is_file():
        raise FileNotFoundError(f"params_file: no file at {params_file}")
    parameters = {name: parse(name, given[name], kind) for name, kind in PARAMETERS.items() if given[name]}
    enclave = ["--enclave", given["enclave"]] if given["enclave"] else []
    node = Node(
        package="apanet_ros",
        executable="derain_node",
        name="derain",
        namespace=given["namespace"],
        parameters=[str(params_file), parameters],
        remappings=[(topic, given[argument]) for topic, argument in TOPICS.items()],
        ros_arguments=["--log-level", given["log_level"], *enclave],
        output="screen",
        emulate_tty=True,
    )
    return [node]


def parse(name: str, text: str, kind: type) -> Any:
    """Read an argument as the type of its parameter."""
    value: Any = text if kind is str else yaml.safe_load(text)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind):
        raise ValueError(f"{name}: expected a {kind.__name__}, got {text!r}")
    return value


def generate_launch_description() -> LaunchDescription:
    """One node; every argument is a launch argument with a description."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=CHOICES.get(name))
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_node)])
