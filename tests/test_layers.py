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
    "workload": {"errors", "registry"},
    "compression": {"workload", "errors", "registry"},
    "measurement": {"errors"},
    "spaces": {"compression", "errors", "registry"},
    "results": {"errors"},
    "search": {
        "workload", "compression", "measurement", "spaces", "results", "errors", "registry"
    },
}  # fmt: skip
DOORS = {
    "torch_pruning": ["slimtune/compression/pruning/stage/graph.py"],
    "onnx": ["slimtune/compression/export/"],
    "onnxruntime": ["slimtune/measurement/"],
    "ray": ["slimtune/search/"],
    "optuna": ["slimtune/search/", "slimtune/spaces/"],
}
LIGHT = {"torch", "torchvision", "ray", "optuna", "onnx", "onnxruntime", "torch_pruning"}


def imports(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """Yield every module a file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield node.module or "", node


def unit_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


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


def test_results_open_a_run_without_torch() -> None:
    for path in (PACKAGE / "results").rglob("*.py"):
        heavy = {module for module, _ in imports(path) if module.split(".")[0] in LIGHT}
        assert not heavy, f"{identify(path)} imports {heavy}"


def test_there_is_no_import_ring() -> None:
    names = {module_name(path) for path in FILES}
    below = {module_name(path): {m for m, _ in imports(path) if m in names} for path in FILES}
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in finished:
            for other in below[name]:
                visit(other, (*trail, name))
            finished.add(name)

    for name in names:
        visit(name, ())


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


def test_every_module_has_its_test_file() -> None:
    missing = []
    for path in FILES:
        inside = path.relative_to(PACKAGE)
        if path.name in {"__init__.py", "__main__.py", "protocol.py"}:
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
