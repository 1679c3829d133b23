import ast
import json
import os
from importlib.resources import files as resources

import pytest
import yaml

from slimtune.conditions import Conditions
from slimtune.errors import RunError, UserError
from slimtune.results.delivery.delivery import export_member
from slimtune.results.store.files import sha256_file
from slimtune.results.store.final import FinalRow, write_final
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord

WORKLOAD = {
    "fingerprint": "ab",
    "classes": ["cat", "ドッグ"],
    "mean": [0.5],
    "std": [0.25],
    "image_shape": [1, 8, 8],
}
RECIPE = {"prune": {"method": "l1", "amount": 1e-05}, "train": {"lr": 0.001}, "name": "→ =1+1"}
FILES = {
    "model.onnx": b"onnx",
    "model.safetensors": b"weights",
    "model.json": b"{}",
    "history.csv": b"epoch\n",
    "log.txt": b"fine",
}


@pytest.fixture
def folder(tmp_path):
    manifest = {
        "config": {},
        "objectives": ["accuracy", "size_bytes"],
        "reference_point": {"accuracy": 0.0, "size_bytes": 1e6},
        "workload": WORKLOAD,
    }
    folder = RunFolder.create(tmp_path / "run", manifest)
    sound = {"accuracy": 0.5, "size_bytes": 1000.0}
    for number, files in enumerate([FILES, {"log.txt": b""}]):
        record = TrialRecord(
            number=number,
            status="complete",
            recipe=RECIPE,
            pipeline="p",
            conditions=Conditions(seed=1),
            objectives=sound,
        )
        folder.write_trial(record, {}, files)
    failed = TrialRecord(
        number=2,
        status="failed",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=1),
        error="diverged",
    )
    folder.write_trial(failed, {}, FILES)
    stopped = TrialRecord(
        number=3,
        status="stopped",
        recipe={},
        pipeline="p",
        conditions=Conditions(seed=1),
        error="structure: too large",
    )
    folder.write_trial(stopped, {}, {"log.txt": b""})
    return folder


def test_a_delivered_folder_holds_the_model_and_what_is_needed_to_use_and_repeat_it(
    folder, tmp_path
):
    write_final(folder.path, [FinalRow(trial=0, test_accuracy=0.4)])
    out = export_member(folder, 0, tmp_path / "new" / "deploy")
    made_here = ["README.md", "SHA256SUMS", "labels.json", "labels.txt", "metrics.json"]
    expected = [
        *made_here,
        "predict.py",
        "recipe.yaml",
        *FILES.keys() - {"history.csv", "log.txt"},
    ]
    assert sorted(os.listdir(out)) == sorted(expected)
    for name in ("model.onnx", "model.safetensors", "model.json"):
        assert (out / name).read_bytes() == FILES[name]
    assert yaml.safe_load((out / "recipe.yaml").read_text()) == RECIPE
    labels = json.loads((out / "labels.json").read_text())
    assert labels == {
        **{key: WORKLOAD[key] for key in ("classes", "mean", "std", "image_shape")},
        "mode": "L",
        "resize": "BILINEAR",
    }
    assert (out / "labels.txt").read_text() == "cat\nドッグ\n"
    sums = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: sha256_file(out / name) for name in expected if name != "SHA256SUMS"}
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["objectives"]["accuracy"] == 0.5
    assert metrics["final"]["test_accuracy"] == 0.4
    assert os.listdir(tmp_path / "new") == ["deploy"]


def test_no_file_tells_where_the_users_files_lie(folder, tmp_path):
    net, weights = "/home/bob/p/net.py:make", "/home/bob/p/w.th"
    recipe = {"student": {"model": net, "weights": weights}, "order": "ppq"}
    described = {"architecture": {"name": net, "num_classes": 2}, "recipe": recipe}
    record = TrialRecord(
        number=4,
        status="complete",
        recipe=recipe,
        pipeline=f"{net} → l1 50%",
        conditions=Conditions(seed=1),
        objectives={"accuracy": 0.5, "size_bytes": 1000.0},
    )
    folder.write_trial(record, {}, {**FILES, "model.json": json.dumps(described).encode()})
    folder.manifest["config"] = {"model": net, "data": "folder:/home/bob/photos"}
    folder.manifest["workload"] = {**WORKLOAD, "code": {net: "ab"}}
    out = export_member(folder, 4, tmp_path / "deploy")
    for file in out.iterdir():
        assert b"bob" not in file.read_bytes(), file.name
    text = (out / "recipe.yaml").read_text()
    assert text.startswith("# Files are named without their folders")
    short = {"student": {"model": "net.py:make", "weights": "w.th"}, "order": "ppq"}
    assert yaml.safe_load(text) == short
    model = json.loads((out / "model.json").read_text())
    assert model["architecture"] == {"name": "net.py:make", "num_classes": 2}
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["pipeline"] == "net.py:make → l1 50%"
    for name in ("model.json", "model.onnx"):  # of what lies there
        assert metrics["sha256"][name] == sha256_file(out / name)


