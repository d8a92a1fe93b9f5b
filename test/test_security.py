"""What docs/security.md says of the code: no pickle, no shell, no connection but DDS."""

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    *("pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch.hub", "yaml.load", "yaml.unsafe_load"),
    *("subprocess", "pty", "os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.spawnv", "os.fork"),
    *("socket", "socketserver", "ssl", "http", "urllib", "requests", "ftplib", "smtplib", "xmlrpc", "asyncio"),
    *("eval", "exec", "__import__", "ctypes", "webbrowser"),
}
JUSTIFIED = {
    ("tools/node_benchmark/__main__.py", "subprocess"): "the benchmark starts nodes, with lists of arguments",
    ("apanet_core/workers.py", "socket"): "asks whether the Dask scheduler that the user named answers",
    ("apanet_core/workers.py", "socket.create_connection"): "the same",
    ("tools/node_benchmark/__main__.py", "subprocess.Popen"): "the same",
    ("tools/demo/replay.py", "subprocess"): "the demo starts the node, with a list of arguments",
    ("tools/demo/replay.py", "subprocess.Popen"): "the same",
    ("tools/demo/replay.py", "subprocess.TimeoutExpired"): "the same",
    ("apanet_core/freed_memory.py", "ctypes"): "two settings of malloc in the C library that is loaded anyway",
    ("apanet_core/freed_memory.py", "ctypes.CDLL"): "the same",
}
# A loader may be called only with this argument.
LOADERS = {
    "torch.load": ("weights_only", True),
    "fabric.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
}


def dotted(node):
    """`a.b.c` of an expression, or '' for another kind."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def names_used(source):
    """Every module, name and attribute that occurs; imported ones by their own names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute | ast.Name):
            yield dotted(node)


def forbidden_in(source):
    return {name for name in names_used(source) if any(f"{name}.".startswith(f"{f}.") for f in FORBIDDEN)}


def open_loaders_in(source):
    """Calls that could unpickle objects, and those through a shell."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            keyword, wanted = LOADERS.get(dotted(node.func), ("", None))
            if given.get("shell") or (keyword and given.get(keyword) is not wanted):
                yield f"line {node.lineno}: {ast.unparse(node)}"


def modules():
    folders = ("apanet_core", "apanet_ros", "launch", "tools/demo", "tools/node_benchmark")
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def test_forbidden_calls_are_justified():
    found = {(str(p.relative_to(ROOT)), name) for p in modules() for name in forbidden_in(p.read_text())}
    assert found == set(JUSTIFIED)


def test_no_loader_unpickles_objects_and_nothing_goes_through_shell():
    assert [(str(p), call) for p in modules() for call in open_loaders_in(p.read_text())] == []


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from os import system", "import os\nos.popen('ls')", "import urllib.request", "eval('1')"],
)
def test_check_finds_forbidden_call(source):
    assert forbidden_in(source)


@pytest.mark.parametrize(
    "source", ["torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)", "run(c, shell=True)"]
)
def test_check_of_loaders_finds_unsafe_loader(source):
    assert list(open_loaders_in(source))


WATCHED = """
import sys
DOORS = ("socket.", "urllib.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class")
sys.addaudithook(lambda event, arguments: event.startswith(DOORS) and print("event", event, arguments, flush=True))
import numpy as np
from apanet_core import StereoDerainer
grey = np.full((32, 48, 3), 99, np.uint8)
print(StereoDerainer("tiny", sys.argv[1])(grey, grey)[0].shape)
"""


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_engine_starts_no_process_and_opens_no_socket(engine):
    if find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, engine], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.stdout == "(32, 48, 3)\n", done.stdout + done.stderr
