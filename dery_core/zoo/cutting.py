"""Choose where to cut: between blocks, at places where a single tensor is alive.

Everything that a network's own code does between blocks (norms, activations, position embeddings)
joins the node before it; what follows the last block with a spatial output is the head.
"""

from dery_core.zoo.balance import balanced
from dery_core.zoo.blocks import Blocks
from dery_core.zoo.liveness import live_values, pooled
from dery_core.zoo.places import Places
from dery_core.zoo.plan import Cut, Plan, Unit
from dery_core.zoo.recorder import Trace


def plan_cuts(trace: Trace, prefix: int, refused: frozenset[int] = frozenset()) -> Plan:
    """Cuts at block granularity; between single layers where that gives fewer than two nodes. Then
    finer ones, and ones with several tensors, where few or uneven nodes call for them.

    `prefix` is the number of class and register tokens that the network declares, `refused` are
    values that turned out to be no feature map.
    """
    places = Places(trace, prefix, refused)
    blocks = Blocks(trace)
    plan = _plan(trace, places.single, blocks.units())
    if len(plan.cuts) < 2:
        plan = _plan(trace, places.single, Blocks(trace, fine=True).units())
    return balanced(trace, plan, blocks, places)


def _plan(trace: Trace, places: dict[int, Cut], units: list[Unit]) -> Plan:
    collapse = _collapse(trace)
    units = [unit for unit in units if unit.end <= collapse]
    cuts: list[Cut] = []
    groups: list[tuple[Unit, ...]] = []
    group: list[Unit] = []
    for index, unit in enumerate(units):
        group.append(unit)
        final = index + 1 == len(units)
        limit = collapse if final else units[index + 1].start
        between = [places[p] for p in range(unit.end, limit + 1) if p in places]
        if not between:
            continue
        # a bare last convolution takes its norm and activation along, a block leaves them to the head
        cuts.append(between[0] if final and not unit.bare else between[-1])
        groups.append(tuple(group))
        group = []
    return Plan(tuple(cuts), tuple(groups))


def _collapse(trace: Trace) -> int:
    """First position at which the image's positions are pooled away for good."""
    single = {position: values[0] for position, values in live_values(trace, 1).items()}
    gone = pooled(trace)
    for position, value in sorted(single.items()):
        shape = trace.values[value].shape
        if value in gone or len(shape) <= 2 or (len(shape) == 3 and shape[1] == 1):
            return max((p for p in single if p < position), default=0)
    return len(trace.ops)
