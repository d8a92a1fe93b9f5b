"""Tests of parameters and launch arguments, without a node."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.parameter import Parameter

from apanet_ros.launch_arguments import absolute_namespace, arguments, parameters_of_arguments
from apanet_ros.node_parameters import check_change
from apanet_ros.parameters import NodeParameters, check, definitions

DEFAULTS = vars(NodeParameters())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        *(
            ({name: "nonsense"}, f"{name} must be one of {', '.join(definition.metadata['choices'])}: got 'nonsense'")
            for name, definition in definitions().items()
            if definition.metadata["choices"]
        ),
        ({"device": "gpu"}, "device must be auto, cpu, cuda or cuda:N: got 'gpu'"),
        ({"device": "cuda:x"}, "device must be auto, cpu, cuda or cuda:N: got 'cuda:x'"),
        ({"dry_threshold": 2.0, "wet_threshold": 1.0}, "dry_threshold must not be above wet_threshold"),
    ],
)
def test_invalid_values_are_refused(change, reason):
    check(DEFAULTS)
    with pytest.raises(ValueError, match=reason):
        check({**DEFAULTS, **change})


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:11"])
def test_valid_devices_are_accepted(device):
    check({**DEFAULTS, "device": device})


def change(name, value, configured):
    """Return the result of a parameter change on a node with default values."""
    node = SimpleNamespace(get_parameter=lambda name: SimpleNamespace(value=DEFAULTS[name]))
    loaded = {"model": "tiny", "engine": "openvino", "precision": "bfloat16"}
    return check_change(node, [Parameter(name, value=value)], loaded if configured else None)


@pytest.mark.parametrize("name", DEFAULTS)
def test_set_to_current_value_is_accepted(name):
    assert change(name, DEFAULTS[name], configured=True).successful


@pytest.mark.parametrize(("name", "value"), [("model", "tiny"), ("engine", "openvino"), ("precision", "bfloat16")])
def test_resolved_value_of_auto_is_accepted(name, value):
    assert change(name, value, configured=True).successful


@pytest.mark.parametrize("name", [name for name, d in definitions().items() if d.metadata["fixed"]])
def test_fixed_parameter_is_refused_once_configured(name):
    choices = definitions()[name].metadata["choices"]
    other = {str: "cpu", bool: not DEFAULTS[name], int: 1, float: 1.0}[type(DEFAULTS[name])]
    other = choices[1] if choices else other
    assert change(name, other, configured=False).successful
    answer = change(name, other, configured=True)
    assert not answer.successful
    assert answer.reason == f"{name} is read on configure: deactivate and clean up the node, then set it"


@given(st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in DEFAULTS.items()}))
def test_launch_arguments_are_parsed_to_parameter_types(values):
    text = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    found = parameters_of_arguments({**dict.fromkeys(arguments(), ""), **text, "log_level": "info"})
    assert found == values
    assert all(type(found[name]) is type(value) for name, value in values.items())


@pytest.mark.parametrize(
    ("name", "text"), [("tile", "1.5"), ("tile", "true"), ("lazy", "1"), ("tolerance_s", "soon"), ("recheck_s", "yes")]
)
def test_launch_argument_of_another_type_is_refused(name, text):
    with pytest.raises(ValueError, match=f"{name}: expected .*, got '{text}'"):
        parameters_of_arguments({name: text})


def test_integer_text_is_accepted_for_double():
    assert parameters_of_arguments({"recheck_s": "3"}) == {"recheck_s": 3.0}


@pytest.mark.parametrize(
    ("pushed", "namespace", "expected"),
    [
        ("", "", ""),
        ("", "stereo", "/stereo"),
        ("/robot", "stereo/", "/robot/stereo"),
        ("/robot", "/stereo", "/stereo"),
        ("robot", "", "/robot"),
    ],
)
def test_pushed_namespace_prefixes_relative_namespace(pushed, namespace, expected):
    assert absolute_namespace(pushed, namespace) == expected
