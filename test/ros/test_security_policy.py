"""Tests that the SROS 2 policy allows exactly the endpoints of the real node."""

import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from pathlib import Path

import pytest
import rclpy
from node_rig import NodeProcess, wait_for

POLICY = Path(__file__).parents[2] / "security" / "policy.xml"
NODE = "watched"  # a unique name, since the graph may still hold derain of an earlier test, without endpoints
# rule: method that lists the node's endpoints of that kind
RULES = {
    ("topics", "publish"): "get_publisher_names_and_types_by_node",
    ("topics", "subscribe"): "get_subscriber_names_and_types_by_node",
    ("services", "reply"): "get_service_names_and_types_by_node",
    ("services", "request"): "get_client_names_and_types_by_node",
}


def expressions():
    """Yield (kind, rule, name as written) of everything that the policy allows."""
    (profile,) = ElementTree.parse(POLICY).iter("profile")
    for group in profile:
        for rule, value in group.attrib.items():
            assert value == "ALLOW"
            for expression in group:
                yield group.tag, rule, expression.text


def full_name(expression, namespace):
    if expression.startswith("/"):
        return expression
    parts = (namespace.strip("/"), expression.replace("~", NODE))
    return "/" + "/".join(part for part in parts if part)


def test_policy_profile_names_node_in_default_namespace():
    (enclave,) = ElementTree.parse(POLICY).iter("enclave")
    (profile,) = enclave.iter("profile")
    assert (enclave.get("path"), profile.get("ns"), profile.get("node")) == ("/derain", "/", "derain")
    listed = list(expressions())
    assert len(listed) == len(set(listed))


def endpoints(node, namespace, ready):
    """Return the endpoints of the node in `namespace`, as (kind, rule, full name), once it subscribes to `ready`."""
    looker = rclpy.create_node("looker")
    try:
        wait_for(lambda: "listening to" in node.text())

        def ask():
            if (NODE, namespace) not in looker.get_node_names_and_namespaces():
                return set()
            return {
                (*rule, name)
                for rule, question in RULES.items()
                for name, _ in getattr(looker, question)(NODE, namespace)
            }

        wait_for(lambda: ("topics", "subscribe", ready) in ask())
        before = None
        while before != (now := ask()):  # until discovery adds nothing more
            before = now
            rclpy.spin_once(looker, timeout_sec=0.5)
        return now
    finally:
        looker.destroy_node()


@pytest.fixture(scope="module")
def graph(ros, tmp_path_factory):
    """Endpoints of the real node by namespace: raw in the root one, compressed with simulated time in /stereo."""
    compressed = ["-r", "__ns:=/stereo", "-p", "image_transport:=compressed", "-p", "use_sim_time:=true"]
    found = {}
    for namespace, ready, arguments in (
        ("/", "/right/image_rect", []),
        ("/stereo", "/stereo/right/image_rect/compressed", compressed),
    ):
        log = tmp_path_factory.mktemp("node") / "node.log"
        process = NodeProcess(log, "-r", f"__node:={NODE}", "-p", "engine:=torch", "-p", "lazy:=false", *arguments)
        try:
            found[namespace] = endpoints(process, namespace, ready)
        finally:
            process.end()
    return found


def test_policy_allows_all_endpoints_of_node(graph):
    for namespace, used in graph.items():
        allowed = {(kind, rule, full_name(name, namespace)) for kind, rule, name in expressions()}
        assert used <= allowed


def test_policy_allows_no_other_endpoints(graph):
    used = {
        expression
        for namespace, names in graph.items()
        for expression in expressions()
        if (*expression[:2], full_name(expression[2], namespace)) in names
    }
    if find_spec("type_description_interfaces") is None:  # before Iron
        used.add(("services", "reply", "~/get_type_description"))
    assert used == set(expressions())
