"""``report.html``: one file that any browser opens from disk, without a network.

It fetches nothing and can run only its own two scripts. The content security policy names them by
their hash, so a script in a class name would not run even if the escaping failed.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from slimtune.errors import NothingMatchesError
from slimtune.results.pareto.growth import box_volume
from slimtune.results.run import Run
from slimtune.results.store.files import atomic_write
from slimtune.results.store.output import write_output
from slimtune.results.store.status import read_status
from slimtune.results.views.report import contents
from slimtune.results.views.report.attribution import attributions
from slimtune.results.views.report.charts import (
    axes,
    front_figures,
    growth_figure,
    importance_figure,
)
from slimtune.results.views.report.classes import member_classes
from slimtune.results.views.report.design import fixed_settings
from slimtune.results.views.report.importance import FEWEST, importances
from slimtune.results.views.tables import footnotes

_FOLDER = Path(__file__).parent


def write_report(run: Run, path: Path) -> Path:
    """Write the report of a run, finished or not, and return its path.

    Args:
        run: the run.
        path: of the file, replaced if it exists.

    Raises:
        NothingMatchesError: no trial has finished yet.
        UserError: the folder of the file does not exist.
        RunError: a record is damaged, or the disk refuses.
    """
    write = atomic_write if path == run.path / "report.html" else write_output
    write(path, render(run))
    return path


def render(run: Run) -> str:
    """Return the page.

    Raises:
        NothingMatchesError: no trial has finished yet.
        RunError: a record is damaged.
    """
    run = run.at(run.records)
    if not run.records:
        raise NothingMatchesError(f"{run.path}: no trial has finished yet, so nothing to report")
    library, script = get_plotlyjs(), (_FOLDER / "page.js").read_text()
    loader = PackageLoader("slimtune.results.views.report", ".")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html").render(
        policy="; ".join(
            [
                "default-src 'none'",
                f"script-src {_hash(library)} {_hash(script)}",
                "style-src 'unsafe-inline'",
                "img-src data: blob:",
                "base-uri 'none'",
                "form-action 'none'",
            ]
        ),
        library=Markup(library),
        script=Markup(script),
        style=Markup((_FOLDER / "page.css").read_text()),
        **_content(run),
    )


def _content(run: Run) -> dict[str, Any]:
    """Return what the template tells, but for scripts and style."""
    records, front, path = run.records, run.front(), contents.shell_path(run)
    complete = [record for record in records if record.status == "complete"]
    baseline = run.baseline_values(front)
    trials = run.trials()
    others = trials[(trials["status"] == "complete") & ~trials["on_front"]]
    weights = importances(complete, run.objectives, fixed_settings(run.manifest.get("space", {})))
    whole = box_volume(run.objectives, run.manifest["reference_point"]) is not None
    return {
        "name": run.path.resolve().name,
        "path": str(run.path),
        "summary": contents.summary_line(records, read_status(run.path)),
        "missed": run.nearest_miss(),
        "cards": contents.highlights(run, front, baseline, path),
        "up": axes(run.objectives)[0],
        "right": axes(run.objectives)[1],
        "columns": contents.member_columns(front),
        "members": contents.member_rows(run, front, baseline) if len(front) else [],
        "notes": footnotes(front, baseline, run.manifest["workload"]),
        "classes": member_classes(run, front),
        "volume": f"{run.hypervolume_share():.4g}",
        "whole": whole,
        "importances": weights,
        "fewest": FEWEST,
        "complete": len(complete),
        "objectives": run.objectives,
        "bought": contents.technique_rows(attributions(complete, run.objectives), run.objectives),
        "failed": contents.reasons(records, "failed"),
        "stopped": contents.reasons(records, "stopped"),
        "measured": contents.measurement_facts(run, records, front),
        "commands": contents.commands(run, path, front),
        "settings": contents.settings_yaml(run),
        "figures": {
            "front": front_figures(front, others, baseline, run.objectives) if complete else [],
            "growth": growth_figure(run.growth(), whole),
            "importance": [importance_figure(one) for one in weights],
        },
    }


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
