"""Whether a verb's help imports what takes seconds, and how long the help takes.

python benchmarks/command_line.py [--short]
"""

import subprocess
import sys
import time
from collections.abc import Iterator

from table import Row, run_script

from slimtune.cli.main import VERBS

HEAVY = ("torch", "ray", "optuna")
CODE = """
import sys
from slimtune.cli.main import main
main(sys.argv[1:])
print("LOADED", sum(name in sys.modules for name in {heavy!r}))
"""


def loaded(arguments: list[str]) -> tuple[int, float]:
    """Return how many heavy packages a command imports, and the seconds that it takes."""
    began = time.perf_counter()
    command = [sys.executable, "-c", CODE.format(heavy=HEAVY), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.rsplit("LOADED", 1)[1]), time.perf_counter() - began


def rows(short: bool) -> Iterator[Row]:
    """Measure the help of the command and of every verb."""
    whole = [loaded(["--help"]) for _ in range(3 if short else 9)]
    yield Row(
        "slimtune --help: heavy imports", "-", tuple(n for n, _ in whole), 0, least=False, unit=""
    )
    found = [loaded([verb, "--help"]) for verb in VERBS]
    counts = tuple(count for count, _ in found)
    slowest = max(seconds for _, seconds in found)
    note = f"slimtune --help {min(s for _, s in whole):.2f} s, slowest verb {slowest:.2f} s"
    yield Row("slimtune VERB --help: heavy imports", "-", counts, 0, False, "", note)


if __name__ == "__main__":
    run_script(__doc__, rows)
