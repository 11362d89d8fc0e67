"""The sentence when no hybrid keeps the rules: what is impossible, and what would be possible."""

from collections.abc import Callable
from dataclasses import replace

from dery_core.errors import DeryError
from dery_core.reassembly.value import Budget
from dery_core.search.rules import Rules

_NO_RULES = Rules(min_models=1)


def too_small(rules: Rules, params: int, macs: int) -> DeryError:
    """No hybrid within the budget: the nearest there is has `params` and `macs`."""
    budget, asked, given = rules.budget, [], []
    for which, least, most, value in (
        ("params", budget.min_params, budget.max_params, params),
        ("MACs", budget.min_macs, budget.max_macs, macs),
    ):
        if most is not None:
            asked.append(f"at most {most:,} {which}")
            if value > most:
                given.append(f"allow {value:,} {which}")
        if least is not None:
            asked.append(f"at least {least:,} {which}")
            if value < least:
                given.append(f"ask for no more than {value:,} {which}")
    return DeryError(
        f"no {_hybrid(rules)} has {' and '.join(asked)}: the nearest has {params:,} params and "
        f"{macs:,} MACs; {' and '.join(given)}."
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
    said = [f"at least {rules.min_models} networks"] if rules.min_models > 1 else []
    if rules.max_models is not None:
        said.append(f"at most {rules.max_models} networks")
    return f"hybrid of {' and '.join(said)}" if said else "hybrid"
