"""A stand-in for launch and launch_ros, which are not on PyPI: notes the nodes that launch files would start.

It has what launch/*.launch.py and the tests use, with the meaning of the real actions.
"""

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

ROOT = Path(__file__).parents[2]


class LaunchContext:
    def __init__(self):
        self.launch_configurations, self.nodes = {}, []


class LaunchDescription:
    def __init__(self, entities):
        self.entities = entities

    def visit(self, context):
        for entity in self.entities:
            entity.visit(context)


class GroupAction(LaunchDescription):
    def visit(self, context):
        outside = dict(context.launch_configurations)
        super().visit(context)
        context.launch_configurations = outside


class DeclareLaunchArgument:
    def __init__(self, name, default_value=None, description=None, choices=None):
        self.name, self.default, self.choices = name, default_value, choices

    def visit(self, context):
        value = context.launch_configurations.setdefault(self.name, self.default)
        if self.choices and value not in self.choices:
            raise RuntimeError(f"{self.name}: {value!r} is none of {self.choices}")


class OpaqueFunction:
    def __init__(self, function):
        self.function = function

    def visit(self, context):
        LaunchDescription(self.function(context) or []).visit(context)


class IncludeLaunchDescription:
    def __init__(self, source, launch_arguments=()):
        self.path, self.arguments = source, launch_arguments

    def visit(self, context):
        context.launch_configurations |= dict(self.arguments)
        runpy.run_path(self.path)["generate_launch_description"]().visit(context)


class PushRosNamespace:
    def __init__(self, namespace):
        self.namespace = namespace

    def visit(self, context):
        pushed = context.launch_configurations.get("ros_namespace", "")
        context.launch_configurations["ros_namespace"] = f"{pushed}/{self.namespace.strip('/')}"


class SetParameter:
    def __init__(self, name, value):
        self.given = {name: value}

    def visit(self, context):
        configurations = context.launch_configurations
        configurations["global_params"] = configurations.get("global_params", {}) | self.given


class SetRemap:
    def __init__(self, source, target):
        self.pair = source, target

    def visit(self, context):
        configurations = context.launch_configurations
        configurations["ros_remaps"] = [*configurations.get("ros_remaps", []), self.pair]


class Node:
    def __init__(self, **given):
        self.given = given

    def visit(self, context):
        configurations, own = context.launch_configurations, self.given.get("namespace", "")
        namespace = own if own.startswith("/") else f"{configurations.get('ros_namespace', '')}/{own}"
        parameters = configurations.get("global_params", {})
        for values in self.given.get("parameters", []):
            parameters = parameters | values
        remaps = [*configurations.get("ros_remaps", []), *self.given.get("remappings", [])]
        components = [part.__dict__ for part in self.given.get("composable_node_descriptions", [])]
        note = {"name": self.given["name"], "namespace": namespace, "parameters": parameters, "remaps": remaps}
        context.nodes.append(SimpleNamespace(**note, executable=self.given["executable"], components=components))


MODULES = {
    "launch": {"LaunchContext": LaunchContext, "LaunchDescription": LaunchDescription},
    "launch.actions": {
        action.__name__: action
        for action in (DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction)
    },
    "launch.launch_description_sources": {"PythonLaunchDescriptionSource": str},
    "launch_ros": {},
    "launch_ros.actions": {"Node": Node, "ComposableNodeContainer": Node},
    "launch_ros.descriptions": {"ComposableNode": SimpleNamespace},
}


def nodes_of(description, monkeypatch):
    """Return the nodes that a launch description starts; replaces launch and launch_ros for the rest of the test."""
    for name, content in MODULES.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("ament_index_python.packages.get_package_share_directory", lambda package: str(ROOT))
    context = LaunchContext()
    description.visit(context)
    return context.nodes


def ros_arguments(node):
    """Return the command line of a noted node."""
    assigned = [f"{name}:={str(value).lower()}" for name, value in node.parameters.items()]
    remaps = [f"__ns:={node.namespace}", f"__node:={node.name}", *(f"{a}:={b}" for a, b in node.remaps)]
    return [word for text in assigned for word in ("-p", text)] + [word for text in remaps for word in ("-r", text)]
