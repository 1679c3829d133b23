import json
from pathlib import Path

import pytest
import yaml

from slimtune.cli.main import main
from slimtune.cli.screen.phrases import program
from slimtune.cli.verbs.search import _summary, new_run_folder
from slimtune.conditions import Conditions
from slimtune.results.run import Run
from slimtune.results.store.folder import RunFolder
from slimtune.results.store.record import TrialRecord
from slimtune.search.settings.config import make_config

QUICK = [
    "search", "--model", "resnet8", "--data", "digits", "--no-ray", "--epochs", "1",
    "--set", "baseline.epochs=1",
]  # fmt: skip


def test_a_search_prints_the_front_and_leaves_a_run_that_the_other_verbs_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs" / "a"
    assert main([*QUICK, "--trials", "2", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    log = captured.err.splitlines()
    assert log[0].endswith(f"run folder {out}")
    assert "train 1008, validation 250 (cut from train), test 539" in log[1]
    assert log[2].startswith("pixels    mean 0.3058, std 0.3761")
    assert "2 trials × 1 workers · seed 0" in log[3]
    assert any(line.startswith("baseline  accuracy ") for line in log[4:])
    assert sum(line.startswith("trial ") for line in log) == 2
    assert [line for line in log if line.startswith("done in ")][0].endswith("· 2 complete")
    assert f"next: {program()} export {out} --pick knee -o deploy/" in log
    assert "baseline" in captured.out and "◆" in captured.out

    assert json.loads((out / "run.json").read_text())["config"]["executor"] == "inline"
    assert main(["front", str(out), "--format", "json"]) == 0
    members = json.loads(capsys.readouterr().out)
    assert {member["trial"] for member in members} <= {0, 1}
    assert all(0 <= member["test_accuracy"] <= 1 for member in members)
    assert main(["export", str(out), "--pick", "size", "-o", str(tmp_path / "deploy")]) == 0
    assert (tmp_path / "deploy" / "model.onnx").stat().st_size > 0


def test_quiet_leaves_only_the_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-q", *QUICK, "--trials", "1", "--out", str(tmp_path / "a")]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("trial")


def test_a_search_whose_limits_nothing_keeps_says_so_by_its_exit_code_and_leaves_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a"
    limited = [*QUICK, "--trials", "1", "--min-accuracy", "1.0", "--no-stopping"]
    assert main(["-q", *limited, "--out", str(out)]) == 3
    captured = capsys.readouterr()
    assert captured.err.startswith("error: no ") and captured.err.count("\n") == 1
    assert captured.err.endswith(f"; the run is kept in {out}\n")
    assert captured.out.startswith("trial") and (out / "report.html").is_file()
    assert main(["--json", "search", "--resume", str(out)]) == 3  # nothing was left to do
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["members"]) == ("front", [])


def test_an_address_beside_no_ray_and_one_where_no_cluster_is_are_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--ray-address", "127.0.0.1:1", "--out", str(tmp_path / "a")]
    for inline in ([*QUICK, "--no-ray"], ["search", "--set", "executor=inline"]):
        assert main([*inline, *given]) == 2
        assert "--ray-address needs Ray, but the executor is inline" in capsys.readouterr().err
    assert main(["search", "--preset", "demo", *given]) == 2
    assert "cannot reach Ray at 127.0.0.1:1" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_the_config_is_printed_as_json_if_that_was_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--json", "search", "--preset", "demo", "--print-config"]) == 0
    assert json.loads(capsys.readouterr().out)["trials"] == 40


def test_the_printed_config_read_back_is_the_same_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--preset", "demo", "--seed", "7", "--set", "space.train.lr=1e-3"]
    arguments += ["--objective", "accuracy", "--objective", "macs", "--no-ray"]
    assert main(["search", *arguments, "--print-config"]) == 0
    printed = capsys.readouterr().out
    settings = yaml.safe_load(printed)
    assert settings["seed"] == 7
    assert settings["objectives"] == ["accuracy", "macs"]
    assert settings["executor"] == "inline"
    file = tmp_path / "c.yaml"
    file.write_text(printed)
    assert main(["search", "-c", str(file), "--print-config"]) == 0
    assert capsys.readouterr().out == printed
    assert make_config(settings).space["train"]["lr"] == 1e-3


def test_the_default_folder_is_the_first_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_run_folder("demo") == Path("runs/demo")
    for name in ("demo", "demo-2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert new_run_folder("demo") == Path("runs/demo-3")


@pytest.mark.parametrize("name", ["resnet20-folder:../../data", "/etc", "..", "ä/ö", "a" * 500])
def test_the_default_folder_lies_right_below_runs(name: str) -> None:
    folder = new_run_folder(name)
    assert folder.parent == Path("runs")
    assert folder.name and set(folder.name) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
    )
    assert len(folder.name) <= 60


def test_a_run_goes_on_by_its_name_alone_and_by_the_same_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a"
    command = [*QUICK, "--set", "space.prune.method=l1", "--out", str(out), "--resume"]
    assert main([*command, "--trials", "1"]) == 0  # nothing there yet: it starts
    assert "resumed" not in capsys.readouterr().err
    assert main(["search", "--resume", str(out), "--trials", "2"]) == 0
    log = capsys.readouterr().err.splitlines()
    assert "resumed   1 of 2 trials are finished" in log
    assert sum(line.startswith("trial ") for line in log) == 1
    assert any(line.startswith("trial    1      2/2  ") for line in log)
    assert main([*command, "--trials", "1"]) == 0  # fewer than there are: nothing to do
    log = capsys.readouterr().err.splitlines()
    assert "resumed   2 of 2 trials are finished" in log
    assert not any(line.startswith("trial ") for line in log)
    assert main([*command, "--epochs", "2", "--seed", "5"]) == 5
    error = capsys.readouterr().err.splitlines()
    assert error[0].startswith(f"error: {out} was started with other settings; ")
    assert error[1:] == [
        "  seed: 0 in the run, 5 now",
        "  space.train.epochs: 1 in the run, 2 now",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--resume"], 2, "--resume needs the run"),
        (["--resume", "runs/a", "--out", "runs/b"], 2, "are two runs; give one"),
        (["--resume", "runs/a"], 5, "'runs/a' is not a slimtune run (no run.json)"),
        (["--resume", "."], 5, "'.' is not a slimtune run (no run.json)"),
        (["--out", ".", "--resume", "--data", "digits"], 5, "is not a slimtune run"),
    ],
)
def test_a_resume_of_nothing_is_refused_in_one_line(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holiday.jpg").touch()
    assert main(["search", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1]
    assert error.splitlines()[-1].startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_the_last_line_counts_the_trials_that_shared_a_beginning(tmp_path: Path) -> None:
    manifest = {
        "config": {},
        "objectives": ["accuracy", "size_bytes"],
        "reference_point": {"accuracy": 0.0, "size_bytes": 1e6},
        "workload": {"fingerprint": "0" * 64},
    }
    folder = RunFolder.create(tmp_path / "a", manifest)
    for number, reused in enumerate(["", "train", "prune"]):
        record = TrialRecord(
            number=number, status="complete", recipe={}, pipeline="p",
        conditions=Conditions(seed=1), reused=reused,
            objectives={"accuracy": 0.5, "size_bytes": 1000.0},
        )  # fmt: skip
        folder.write_trial(record, {}, {})
    told = _summary(Run(folder), 61)
    assert told == "done in 1 min 1 s · 3 complete · 2 reused a stage of another trial"
