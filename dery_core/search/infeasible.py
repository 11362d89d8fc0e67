"""The sentence when no hybrid keeps the rules: what is impossible, and what would be possible."""

from collections.abc import Callable
from dataclasses import replace

from dery_core.errors import DeryError
from dery_core.reassembly.value import Budget
from dery_core.search.rules import Rules, networks

_NO_RULES = Rules(min_models=1)


def too_small(rules: Rules, params: int, macs: int) -> DeryError:
    """No hybrid within the budget: the nearest there is has `params` and `macs`."""
    budget, asked, more, less = rules.budget, [], [], []
    for unit, least, most, value in (
        ("params", budget.min_params, budget.max_params, params),
        ("MACs", budget.min_macs, budget.max_macs, macs),
    ):
        limits = [f"at least {least:,}"] if least is not None else []
        limits += [f"at most {most:,}"] if most is not None else []
        if limits:
            asked.append(f"{' and '.join(limits)} {unit}")
        if most is not None and value > most:
            more.append(f"{value:,} {unit}")
        if least is not None and value < least:
            less.append(f"{value:,} {unit}")
    advice = [f"allow {' and '.join(more)}"] if more else []
    advice += [f"ask for no more than {' and '.join(less)}"] if less else []
    return DeryError(
        f"no {_hybrid(rules)} has {', and '.join(asked)}: the nearest has {params:,} params and "
        f"{macs:,} MACs; {' and '.join(advice)}."
    )


def too_strict(rules: Rules, possible: Callable[[Rules], bool]) -> DeryError:
    """No hybrid under any budget; `possible` tells whether there is one under other rules."""
    rules = replace(rules, budget=Budget())
    if not possible(_NO_RULES):
        return DeryError(
            "no hybrid takes one block of every stage and every equivalence set: "
            "make the partition with stage k as set k."
        )
    for said, field in (
        ("that CNN blocks come first", "cnn_first"),
        ("the forbidden blocks", "forbidden_blocks"),
        ("the required blocks", "required_blocks"),
        ("the forbidden networks", "forbidden_models"),
        ("the required networks", "required_models"),
        ("the most networks", "max_models"),
        ("the fewest networks", "min_models"),
    ):
        dropped = getattr(_NO_RULES, field)
        if getattr(rules, field) != dropped and possible(replace(rules, **{field: dropped})):
            return DeryError(
                f"no {_hybrid(rules)} keeps all these rules together, whatever its size: "
                f"there are hybrids once you give up {said}."
            )
    return DeryError(f"no {_hybrid(rules)} keeps all these rules together: drop some of them.")


def _hybrid(rules: Rules) -> str:
    least, most = rules.min_models, rules.max_models
    if most is None:
        return f"hybrid of at least {networks(least)}" if least > 1 else "hybrid"
    if least == most:
        return f"hybrid of {networks(most)}"
    return f"hybrid of {least} to {networks(most)}"
