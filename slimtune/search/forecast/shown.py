"""How what `slimtune.doctor` found shows itself: in one line, and as a table in notebooks."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from slimtune.results.units import duration


class ShownCheckup:
    """What `Checkup` shows of itself."""

    model: str
    data: str
    findings: Sequence[Any]
    trial: Mapping[str, Any]
    command: str

    def __repr__(self) -> str:
        """Return it in one line."""
        works = sum(found.works for found in self.findings)
        lost = [f"{found.stage} {found.what}" for found in self.findings if not found.works]
        without = f" (not: {', '.join(lost)})" if lost else ""
        return (
            f"<Checkup {self.model} on {self.data}: {works} of {len(self.findings)} "
            f"techniques work{without}; a trial about {duration(self.trial['seconds'])}; "
            f"next: {self.command}>"
        )

    def _repr_html_(self) -> str:
        """Return technique by technique what works and why, for a notebook."""
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td>{html.escape(text)}</td>"
                for text in (one.stage, one.what, "yes" if one.works else "no", one.detail)
            )
            + "</tr>"
            for one in self.findings
        )
        head = "".join(f"<th>{title}</th>" for title in ("stage", "what", "works", "because"))
        return f"<p>{html.escape(repr(self))}</p><table><tr>{head}</tr>{rows}</table>"
