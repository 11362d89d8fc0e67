"""What the exact searches share: the order of candidates, and the sentence when none fits.

Best first means: higher predicted score, then fewer MACs, then fewer params, then the
lexicographically smaller choice. Predicted scores are whole numbers of quanta, so ties are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.value import Budget, Choice

Smallest = Callable[[Literal["params", "macs"], Budget], Choice | None]
"""The candidate with the fewest params or MACs within a budget, None when there is none."""


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest params and MACs of any hybrid: the ends of the budget sliders."""

    min_params: int
    max_params: int
    min_macs: int
    max_macs: int


def check_min_models(candidates: Candidates, min_models: int) -> None:
    """DeryError when no candidate can have that many sources."""
    most = min(candidates.k, len(candidates.models))
    if min_models > most:
        raise DeryError(
            f"a hybrid of at least {min_models} networks is impossible with {len(candidates.models)} "
            f"networks cut into {candidates.k} blocks: ask for at most {most}."
        )


def infeasible(budget: Budget, min_models: int, smallest: Smallest) -> DeryError:
    """The error for a budget that no candidate keeps; it names the smallest that exist."""
    fewest_params = smallest("params", Budget())
    fewest_macs = smallest("macs", Budget())
    what = f"hybrid of at least {min_models} networks" if min_models > 1 else "hybrid"
    if fewest_params is None or fewest_macs is None:
        return DeryError(
            f"no {what} takes one block of every stage and every equivalence set: "
            "allow fewer source networks, or make the partition with stage k as set k."
        )
    wanted = []
    if budget.max_params is not None and budget.max_params < fewest_params.params:
        wanted.append(f"{budget.max_params:,} params, the smallest has {_both(fewest_params)}")
    if budget.max_macs is not None and budget.max_macs < fewest_macs.macs:
        wanted.append(f"{budget.max_macs:,} MACs, the smallest has {_both(fewest_macs)}")
    if wanted:
        return DeryError(f"no {what} fits in {', and none in '.join(wanted)}: raise the budget.")
    return _not_together(budget, what, smallest)


def _not_together(budget: Budget, what: str, smallest: Smallest) -> DeryError:
    least_macs = smallest("macs", Budget(max_params=budget.max_params))
    least_params = smallest("params", Budget(max_macs=budget.max_macs))
    assert least_macs is not None
    assert least_params is not None
    return DeryError(
        f"no {what} fits in {budget.max_params:,} params and {budget.max_macs:,} MACs together, though each "
        f"limit alone can be kept: with those params the smallest needs {least_macs.macs:,} MACs, "
        f"with those MACs {least_params.params:,} params; raise one of them."
    )


def _both(choice: Choice) -> str:
    return f"{choice.params:,} params and {choice.macs:,} MACs"
