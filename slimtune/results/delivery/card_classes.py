"""The section of the model card on single classes."""

from slimtune.results.class_scores import class_table
from slimtune.results.delivery.card_facts import CardFacts, code


def classes_part(facts: CardFacts) -> str:
    """Return the worst classes and the most frequent confusions; empty if not measured."""
    model = facts.joint.test_classes if facts.joint else None
    if model is None:
        return ""
    base = facts.baseline_joint.test_classes if facts.baseline_joint else None
    names = [code(name) for name in facts.workload.get("classes", ())]
    table = class_table(model, base, names)
    lines = [
        "## Classes\n",
        "| class | test images | baseline | this model |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {n} | {before or 'not measured'} | {after} |"
        for name, n, before, after in table.rows
    ]
    caption = "The share of each class's test images that is recognised, the worst class first"
    lines.append(f"\n{caption}{f'; {table.more} more are no worse' if table.more else ''}.\n")
    for who, pairs in (("This model", table.model), ("The baseline", table.baseline)):
        if pairs:
            lines.append(f"{who} takes most often: {', '.join(pairs)}.\n")
    return "\n".join(lines)
