from pathlib import Path

import pytest

from slimtune.cli.main import main


def test_what_is_printed_is_a_config_of_the_same_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--preset", "demo"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out.startswith("# Settings of a search")
    file = tmp_path / "search.yaml"
    file.write_text(captured.out, encoding="utf-8")
    assert main(["search", "--preset", "demo", "--print-config"]) == 0
    preset = capsys.readouterr().out
    assert main(["search", "-c", str(file), "--print-config"]) == 0
    ours = capsys.readouterr().out
    before = preset.partition("space:")[0]
    assert ours.startswith(before) and "resnet8x2" in ours


def test_a_mistake_in_the_edited_file_is_told_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "search.yaml"
    assert main(["init", "-o", str(file)]) == 0
    lines = file.read_text().splitlines()
    at = lines.index("seed: 0")
    lines[at] = "seed: -1"
    file.write_text("\n".join(lines))
    assert main(["search", "-c", str(file), "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {file}:{at + 1}: seed: must be greater")


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_nothing_is_overwritten(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "search.yaml"
    if kind == "file":
        out.write_text("mine")
    elif kind == "folder":
        out.mkdir()
    else:
        out.symlink_to(tmp_path / "nowhere")
    assert main(["init", "-o", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"{out} already exists; choose another file" in error and error.count("\n") == 1
    assert kind != "file" or out.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["--preset", "dmo"], "unknown preset 'dmo'. Did you mean 'demo'?"),
        (["-o", "no/such/folder/x.yaml"], "the parent folder does not exist"),
        (["--presets", "demo"], "Did you mean '--preset'?"),
        (["demo"], "unexpected extra argument"),
    ],
)
def test_a_wrong_word_is_one_line(
    arguments: list[str], rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *arguments]) == 2
    captured = capsys.readouterr()
    assert rule in captured.err and captured.err.count("\n") == 1 and captured.out == ""
