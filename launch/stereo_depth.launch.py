"""Example of depth from derained pairs: ros2 launch apanet_ros stereo_depth.launch.py namespace:=stereo

Starts derain.launch.py, whose arguments are all accepted here, and stereo_image_proc in the namespace of the derained
topics, where no topic needs a remap.
"""

import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import ComposableNodeContainer, Node
from launch_ros.descriptions import ComposableNode

from apanet_ros.launch_arguments import TOPICS, absolute_namespace, arguments, parameters_of_arguments, refuse_unknown
from apanet_ros.parameter_file import parameters_of
from apanet_ros.transport import large_shared_memory
from launch import LaunchContext, LaunchDescription

# name: (default, description)
ARGUMENTS = {
    "namespace": ("stereo", "Namespace of the stereo camera; depth is published under its derained/."),
    "stereo_algorithm": ("sgbm", "bm (block matching) or sgbm (semi-global: slower, denser)."),
    "disparity_range": ("64", "Number of disparities to search, in pixels."),
    "disparity_image": ("false", "true also publishes the disparity as a mono8 image for viewers."),
    "rviz": ("false", "true starts RViz and disparity_image."),
}
ALGORITHMS = {"bm": 0, "sgbm": 1}
CHOICES = {
    "stereo_algorithm": list(ALGORITHMS),
    "disparity_range": ["32", "48", "64", "96", "128", "160", "192", "256", "384", "512"],
    "disparity_image": ["true", "false"],
    "rviz": ["true", "false"],
}
# Conversion of a stereo_msgs/DisparityImage m: black is no match or infinitely far, white is the largest disparity.
MONO8 = (
    "sensor_msgs.msg.Image(header=m.header, height=m.image.height, width=m.image.width, step=m.image.width, "
    "encoding='mono8', data=numpy.clip(numpy.frombuffer(m.image.data, numpy.float32) * (255 / m.max_disparity), 0, 255)"
    ".astype(numpy.uint8).tobytes())"
)


def check_arguments(context: LaunchContext) -> None:
    """Refuse arguments that do not exist."""
    refuse_unknown(Path(__file__), {*ARGUMENTS, *arguments()}, sys.argv)


def forget_input_remaps(context: LaunchContext) -> None:
    """Keep a SetRemap of the node's inputs from the depth nodes, whose inputs have the same relative names."""
    remaps = context.launch_configurations.get("ros_remaps", [])
    context.launch_configurations["ros_remaps"] = [pair for pair in remaps if pair[0] not in TOPICS.values()]


def make_depth(context: LaunchContext) -> list[Node]:
    """Build the nodes that process the derained pairs."""
    given = context.launch_configurations
    namespace = absolute_namespace(given.get("ros_namespace", ""), given["namespace"])
    nodes = [depth_container(f"{namespace}/derained", given)]
    if "true" in (given["disparity_image"], given["rviz"]):
        nodes.append(disparity_image(f"{namespace}/derained"))
    if given["rviz"] == "true":
        nodes.append(rviz(namespace, given))
    return nodes


def shared_with_the_node(given: dict[str, str], *names: str) -> dict[str, bool]:
    """Return the named parameters of the derain node, for nodes that must share them: from arguments or params_file."""
    found = {}
    if given["params_file"]:
        node = absolute_namespace(given.get("ros_namespace", ""), given["namespace"]) + "/derain"
        found = parameters_of(node, Path(given["params_file"]).expanduser())
    found |= parameters_of_arguments(given)
    return {name: bool(found[name]) for name in names if name in found}


def depth_container(namespace: str, given: dict[str, str]) -> Node:
    """Build the container of the disparity node and the point cloud node."""
    common = shared_with_the_node(given, "approximate_sync", "use_sim_time")
    search = {
        "stereo_algorithm": ALGORITHMS[given["stereo_algorithm"]],
        "disparity_range": int(given["disparity_range"]),
    }
    disparity = ComposableNode(
        package="stereo_image_proc",
        plugin="stereo_image_proc::DisparityNode",
        name="disparity_node",
        namespace=namespace,
        parameters=[{**common, **search}],
    )
    points = ComposableNode(
        package="stereo_image_proc",
        plugin="stereo_image_proc::PointCloudNode",
        name="point_cloud_node",
        namespace=namespace,
        parameters=[common] if common else [],
        remappings=[("left/image_rect_color", "left/image_rect")],
    )
    return ComposableNodeContainer(
        package="rclcpp_components",
        executable="component_container",
        name="depth_container",
        namespace=namespace,
        composable_node_descriptions=[disparity, points],
        output="screen",
        additional_env=large_shared_memory(),
    )


def disparity_image(namespace: str) -> Node:
    """Build the node that converts the disparity to a mono8 image."""
    return Node(
        package="topic_tools",
        executable="transform",
        # transform ignores the namespace for its input, and guesses the reliability before a publisher exists
        arguments=[
            *(f"{namespace}/disparity", f"{namespace}/disparity_image", "sensor_msgs/msg/Image", MONO8),
            *("--wait-for-start", "--qos-reliability", "reliable", "--import", "numpy", "sensor_msgs"),
        ],
        name=f"disparity_image_{namespace.strip('/').replace('/', '_')}",  # unique per camera
        output="screen",
        additional_env=large_shared_memory(),
    )


def rviz(namespace: str, given: dict[str, str]) -> Node:
    """Build RViz with the package's layout, remapped from the namespace stereo."""
    topics = ["derained/left/image_rect", "derained/disparity_image", "derained/points2"]
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=namespace,
        output="screen",
        additional_env=large_shared_memory(),
        arguments=["-d", str(Path(get_package_share_directory("apanet_ros")) / "rviz" / "derain.rviz")],
        remappings=[("/stereo/left/image_rect", given["left_image"]), *((f"/stereo/{t}", t) for t in topics)],
        parameters=[values] if (values := shared_with_the_node(given, "use_sim_time")) else [],
    )


def generate_launch_description() -> LaunchDescription:
    """Return the derain node, the depth nodes and the optional viewers."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=CHOICES.get(name))
        for name, (default, description) in ARGUMENTS.items()
    ]
    derain = Path(get_package_share_directory("apanet_ros")) / "launch" / "derain.launch.py"
    return LaunchDescription(
        [
            *declared,
            OpaqueFunction(function=check_arguments),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(derain))),
            GroupAction([OpaqueFunction(function=forget_input_remaps), OpaqueFunction(function=make_depth)]),
        ]
    )
