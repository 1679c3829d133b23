from importlib.metadata import version

import slimtune


def test_the_version_is_that_of_the_installed_package() -> None:
    assert slimtune.__version__ == version("slimtune")
