"""The house rules that a machine can check: imports point down, budgets hold, tests mirror."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "slimtune"
FILES = sorted(PACKAGE.rglob("*.py"))

COMPRESSION_SEES = {  # workload's types, and the two operations on them that training needs
    "slimtune.workload.types",
    "slimtune.workload.shortcut",
    "slimtune.workload.augment",
}
UNITS = {
    "errors": set(),
    "registry": {"errors"},
    "conditions": set(),
    "workload": {"errors", "registry"},
    "compression": {"workload", "conditions", "errors", "registry"},
    "measurement": {"errors"},
    "spaces": {"compression", "errors", "registry"},
    "results": {"conditions", "errors"},
    "search": {
        "workload", "compression", "measurement", "spaces", "results", "conditions", "errors",
        "registry",
    },
}  # fmt: skip
DOORS = {
    "torch_pruning": ["slimtune/compression/pruning/stage/graph.py"],
    "onnx": ["slimtune/compression/export/"],
    "onnxruntime": ["slimtune/measurement/"],
    "ray": ["slimtune/search/executors/"],
    "optuna": ["slimtune/search/proposing/"],
}
CLOSED = {
    "slimtune.search.trial": {"ray", "optuna"},
    "slimtune.compression": {"ray", "optuna", "onnxruntime"},
    "slimtune.results": {"torch", "torchvision", "ray", "optuna", "onnx", "onnxruntime"},
}
"""Package -> what no module of it may import, by itself or through others."""
FLOORS = {
    "slimtune.search": [
        "settings", "trial", "listeners", "resuming", "proposing", "executors", "forecast",
        "review", "underway", "finals",
    ],
    "slimtune.results": ["store", "pareto", "delivery", "views"],
}  # fmt: skip
"""Package -> its folders from the ground up: imports go down only."""
MOST_ENTRIES = 17
LIGHT = {"torch", "torchvision", "ray", "optuna", "onnx", "onnxruntime", "torch_pruning"}


def imports(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """Yield every module a file imports, wherever in the file it does, but not for types alone."""
    for node in ast.walk(running(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield node.module or "", node


def running(tree: ast.Module) -> ast.Module:
    """Return a file without what stands under ``if TYPE_CHECKING:``, which never runs."""
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return tree


def ours(path: Path) -> set[str]:
    """Return the modules of ours that a file needs, also those that it names in a string."""
    tree = running(ast.parse(path.read_text()))
    found = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value in NAMES and "." in node.value  # "slimtune" alone is what people type
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & NAMES.keys()
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            inside = whole & NAMES.keys()
            found |= inside
            if len(inside) < len(whole) and node.module in NAMES:
                found.add(node.module)
    return found - {module_name(path)}


def unit_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


NAMES = {module_name(path): path for path in FILES}
NEEDS = {name: ours(path) for name, path in NAMES.items()}


def closure(name: str) -> set[str]:
    """Return all modules that are imported with one, itself too. Strings load later, if at all."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        parents = [module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)]
        waiting += [m for m in {*parents, *(m for m, _ in imports(NAMES[module]))} if m in NAMES]
        waiting += NEEDS[module] - strings(NAMES[module])
    return seen


def strings(path: Path) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("path", FILES, ids=identify)
def test_imports_point_down(path: Path) -> None:
    unit = unit_of(module_name(path))
    allowed = UNITS.get(unit)
    if allowed is None:  # cli and the package's own __init__ may import everything
        return
    for module, node in imports(path):
        if module.split(".")[0] != "slimtune":
            continue
        where = f"{identify(path)}:{node.lineno} imports {module}"
        assert unit_of(module) in allowed | {unit}, where
        if unit == "compression" and unit_of(module) == "workload":
            assert module in COMPRESSION_SEES, where


@pytest.mark.parametrize("path", FILES, ids=identify)
def test_a_giant_has_one_door(path: Path) -> None:
    for module, node in imports(path):
        doors = DOORS.get(module.split(".")[0])
        inside = doors is None or any(identify(path).startswith(door) for door in doors)
        assert inside, f"{identify(path)}:{node.lineno} imports {module}; its door is {doors}"


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "search/proposing").rglob("*.py")), ids=identify
)
def test_what_optuna_does_not_publish_is_read_in_one_file(path: Path) -> None:
    if path.name == "optuna_private.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Attribute):
            continue
        private = node.attr.startswith("_") and not node.attr.endswith("__")
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        where = f"{identify(path)}:{node.lineno} has {ast.unparse(node)}"
        assert own or not (private or node.attr == "__class__"), where


