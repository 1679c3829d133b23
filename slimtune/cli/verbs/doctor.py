"""``slimtune doctor``: check what a search can do with a model and data, before one starts."""

import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from slimtune.cli.config.settings import search_config
from slimtune.cli.screen import phrases
from slimtune.cli.screen.console import log_console, result_console
from slimtune.cli.screen.steps import Steps
from slimtune.cli.screen.terminal import echo
from slimtune.cli.state import State
from slimtune.results.units import count, duration, latency, room, size
from slimtune.search.forecast.checkup import Checkup, check_up
from slimtune.search.forecast.doctor import Finding
from slimtune.search.forecast.given_weights import WeightsCheck
from slimtune.search.forecast.steadiness import words as steadiness_words


def carry_out(
    state: State,
    /,
    preset: str | None,
    assignments: tuple[str, ...],
    **options: Any,
) -> None:
    """Try which techniques work, and print the result."""
    config = search_config(options, assignments, preset=preset)
    log = log_console(state)
    with Steps(log, "loading the data and the network") as steps:
        checkup = check_up(config, lambda what: steps(f"trying: {what}"), preset, assignments)
    if state.json:
        echo(json.dumps(checkup.to_dict(), indent=2))
        return
    console = result_console(state)
    for line in _facts(checkup):
        console.print(line, markup=False, soft_wrap=True)
    console.print(_findings(checkup.findings))
    for line in [*_costs(checkup), *(f"training  {doubt}" for doubt in checkup.doubts)]:
        console.print(line, markup=False, soft_wrap=True)
    command = checkup.command.replace("slimtune", phrases.program(), 1)
    console.print(f"next      {command}", markup=False, soft_wrap=True)


def _facts(checkup: Checkup) -> list[str]:
    channels, height, width = checkup.image_shape
    images = ", ".join(f"{name} {count}" for name, count in checkup.images.items())
    mirrored = "mirrored in training" if checkup.mirrored else "not mirrored in training"
    baseline = checkup.baseline
    return [
        f"data      {checkup.data} · {checkup.classes} classes · {channels}×{height}×{width} · "
        f"{images} · {mirrored}",
        *phrases.notes(checkup.notes),
        f"network   {checkup.model} · {count(baseline['params'])} params · "
        f"{count(baseline['macs'])} MACs · {size(baseline['size_bytes'])} · "
        f"{latency(baseline['latency_ms'], bool(baseline['latency_stable']))}",
        f"pixels    {checkup.normalisation}",
        *(f"warning: {text}" for text in checkup.warnings),
        *_weights(checkup.weights),
    ]


def _weights(checks: Sequence[WeightsCheck]) -> list[str]:
    """Return the accuracy of given weights, with the set normalisation and the best others."""
    lines = []
    for check in checks:
        tried = (check.as_it_is, *check.others[:3])
        shares = ", ".join(f"{check.share_of(each)} by {each.option}" for each in tried)
        lines.append(f"{check.what:<9} {shares} (of {check.images} images)")
        if text := check.warning():
            lines.append(f"warning: {text}")
    return lines


def _findings(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("stage", "what", "works", "because"):
        table.add_column(title, overflow="fold", no_wrap=title != "because")
    stage = ""
    for checkup in findings:
        shown = checkup.stage if checkup.stage != stage else ""
        stage = checkup.stage
        verdict = Text("yes", style="green") if checkup.works else Text("no", style="red")
        table.add_row(shown, checkup.what, verdict, Text(checkup.detail))
        for method, reason in checkup.unfit.items():
            table.add_row("", f"  {method}", Text("no", style="red"), Text(reason))
    return table


def _costs(checkup: Checkup) -> list[str]:
    trial, host = checkup.trial, checkup.host
    memory = room(host["memory_bytes"]) if host["memory_bytes"] else "unknown"
    gpus = ", ".join(host["gpus"]) or "none"
    return [
        f"a trial   about {duration(trial['seconds'])}: {trial['how']}",
        f"host      {host['cpu']} · {host['cores']} cores · {memory} · GPUs: {gpus} · "
        f"ray {host['ray']} · torch {host['torch']}",
        *(f"latency   {line}" for line in steadiness_words(host)),
    ]
