"""Start the derain node: ros2 launch apanet_ros derain.launch.py namespace:=stereo"""

import sys
from pathlib import Path
from typing import Any

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

from apanet_ros.launch_arguments import TOPICS, arguments, parameters_of_arguments, refuse_unknown
from launch import LaunchContext, LaunchDescription


def make_node(context: LaunchContext) -> list[Node]:
    """Build the node from the launch arguments."""
    refuse_unknown(Path(__file__), arguments(), sys.argv)
    given = {name: context.launch_configurations[name] for name in arguments()}
    params_file = Path(given["params_file"]).expanduser()
    if given["params_file"] and not params_file.is_file():
        raise FileNotFoundError(f"params_file: no file at {params_file}")
    # Set no parameter without an argument, so that a SetParameter around an include of this file takes effect.
    parameters: list[Any] = [str(params_file)] if given["params_file"] else []
    parameters += [values] if (values := parameters_of_arguments(given)) else []
    enclave = ["--enclave", given["enclave"]] if given["enclave"] else []
    node = Node(
        package="apanet_ros",
        executable="derain_node",
        name="derain",
        namespace=given["namespace"],
        parameters=parameters,
        remappings=[(topic, given[argument]) for argument, topic in TOPICS.items()],
        ros_arguments=["--log-level", given["log_level"], *enclave],
        output="screen",
        emulate_tty=True,
    )
    return [node]


def generate_launch_description() -> LaunchDescription:
    """Return one node; launch arguments set its parameters, topics, namespace and log level."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)
        for name, (default, text, choices) in arguments().items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_node)])
