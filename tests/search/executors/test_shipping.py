from pathlib import Path

from slimtune.search.executors.shipping import runtime_env


def test_this_package_travels_without_its_caches() -> None:
    environment = runtime_env()
    (package,) = environment["py_modules"]
    assert (Path(package) / "search" / "executors" / "shipping.py").is_file()
    assert "**/__pycache__" in environment["excludes"]
