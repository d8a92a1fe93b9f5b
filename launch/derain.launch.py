"""Start the derain node: ros2 launch apanet_ros derain.launch.py namespace:=stereo"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

# name: (default, description)
ARGUMENTS = {
    "namespace": ("", "Namespace of the node and of every relative topic, such as the stereo camera's."),
    "left_image": ("left/image_rect", "Left rectified image topic."),
    "right_image": ("right/image_rect", "Right rectified image topic."),
    "left_camera_info": ("left/camera_info", "CameraInfo of the left view."),
    "right_camera_info": ("right/camera_info", "CameraInfo of the right view."),
    "model": ("tiny", "Bundled preset, or path of a .safetensors checkpoint."),
    "engine": ("auto", "auto, torch or openvino."),
    "device": ("auto", "auto, cpu, cuda or cuda:N."),
    "approximate_sync": ("false", "Pair nearest stamps within tolerance_s, in place of equal stamps only."),
    "tolerance_s": ("0.01", "Largest stamp difference within a pair, in seconds, with approximate_sync."),
    "params_file": (
        "",
        "YAML file with further parameters; the arguments here win over it. Default: config/derain.yaml.",
    ),
    "use_sim_time": ("false", "Take time from /clock, as when a bag is played with --clock."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
}
TYPED = {"approximate_sync": bool, "tolerance_s": float, "use_sim_time": bool}
TOPICS = {
    "left/image_rect": "left_image",
    "right/image_rect": "right_image",
    "left/camera_info": "left_camera_info",
    "right/camera_info": "right_camera_info",
}


def generate_launch_description() -> LaunchDescription:
    """One node; every argument is a launch argument with a description."""
    default_params = Path(get_package_share_directory("apanet_ros")) / "config" / "derain.yaml"
    defaults = {name: default for name, (default, _) in ARGUMENTS.items()} | {"params_file": str(default_params)}
    declared = [
        DeclareLaunchArgument(name, default_value=defaults[name], description=description)
        for name, (_, description) in ARGUMENTS.items()
    ]
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=TYPED.get(name, str))
        for name in ("model", "engine", "device", "approximate_sync", "tolerance_s", "use_sim_time")
    }
    node = Node(
        package="apanet_ros",
        executable="derain_node",
        name="derain",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), parameters],
        remappings=[(topic, LaunchConfiguration(argument)) for topic, argument in TOPICS.items()],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
        emulate_tty=True,
    )
    return LaunchDescription([*declared, node])
