"""A page of the documentation, read block by block, and carried out as its reader would.

    python tests/docs/page.py PAGE.md [GIVEN]

carries out the page's blocks from top to bottom in the current folder, in one process: ``sh``
line by line (`slimtune` by its entry point, so that torch is imported once), ``python`` in one
namespace, ``yaml`` by the loader that the command line reads it with; ``text`` is not code. What a
block's source says in comments directly above it counts:

    <!-- norun: REASON -->            it is not carried out
    <!-- needs: slimtune VERB [--OPTION] -->  only where slimtune has that
    <!-- file: NAME -->               it is written to that file (and loaded, if it is YAML)
    <!-- replace: OLD | NEW -->       OLD is NEW when it is tested
    <!-- given: NAME... -->           anywhere in a page: it begins with these, copied from GIVEN

A `slimtune search` of a page gets `SMALL` as well.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from slimtune.cli.main import VERBS, main

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
LANGUAGES = ("sh", "python", "yaml", "text")
SMALL = "--no-ray --epochs 1 --set baseline.epochs=2"
"""What each search gets, and a number of trials: one more for one that goes on."""

_FENCE = re.compile(r"^(\s*)```(\w*)\s*$")
_NOTE = re.compile(r"<!--\s*(\w+):\s*(.*?)\s*-->")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: the file it is in.
        line: of its fence, from 1.
        language: the word after the fence.
        code: what is in it.
        notes: the comments directly above it.
    """

    page: Path
    line: int
    language: str
    code: str
    notes: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in their order."""
    notes: dict[str, str] = {}
    opened: tuple[int, str, str] | None = None
    code: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, code = (number, fence[1], fence[2]), []
        elif opened is None:
            found = dict(_NOTE.findall(line))
            notes = {**notes, **found} if found or not line.strip() else {}
        elif fence and not fence[2]:
            yield Block(page, opened[0], opened[2], "\n".join(code) + "\n", notes)
            opened, notes = None, {}
        else:
            code.append(line.removeprefix(opened[1]))
    assert opened is None, f"{page}:{opened and opened[0]}: the block has no end"


def given(page: Path) -> list[str]:
    """Return what a page's folder holds before its first block."""
    return [name for key, names in _NOTE.findall(page.read_text()) if key == "given"
            for name in names.split()]  # fmt: skip


def commands(code: str) -> Iterator[list[str]]:
    """Yield the commands of a shell block, as words; a line may go on after a backslash."""
    for line in code.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def is_met(need: str) -> bool:
    """Return whether this slimtune has the verb, and the option if one is named."""
    _, verb, *options = need.split()
    if verb not in VERBS:
        return False
    command = import_module(VERBS[verb][0]).command
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return set(options) <= known


def run_page(page: Path, source: Path | None = None) -> None:
    """Carry out the blocks of a page in the current folder.

    Raises:
        AssertionError: a command fails.
    """
    for name in given(page):
        assert source is not None, f"{page.name} needs {name}"
        copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        copy(source / name, name)
    namespace: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(page):
        if "norun" in block.notes or block.language == "text":
            continue
        if "needs" in block.notes and not is_met(block.notes["needs"]):
            _tell(f"{block}: left out, there is no {block.notes['needs']}")
            continue
        _tell(f"== {block}")
        _run(block, namespace)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _run(block: Block, namespace: dict[str, Any]) -> None:
    code = block.code
    if "replace" in block.notes:
        old, new = block.notes["replace"].split(" | ")
        assert old in code, f"{block}: has no {old!r} to replace"
        code = code.replace(old, new)
    if name := block.notes.get("file"):
        Path(name).write_text(code)
        if block.language == "yaml":
            _load_yaml(Path(name))
    elif block.language == "python":
        exec(compile(code, str(block), "exec"), namespace)
    else:
        for words in commands(code):
            _run_command(words, str(block))


def _load_yaml(file: Path) -> None:
    if file.name.startswith("recipe"):
        import_module("slimtune.cli.verbs.compress").read_recipe(file)
    else:
        import_module("slimtune.cli.config.settings").search_config({}, file=file)


def _run_command(words: list[str], where: str) -> None:
    target = None
    if ">" in words:
        position = words.index(">")
        target, words = words[position + 1], words[:position]
    _tell(f"$ {shlex.join(words)}")
    if words[0] == "python":
        code = subprocess.run([sys.executable, *words[1:]], check=False).returncode
    else:
        assert words[0] == "slimtune", f"{where}: cannot carry out {words[0]!r}; mark it norun"
        # Closed, and so flushed, before the next command reads it.
        with open(target, "w") if target else nullcontext(sys.stdout) as out, redirect_stdout(out):
            code = main(shortened_search(words[1:]))
    done = (0, 3) if "search" in words else (0,)  # three trials may well keep no limit
    assert code in done, f"{where}: `{shlex.join(words)}` ended with {code}"


def shortened_search(words: list[str]) -> list[str]:
    """Return the words of a command; of a search, with what makes it short."""
    if "search" not in words or "--print-config" in words:
        return words
    goes_on = "--resume" in words and not words[-1].startswith("--resume")
    return [*words, *SMALL.split(), "--trials", "4" if goes_on else "3"]


if __name__ == "__main__":
    run_page(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
