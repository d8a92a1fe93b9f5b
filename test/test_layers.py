"""Which package may import which: docs/architecture.md draws it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
# package or module of the repository: what it imports directly, itself apart
LAYERS = {
    "apanet_core.atomic": set(),
    "apanet_core.freed_memory": set(),
    "apanet_core.workers": {"freed_memory"},
    "apanet_core.missing": set(),
    "apanet_core.progress": set(),
    "apanet_core.images": {"atomic"},
    "apanet_core.stereo": {"images"},
    "apanet_core.model": {"atomic"},
    "apanet_core.engines": {"model", "images", "missing"},
    "apanet_core.derainer": {"engines", "model", "images"},
    "apanet_core.rain": {"stereo", "images"},
    "apanet_core.data": {"rain", "stereo", "images", "atomic", "workers", "progress"},
    "apanet_core.bags": {"derainer", "images", "atomic", "workers", "progress", "missing"},
    "apanet_core.training": {"data", "rain", "model", "images", "atomic", "progress"},
    "apanet_core.evaluation": {"derainer", "data", "stereo", "images", "model", "atomic", "workers", "progress"},
    "apanet_core.benchmark": {"engines", "model", "workers", "progress"},
}
CORE = {name.removeprefix("apanet_core.") for name in LAYERS}
LAYERS |= {
    "apanet_core.commands": CORE,
    "apanet_ros": {"derainer", "images", "missing", "freed_memory", "apanet_core"},
}
PUBLIC = {"derainer", "model"}  # what `import apanet_core` itself offers


def layer_of(module):
    """`images` of apanet_core.images.files, `apanet_ros` of apanet_ros.bypass, `apanet_core` of the package itself."""
    parts = module.split(".")
    return parts[1] if parts[0] == "apanet_core" and len(parts) > 1 else parts[0]


def imported(path):
    """Every module of the project that a file names in an import, those inside functions and for types included."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module in ("apanet_core", "apanet_ros"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if layer_of(name) in CORE else node.module for name in names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        yield from (name for name in names if name.split(".")[0] in ("apanet_core", "apanet_ros", "tools"))


def files_of(layer):
    path = ROOT / layer.replace(".", "/")
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def test_imports_point_downwards_only():
    found = {
        f"{path.relative_to(ROOT)} imports {module}"
        for layer, below in LAYERS.items()
        for path in files_of(layer)
        for module in imported(path)
        if layer_of(module) not in below | {layer_of(layer)} and module != "apanet_core"
    }
    assert found == set()


def test_package_offers_derainer_and_model():
    assert {layer_of(module) for module in imported(ROOT / "apanet_core/__init__.py")} == PUBLIC


def test_every_module_belongs_to_layer():
    covered = {path for layer in LAYERS for path in files_of(layer)} | {ROOT / "apanet_core/__init__.py"}
    assert {path for package in ("apanet_core", "apanet_ros") for path in (ROOT / package).rglob("*.py")} <= covered


def test_layers_have_no_cycle():
    placed = set()
    while len(placed) < len(LAYERS):
        ready = {name for name, below in LAYERS.items() if below <= placed | {"apanet_core"}}
        ready = {layer_of(name) for name in ready}
        assert ready - placed, f"a cycle among {set(map(layer_of, LAYERS)) - placed}"
        placed |= ready
