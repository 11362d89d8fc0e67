"""The exhaustive search: slow, plain, and what the program is tested against."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.value import Budget, Choice
from dery_core.search.linear import LinearScore
from dery_core.search.order import check_min_models, infeasible

_MOST = 5_000_000


def enumerate_best(
    candidates: Candidates, linear: LinearScore, budget: Budget, top: int = 1, min_models: int = 2
) -> list[Choice]:
    """The `top` best candidates within `budget`, best first (see `search`), by trying all.

    DeryError when none fits, or when there are too many to look at.
    """
    check_min_models(candidates, min_models)
    if len(candidates.models) ** candidates.k > _MOST:
        raise DeryError(
            f"{len(candidates.models)} networks in {candidates.k} blocks give too many hybrids to try one "
            "by one: use the program."
        )
    choices = candidates.every()
    choices = choices[candidates.allowed(choices, min_models)]
    params, macs = candidates.costs(choices)

    def within(limit: Budget) -> NDArray[np.int64]:
        most = np.iinfo(np.int64).max
        fits = params <= (most if limit.max_params is None else limit.max_params)
        return np.flatnonzero(fits & (macs <= (most if limit.max_macs is None else limit.max_macs)))

    def made(index: int) -> Choice:
        choice = tuple(choices[index].tolist())
        return Choice(choice, int(params[index]), int(macs[index]), linear.predict(choice))

    def smallest(measure: Literal["params", "macs"], limit: Budget) -> Choice | None:
        size, kept = (params if measure == "params" else macs), within(limit)
        return made(kept[np.argmin(size[kept])]) if len(kept) else None

    kept = within(budget)
    if not len(kept):
        raise infeasible(budget, min_models, smallest)
    # lexsort's last key comes first; `choices` is in lexicographic order and the sort is stable.
    order = np.lexsort((params[kept], macs[kept], -linear.quanta(choices[kept])))
    return [made(index) for index in kept[order[:top]]]
