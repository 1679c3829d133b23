import subprocess
import sys
from importlib.metadata import version

import slimtune


def printed_by(code: str) -> str:
    """Return what a new interpreter prints that runs ``code``."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_public_name_is_there() -> None:
    for name in slimtune.__all__:
        assert getattr(slimtune, name) is not None, name
    assert callable(slimtune.search)


def test_importing_the_package_loads_none_of_the_giants() -> None:
    code = (
        "import sys, slimtune; from slimtune.results.run import open_run; "
        "print(sorted({'torch', 'ray', 'optuna', 'onnxruntime'} & set(sys.modules)))"
    )
    assert printed_by(code) == "[]"


def test_a_worker_loads_no_library_that_one_recipe_in_many_needs() -> None:
    code = (
        "import sys, slimtune.search.trial.trial, slimtune.search.executors.ray_tune; "
        "print(sorted({'pytorch_optimizer', 'sympy', 'torchvision', 'plotly'} & set(sys.modules)))"
    )
    assert printed_by(code) == "[]"


def test_search_stays_callable_after_its_submodules_are_imported() -> None:
    code = "import slimtune as st, slimtune.search.trial.spec; print(callable(st.search))"
    assert printed_by(code) == "True"


def test_the_version_is_that_of_the_installed_package() -> None:
    assert slimtune.__version__ == version("slimtune")
