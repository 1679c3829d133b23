from pathlib import Path

import pytest

from slimtune.errors import ConfigError, RunError
from slimtune.search.settings.config import make_config
from slimtune.search.settings.own_code import check_code_unchanged, code_digests
from slimtune.workload.own_code import allow_all_code


def test_a_run_notices_when_its_code_has_changed(own_net: Path) -> None:
    config = make_config({"model": f"{own_net}:make"})
    with pytest.raises(ConfigError, match="--allow-code"):
        code_digests(config)
    allow_all_code()
    recorded = code_digests(config)
    check_code_unchanged(config, recorded)
    check_code_unchanged(config, {})
    own_net.write_text(own_net.read_text() + "\n# changed\n")
    with pytest.raises(RunError, match="net.py:make has changed since the run was written"):
        check_code_unchanged(config, recorded)