def test_a_format_alone_brings_its_own_files(folder, tmp_path):
    onnx = export_member(folder, 0, tmp_path / "a", ["onnx"])
    assert {"model.onnx", "predict.py"} <= set(os.listdir(onnx))
    assert not (onnx / "model.safetensors").exists()
    torch = export_member(folder, 0, tmp_path / "b", ["torch"])
    assert {"model.safetensors", "model.json"} <= set(os.listdir(torch))
    assert not (torch / "model.onnx").exists() and not (torch / "predict.py").exists()
    for formats, reason in ((["onx"], "Did you mean 'onnx'"), ([], "at least one")):
        with pytest.raises(UserError, match=reason):
            export_member(folder, 0, tmp_path / "c", formats)
    assert not (tmp_path / "c").exists()


def test_images_that_no_image_file_holds_get_no_script(folder, tmp_path):
    folder.manifest["workload"] = {**WORKLOAD, "image_shape": [2, 8, 8]}
    out = export_member(folder, 0, tmp_path / "a")
    assert not (out / "predict.py").exists()
    assert "predict.py" not in (out / "README.md").read_text()


def test_the_script_is_short_and_imports_nothing_of_ours():
    script = resources("slimtune.results.delivery").joinpath("predict.py.txt").read_text()
    code = ast.parse(script)
    imported = {
        name
        for node in ast.walk(code)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported == {"json", "os", "sys", "pathlib", "numpy", "onnxruntime", "PIL"}
    code.body.pop(0)  # the docstring
    lines = {line for node in code.body for line in range(node.lineno, node.end_lineno + 1)}
    assert len(lines) <= 40


def test_an_empty_folder_may_be_the_target(folder, tmp_path):
    (tmp_path / "deploy").mkdir()
    assert (export_member(folder, 0, tmp_path / "deploy") / "model.onnx").exists()


def test_a_folder_that_holds_something_is_refused_and_kept(folder, tmp_path):
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "mine").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, reason in {
        "deploy": "already exists",
        "file": "already exists",
        "link": "link",
    }.items():
        with pytest.raises(UserError, match=reason):
            export_member(folder, 0, tmp_path / name)
    assert os.listdir(tmp_path / "deploy") == ["mine"]


def test_the_current_folder_is_not_pulled_from_under_the_shell(folder, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="current folder"):
        export_member(folder, 0, ".")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (1, "trial 1 has no file 'model.onnx'"),
        (2, "trial 2 failed: diverged; see slimtune rerun"),
        (
            3,
            r"trial 3 has no model: it was stopped: structure: too large; slimtune rerun",
        ),
        (9, r"trial 9 does not exist \(0-3\)"),
    ],
)
def test_a_trial_without_a_model_is_refused(folder, tmp_path, number, reason):
    with pytest.raises(UserError, match=reason):
        export_member(folder, number, tmp_path / "deploy")
    assert not (tmp_path / "deploy").exists()


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_the_card_and_the_labels_name_one_colour(folder, tmp_path, channels, mode):
    folder.manifest["workload"] = {**WORKLOAD, "image_shape": [channels, 8, 8]}
    out = export_member(folder, 0, tmp_path / "a")
    assert json.loads((out / "labels.json").read_text())["mode"] == mode
    word = "grey" if mode == "L" else mode
    assert f"makes the image {word}," in (out / "README.md").read_text()


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors"])
def test_a_changed_file_is_not_delivered(folder, tmp_path, name):
    (folder.trial_path(0) / name).write_bytes(b"0nnx")
    with pytest.raises(RunError, match=f"{name}: SHA-256 mismatch for trial 0"):
        export_member(folder, 0, tmp_path / "deploy")
    assert not (tmp_path / "deploy").exists()


def test_a_linked_file_is_not_delivered_even_with_the_right_content(folder, tmp_path):
    path = folder.trial_path(0) / "model.onnx"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="symbolic link"):
        export_member(folder, 0, tmp_path / "deploy")
