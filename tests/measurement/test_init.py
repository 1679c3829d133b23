import os
import subprocess
import sys


def test_onnx_runtime_leaves_nothing_at_home_to_be_sent(tmp_path) -> None:
    mine = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY")}
    command = [sys.executable, "-c", "import slimtune.measurement.runtime"]
    subprocess.run(command, check=True, env={**mine, "HOME": str(tmp_path)}, timeout=120)
    assert list(tmp_path.rglob("*")) == []