def test_results_open_a_run_without_torch() -> None:
    for path in (PACKAGE / "results").rglob("*.py"):
        heavy = {module for module, _ in imports(path) if module.split(".")[0] in LIGHT}
        assert not heavy, f"{identify(path)} imports {heavy}"


def test_there_is_no_import_ring() -> None:
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in finished:
            for other in sorted(NEEDS[name]):
                visit(other, (*trail, name))
            finished.add(name)

    for name in NAMES:
        visit(name, ())


@pytest.mark.parametrize("package", CLOSED)
def test_a_package_is_closed_to_what_it_must_not_know(package: str) -> None:
    for name in NAMES:
        if name == package or name.startswith(f"{package}."):
            for module in closure(name):
                known = {m.split(".")[0] for m, _ in imports(NAMES[module])} & CLOSED[package]
                assert not known, f"{name} imports {module}, which imports {known}"


@pytest.mark.parametrize("package", FLOORS)
def test_the_folders_of_a_package_lie_on_floors(package: str) -> None:
    floors = FLOORS[package]
    folders = {path.name for path in NAMES[package].parent.iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} == set(floors)

    def floor(module: str) -> int | None:
        inside = module.removeprefix(f"{package}.").split(".")[0]
        return floors.index(inside) if inside in floors else None

    for name in NAMES:
        here = floor(name) if name.startswith(f"{package}.") else None
        if here is not None:
            for other in NEEDS[name]:
                there = floor(other) if other.startswith(f"{package}.") else None
                assert there is None or there <= here, f"{name} imports {other}, a floor above"


def test_few_entries_lie_side_by_side() -> None:
    for top in (PACKAGE, ROOT / "tests"):
        for folder in [top, *(path for path in top.rglob("*") if path.is_dir())]:
            entries = [path.name for path in folder.iterdir() if path.name != "__pycache__"]
            assert len(entries) <= MOST_ENTRIES, f"{identify(folder)} holds {len(entries)}"


def test_no_import_hides_in_a_function() -> None:
    for path in FILES:
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                hidden = [
                    n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)
                ]
                assert not hidden, f"{identify(path)}:{function.lineno} imports inside"


def test_files_and_functions_stay_within_their_budgets() -> None:
    lengths = []
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 400, f"{identify(path)} is over 400 lines"
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                body = function.body
                if ast.get_docstring(function) is not None:
                    body = body[1:]
                length = body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
                assert length <= 60, f"{identify(path)}:{function.lineno} has {length} lines"
                lengths.append(length)
    assert sorted(lengths)[len(lengths) // 2] <= 10


def test_no_test_file_is_longer_than_a_module_may_be() -> None:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        assert len(path.read_text().splitlines()) <= 400, f"{path} is over 400 lines"


def test_every_module_has_its_test_file() -> None:
    missing = []
    for path in FILES:
        inside = path.relative_to(PACKAGE)
        if path.name in {"__init__.py", "__main__.py", "protocol.py", "version.py"}:
            continue
        if not (ROOT / "tests" / inside.parent / f"test_{inside.name}").is_file():
            missing.append(str(inside))
    assert not missing


def test_nothing_is_ever_read_with_pickle() -> None:
    unpicklers = {"pickle", "cloudpickle", "dill", "joblib"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{identify(path)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                assert not unpicklers & {a.name.split(".")[0] for a in node.names}, where
            elif isinstance(node, ast.ImportFrom):
                named = {*(node.module or "").split("."), *(alias.name for alias in node.names)}
                sizes_only = identify(path) == "slimtune/search/executors/ray_tune.py"
                assert sizes_only or not unpicklers & named, where
            elif isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                owner = ast.unparse(node.func)
                assert called not in {"read_pickle", "loads"} or owner == "json.loads", where
                assert keywords.get("allow_pickle", "False") == "False", where
                if owner == "torch.load":
                    assert keywords.get("weights_only") == "True", where
