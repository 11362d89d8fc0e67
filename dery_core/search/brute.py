"""Exhaustive answers: slow, plain, and what everything else in this room is tested against."""

from collections.abc import Iterator
from itertools import product

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.value import Choice
from dery_core.search.objective import MeasuredScore, Objective
from dery_core.search.rules import Rules

_MOST = 1_000_000


def enumerate_best(
    candidates: Candidates, objective: Objective, rules: Rules, top: int | None = None
) -> list[Choice]:
    """The `top` best candidates under `rules` (None: all), best first, by trying every one."""
    found = list(_every(candidates, objective, rules))
    return sorted(found, key=lambda each: (-_exact(each, objective), each.macs, each.params, each.choice))[
        :top
    ]


def enumerate_front(candidates: Candidates, objective: Objective, rules: Rules) -> list[Choice]:
    """The Pareto front under `rules`, in order of MACs, then params, then score, by comparing all."""
    front: list[Choice] = []
    for each in enumerate_best(candidates, objective, rules):
        if not any(other.params <= each.params and other.macs <= each.macs for other in front):
            front.append(each)
    return sorted(front, key=lambda each: (each.macs, each.params, -each.predicted))


def _every(candidates: Candidates, objective: Objective, rules: Rules) -> Iterator[Choice]:
    if len(candidates.models) ** candidates.k > _MOST:
        raise DeryError(
            f"{len(candidates.models)} networks in {candidates.k} blocks give too many hybrids to try one "
            "by one: use the finder."
        )
    for choice in product(range(len(candidates.models)), repeat=candidates.k):
        params, macs = candidates.cost(choice)
        if not _keeps(candidates, choice, rules) or not rules.budget.allows(params, macs):
            continue
        if isinstance(objective, MeasuredScore):
            if (score := objective.of(choice)) > float("-inf"):
                yield Choice(choice, params, macs, score, score)
        else:
            yield Choice(choice, params, macs, objective.predict(choice))


def _exact(choice: Choice, objective: Objective) -> float:
    if isinstance(objective, MeasuredScore):
        return choice.predicted
    return objective.terms.at(choice.choice)


def _keeps(candidates: Candidates, choice: tuple[int, ...], rules: Rules) -> bool:
    """Whether `choice` keeps eq. 10 and every rule but the budget."""
    taken = {(candidates.models[i], k) for k, i in enumerate(choice)}
    names = {name for name, _ in taken}
    kinds = [candidates.blocks[i][k].output.kind in ("tokens", "map_last") for k, i in enumerate(choice)]
    return (
        sorted(candidates.sets[i][k] for k, i in enumerate(choice)) == list(range(candidates.k))
        and rules.min_models <= len(names)
        and (rules.max_models is None or len(names) <= rules.max_models)
        and not names & set(rules.forbidden_models)
        and names >= set(rules.required_models)
        and not taken & set(rules.forbidden_blocks)
        and taken >= set(rules.required_blocks)
        and not (rules.cnn_first and kinds != sorted(kinds))
    )
