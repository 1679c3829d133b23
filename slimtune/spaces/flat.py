"""The space as one flat list of dimensions, for samplers that know no conditions.

Optuna's genetic samplers cross over only the dimensions that every trial so far has drawn, and
its quasi-random one only those of the first trial. Of a space in which `prune.amount` is there
only if something is pruned, next to nothing would be left to them. Here a trial draws every
dimension of every method, and the recipe reads those that it needs: genes that do nothing now
may do something in a child. Two trials that differ only in such genes are one recipe, which
`Recipe.key` tells.
"""

from slimtune.compression.recipe import Recipe
from slimtune.spaces.domains import Choice, Domain, Drawing
from slimtune.spaces.narrowing import narrowed
from slimtune.spaces.space import Space, suggest_recipe


def dimensions(space: Space) -> dict[str, Domain]:
    """Return every dimension that some recipe of ``space`` draws, by the name it is drawn under.

    Those with one value are there too: they cost the sampler nothing.
    """
    flat: dict[str, Domain] = {}
    flat |= {f"student.{name}": domain for name, domain in space.stages["student"].items()}
    for stage, rows in space.methods.items():
        flat[f"{stage}.method"] = Choice(tuple(rows))
        shared = space.stages.get(stage, {})
        for method, own in rows.items():
            for name, domain in ({} if method == "none" else shared).items():
                fitting = narrowed(domain, stage, name, method)
                owner = stage if fitting == domain else f"{stage}.{method}"
                flat[f"{owner}.{name}"] = fitting
            flat |= {f"{stage}.{method}.{name}": domain for name, domain in own.items()}
    flat["order"] = space.order
    return flat | {f"train.{name}": domain for name, domain in space.stages["train"].items()}


def suggest_flat(trial: Drawing, space: Space) -> Recipe:
    """Draw every dimension of ``space``, then the recipe that they make.

    Args:
        trial: gives the same value again when it is asked for the same name, as Optuna's do.
        space: the search space.
    """
    for name, domain in dimensions(space).items():
        domain.suggest(trial, name)
    return suggest_recipe(trial, space)
