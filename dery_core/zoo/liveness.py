"""Where exactly one tensor that depends on the input is alive: the only places a chain can be cut."""

from collections import defaultdict

from dery_core.zoo.recorder import Op, Trace, refs

_GLOBAL_POOLS = ("mean", "amax", "sum", "adaptive_avg_pool2d", "adaptive_max_pool2d")
_WEIGHTED = ("conv", "linear", "bilinear", "matmul", "bmm", "baddbmm", "addmm", "einsum")


def last_uses(trace: Trace) -> dict[int, int]:
    """Last operation that reads each value; the number of operations for what the model returns.

    A module reads all its arguments, even those it only hands on: its call needs them.
    """
    last: dict[int, int] = {}
    for index, op in enumerate(trace.ops):
        for value in op.inputs:
            last[value] = index
    for call in trace.calls:
        if call.start < call.end:
            for value in refs((call.args, call.kwargs)):
                last[value] = max(last.get(value, -1), call.start)
    for value in refs(trace.output):
        last[value] = len(trace.ops)
    return last


def single_values(trace: Trace) -> dict[int, int]:
    """Position p -> the one input-dependent value alive before operation p, where there is one."""
    count: defaultdict[int, int] = defaultdict(int)
    total: defaultdict[int, int] = defaultdict(int)
    last = last_uses(trace)
    for value, recorded in enumerate(trace.values):
        born = recorded.producer + 1
        if recorded.depends and last.get(value, -1) >= born:
            count[born] += 1
            total[born] += value
            count[last[value] + 1] -= 1
            total[last[value] + 1] -= value
    single, alive, which = {}, 0, 0
    for position in range(len(trace.ops) + 1):
        alive += count[position]
        which += total[position]
        if alive == 1:
            single[position] = which
    return single


def overwritten(trace: Trace) -> set[int]:
    """Values that a later operation overwrites in place."""
    return {old for op in trace.ops for old in op.mutated.values()}


def pooled(trace: Trace) -> set[int]:
    """Values without image positions, because a global pooling took them away: what gates (squeeze
    and excitation) and heads work on. A map that strides have shrunk to 1×1 isn't one."""
    found: set[int] = set()
    for op in trace.ops:
        sources = [value for value in op.inputs if trace.depends(value)]
        inherited = bool(sources) and all(value in found for value in sources)
        for value in op.results:
            if inherited or (op.name in _GLOBAL_POOLS and _has_one_position(trace.values[value].shape)):
                found.add(value)
    return found


def is_weighted(trace: Trace, op: Op) -> bool:
    """Whether the operation multiplies the input by a matrix of weights."""
    if not op.depends or not op.name.strip("_").startswith(_WEIGHTED):
        return False
    return any(not trace.depends(v) and len(trace.values[v].shape) >= 2 for v in op.inputs)


def _has_one_position(shape: tuple[int, ...]) -> bool:
    return sum(size != 1 for size in shape[1:]) <= 1
