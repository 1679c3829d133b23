import pytest

import slimtune as st
from slimtune.search.forecast import checkup
from slimtune.search.forecast.doctor import Finding


def test_doctor_tells_on_standard_error_what_it_tries_and_returns_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # one technique stands for all: examine() has tests of its own, and takes a minute
    only = Finding("export", "ONNX file", True, "12 KiB")
    monkeypatch.setattr(checkup, "examine", lambda workload, among=None: [only])
    found = st.doctor(model="resnet8", data="digits", baseline={"epochs": 0})
    assert found.findings == [only] and found.command.startswith("slimtune search --model resnet8")
    captured = capsys.readouterr()
    assert captured.out == "" and "trying: export ONNX file" in captured.err
