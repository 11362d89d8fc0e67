"""Which tensors that depend on the input are alive where: a chain can be cut where they are few."""

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


def live_values(trace: Trace, most: int) -> dict[int, tuple[int, ...]]:
    """Position p -> the input-dependent values alive before operation p, where there are 1 to `most`."""
    born: defaultdict[int, list[int]] = defaultdict(list)
    gone: defaultdict[int, list[int]] = defaultdict(list)
    last = last_uses(trace)
    for value, recorded in enumerate(trace.values):
        start = recorded.producer + 1
        if recorded.depends and last.get(value, -1) >= start:
            born[start].append(value)
            gone[last[value] + 1].append(value)
    alive: dict[int, None] = {}
    found = {}
    for position in range(len(trace.ops) + 1):
        for value in gone[position]:
            del alive[value]
        alive.update(dict.fromkeys(born[position]))
        if 1 <= len(alive) <= most:
            found[position] = tuple(alive)
    return found


def overwritten(trace: Trace) -> set[int]:
    """Values that a later operation overwrites in place, themselves or through another that shares
    their memory."""
    written: dict[int, int] = {}
    for index, op in enumerate(trace.ops):
        written |= {trace.values[old].storage: index for old in op.mutated.values()}
    return {
        value
        for value, recorded in enumerate(trace.values)
        if recorded.producer < written.get(recorded.storage, -1)
    }


def follows_mode(trace: Trace, op: Op) -> bool:
    """Whether the operation, recorded in eval mode, has another argument in train mode: only the module
    that it stands in knows which."""
    if op.name in ("batch_norm", "instance_norm"):
        return len(op.inputs) > 2 and op.depends
    if op.name != "scaled_dot_product_attention":
        return False
    module = trace.calls[op.call].module
    rates = [getattr(child, "p", 0) for child in module.children() if "Dropout" in type(child).__name__]
    rates += [rate for name, rate in vars(module).items() if "drop" in name and isinstance(rate, float)]
    return any(rates)


def unopened(trace: Trace) -> set[int]:
    """Positions inside modules that hold an operation which `follows_mode`."""
    calls = [trace.calls[op.call] for op in trace.ops if op.call and follows_mode(trace, op)]
    return {position for call in calls for position in range(call.start + 1, call.end)}


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
