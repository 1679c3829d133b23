"""The short form of every benchmark with a target, and one table of them all (`make bench`).

    python benchmarks/run.py [--full] [NAME ...]

Each script runs in a process of its own, one after another. A script has `rows(short)`, which
yields `table.Row`, or prints lines ``what | against | ratio | target | n | spread``.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
from table import Row, host, parsed, text

HERE = Path(__file__).parent
SHORT = (
    "command_line",
    "export",
    "trial",
    "training",
    "side_by_side",
    "engine",
    "memory",
    "latency",
)
"""Scripts that take a minute or two each; whole_search.py and dry_run.py take longer."""
LONG = (*SHORT, "dry_run", "whole_search")
EMIT = """
import dataclasses, importlib, json, sys
module = importlib.import_module(sys.argv[1])
if not hasattr(module, "rows"):
    if not hasattr(module, "main"):
        sys.exit("has neither rows(short) nor main()")
    name = sys.argv[1]
    sys.argv[:] = [f"benchmarks/{name}.py"]
    module.main()
    sys.exit()
for row in module.rows(sys.argv[2] == "short"):
    print("ROW", json.dumps(dataclasses.asdict(row)), flush=True)
"""


def measured(name: str, length: str) -> tuple[list[Row], str]:
    """Return the rows of one script, and what went wrong."""
    command = [sys.executable, "-c", EMIT, name, length]
    done = subprocess.run(
        command, cwd=HERE.parent, capture_output=True, text=True, env=environment(), check=False
    )
    found = [line[4:] for line in done.stdout.splitlines() if line.startswith("ROW ")]
    printed = [row for line in done.stdout.splitlines() if (row := parsed(line)) is not None]
    rows = printed + [
        Row(**{**(r := json.loads(line)), "values": tuple(r["values"])}) for line in found
    ]
    last = (done.stderr.strip().splitlines() or ["ended without a word"])[-1]
    return rows, last if done.returncode else ""


def environment() -> dict[str, str]:
    """Return the variables of a script: one thread, its folder and ours to import from."""
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="as many repetitions as it takes")
    parser.add_argument("names", nargs="*", metavar="NAME", help="scripts; default: the short")
    options = parser.parse_args()
    names = options.names or (LONG if options.full else SHORT)
    rows, failures = [], []
    for name in names:
        if not (HERE / f"{name}.py").is_file():
            continue
        began = time.monotonic()
        found, wrong = measured(name, "full" if options.full else "short")
        rows += found
        failures += [f"{name}.py: {wrong}"] if wrong else []
        click.echo(f"{name}: {len(found)} rows, {time.monotonic() - began:.0f} s", err=True)
    click.echo(host())
    click.echo(text(rows))
    for failure in failures:
        click.echo(f"failed: {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
