"""The Pareto front: all trade-offs of score, params and MACs."""

from collections.abc import Sequence

import numpy as np

from dery_core.search.dominance import nondominated
from dery_core.search.labels import Labels
from dery_core.search.paths import MACS, PARAMS, SCORE, Aim, Cap, Paths

_CHUNK = 250_000
_MOST_LABELS = 100_000


def front(paths: Paths, caps: Sequence[Cap] = (), cost: int = SCORE) -> Labels | None:
    """The candidates within `caps` that none beats in `cost`, MACs and params, in order of choice.

    None when it takes too many labels. Label setting: what begins no point of the front is dropped
    stage by stage.
    """
    extender, models = paths.extender, np.arange(paths.extender.block.shape[2])
    bounds = [paths.reachable, *(paths.limit(cap) for cap in caps)]
    labels = extender.first(bounds)
    for stage in range(1, len(paths.states.after) + 1):
        last = stage == len(paths.states.after)
        kept = [extender.none]
        # Labels of different last models aren't compared until the last stage.
        for chunk in np.array_split(models, -(-len(labels) * len(models) // _CHUNK) or 1):
            longer = extender.extended(labels, bounds, chunk)
            if last:
                longer = Labels.joined([*kept, longer])
                kept = [longer[nondominated(longer.costs[[cost, MACS, PARAMS]])]]
            else:
                kept.append(paths.unbeaten(longer, Aim(cost), caps))
            if sum(map(len, kept)) > _MOST_LABELS:
                return None
        labels = Labels.joined(kept)
    return labels
