import subprocess
import sys

import slimtune


def test_every_public_name_is_there() -> None:
    for name in slimtune.__all__:
        assert getattr(slimtune, name) is not None, name
    assert callable(slimtune.search)


def test_importing_the_package_loads_none_of_the_giants() -> None:
    code = (
        "import sys, slimtune; from slimtune.results.run import open_run; "
        "print(sorted({'torch', 'ray', 'optuna', 'onnxruntime'} & set(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "[]"


def test_a_worker_loads_no_library_that_one_recipe_in_many_needs() -> None:
    code = (
        "import sys, slimtune.search.trial, slimtune.search.ray_executor; "
        "print(sorted({'pytorch_optimizer', 'sympy', 'torchvision', 'plotly'} & set(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "[]"


def test_search_stays_callable_after_its_submodules_are_imported() -> None:
    code = "import slimtune as st, slimtune.search.spec; print(callable(st.search))"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "True"
