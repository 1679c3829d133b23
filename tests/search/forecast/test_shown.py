from dataclasses import dataclass, field
from typing import Any

from slimtune.search.forecast.doctor import Finding
from slimtune.search.forecast.shown import ShownCheckup


@dataclass(repr=False)
class Checkup(ShownCheckup):
    model: str = "resnet8"
    data: str = "digits"
    findings: list[Finding] = field(default_factory=list)
    trial: dict[str, Any] = field(default_factory=lambda: {"seconds": 3.21})
    command: str = "slimtune search --model resnet8"


def test_a_checkup_is_one_line_and_a_table_without_markup_of_its_own() -> None:
    found = Checkup(
        findings=[
            Finding("export", "ONNX file", True, "12 KiB"),
            Finding("prune", "channels", False, "a <b>bold</b> reason"),
        ]
    )
    assert repr(found) == (
        "<Checkup resnet8 on digits: 1 of 2 techniques work (not: prune channels); a trial about "
        "3.2 s; next: slimtune search --model resnet8>"
    )
    shown = found._repr_html_()
    assert (
        "&lt;b&gt;bold" in shown and "<b>" not in shown and "<td>channels</td><td>no</td>" in shown
    )
