"""`line_graph`: cut a network into a chain of nodes, and prove that the chain is the network."""

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from dery_core.errors import Cancelled, DeryError, first_line
from dery_core.zoo.costs import chain_params
from dery_core.zoo.cutting import plan_cuts
from dery_core.zoo.download import cached_weights
from dery_core.zoo.emitting import Emitter
from dery_core.zoo.graph_cache import GraphCache
from dery_core.zoo.layout import Layout
from dery_core.zoo.line_graph import LineGraph, Node
from dery_core.zoo.naming import node_names
from dery_core.zoo.places import MOST_STREAMS
from dery_core.zoo.plan import Cut, Plan
from dery_core.zoo.probing import probe_layout, quadrant_features, quadrant_inputs
from dery_core.zoo.recorder import BatchDependence, Ref, Trace, macs_are_linear, merge_batches, record
from dery_core.zoo.sketching import device_of, sketch, twin
from dery_core.zoo.zoo import Zoo, pretrained_name

# no neighbours: between those every integer is linear in the batch size
_BATCHES = (2, 5)
# neither is recorded, so that what follows the batch size in a way not understood shows
_CHECKED = (1, 3)
_GRAPHS = GraphCache(limit=2 * 10**9)


def line_graph(
    model: nn.Module, input_size: tuple[int, int, int], name: str = "", check: bool = True
) -> LineGraph:
    """The line graph of an image classifier that takes (B, *input_size) and gives (B, classes).

    The model is left as it is: the nodes hold copies of its modules, in eval mode, and a module used
    in several nodes becomes several. Composed they equal the model bit for bit, checked here on the
    given weights with one image and on perturbed ones with three. DeryError, with the reason, for a
    network that can't be cut so.

    What a node's `macs` count is what the model runs between its two cuts, so they sum to the
    model's: a value that depends on weights alone counts where the model computes it, though every
    node that reads it computes it again.

    Without `check`, or for a model on the meta device, nothing runs on real numbers: the nodes are
    on the meta device, and where the operations leave a layout open it is the likeliest.
    """
    name = name or type(model).__name__
    try:
        # tensors made in inference mode have no versions, by which changes in place are told
        with torch.inference_mode(False):
            return _line_graph(model, input_size, name, check)
    except (DeryError, Cancelled, MemoryError):
        raise
    except Exception as error:  # whatever the network raises, and torch when it is copied or written down
        raise DeryError(_failure(error, name, input_size)) from error


def _line_graph(model: nn.Module, input_size: tuple[int, int, int], name: str, check: bool) -> LineGraph:
    check = check and device_of(model).type != "meta"
    # going through train mode drops what some networks precompute from their weights for eval mode
    try:
        fresh = copy.deepcopy(model) if check else sketch(model)[0]
    except RuntimeError as error:
        if _needed_memory(error) is not None:
            raise
        raise DeryError(
            f"{name} can't be cut: it can't be copied, for it keeps a tensor that it computed "
            f"({first_line(error)}): give a network that hasn't run."
        ) from error
    fresh.train()
    fresh.eval()
    trace = _trace(fresh, input_size, name)
    plan, layouts, refused = _plan(trace, fresh, input_size)
    if len(plan.cuts) < 2:
        raise DeryError(f"{name} can't be cut: {_reason(plan, refused)}.")
    macs = _macs(trace, plan)
    if 2 * macs[-1] > sum(macs):
        raise DeryError(
            f"{name} can't be cut: most of its work lies behind the last place where one to {MOST_STREAMS} "
            "tensors carry everything on."
        )
    shared, paths = _emit(trace, fresh, plan)
    # copied before anything runs: a copy that has run keeps what it precomputed from these weights
    modules = [copy.deepcopy(module) for module in shared]
    if check:
        _check(fresh, shared, input_size, name)
    names = [*node_names(plan, paths), "head"]
    *nodes, head = [Node(*parts) for parts in zip(names, modules, chain_params(shared), macs, strict=True)]
    return LineGraph(name, input_size, tuple(nodes), head, (Layout("map", *input_size), *layouts))


def zoo_line_graph(zoo: Zoo, name: str) -> LineGraph:
    """The line graph of a zoo's model with its trained weights.

    One built before in this process comes from memory, unless the zoo's entry or the weight file has
    changed since.
    """
    model = zoo.model(name)

    def build() -> LineGraph:
        return line_graph(zoo.build(name), model.input_size, name)

    try:
        path = zoo.weights_path(name) or cached_weights(pretrained_name(model))
        state = path and (str(path.resolve()), path.stat().st_mtime_ns, path.stat().st_size)
    except (OSError, DeryError):  # building tells what is wrong with it
        return build()
    return _GRAPHS.get((json.dumps(model.to_dict(), sort_keys=True), state), build)


def _trace(model: nn.Module, size: tuple[int, int, int], name: str) -> Trace:
    """The model's forward pass, recorded without numbers where it runs without."""
    real = device_of(model).type != "meta"
    try:
        trace = _sketched_trace(model, size)
    except Exception as error:  # whatever the network raises without numbers
        if isinstance(error, BatchDependence) and not real:
            raise DeryError(f"{name} can't be cut: {error}.") from error
        if not real:
            raise DeryError(
                f"{name} can't be cut without running it on real numbers: {first_line(error)}."
            ) from error
        trace = _real_trace(model, size, name)
    if not isinstance(trace.output, Ref):
        kind = type(trace.output).__name__
        raise DeryError(f"{name} can't be cut: it returns a {kind}, not one tensor of logits.")
    return trace


def _sketched_trace(model: nn.Module, size: tuple[int, int, int]) -> Trace:
    def recorded(batch: int) -> Trace:
        # a sketch for each: what one forward pass leaves behind isn't computed in the next
        drawn, originals = sketch(model)
        trace = record(drawn, torch.empty(batch, *size, device="meta"))
        for value in trace.values:
            if value.constant is not None and value.constant.is_meta:
                value.constant = originals[id(value.constant)]
        return trace

    return _merged_trace(recorded)


def _real_trace(model: nn.Module, size: tuple[int, int, int], name: str) -> Trace:
    work = twin(model)

    def recorded(batch: int) -> Trace:
        images = _images(size, batch, device_of(model))
        _run(work, images, name)  # it fills whatever the model computes once and keeps
        return record(work, images)

    try:
        return _merged_trace(recorded)
    except BatchDependence as error:
        raise DeryError(f"{name} can't be cut: {error}.") from error


def _merged_trace(recorded: Callable[[int], Trace]) -> Trace:
    """The recordings at `_BATCHES` as one, with the MACs of one image."""
    first, second = (recorded(batch) for batch in _BATCHES)
    linear = macs_are_linear(first, second)
    trace = merge_batches(first, second)
    if not linear:  # csatv2 multiplies the images of a batch with each other
        alone = recorded(1)
        if len(alone.ops) == len(trace.ops):
            for op, single in zip(trace.ops, alone.ops, strict=True):
                op.macs = single.macs
    return trace


def _images(size: tuple[int, int, int], batch: int, device: torch.device) -> Tensor:
    return torch.randn(batch, *size, generator=torch.Generator().manual_seed(batch)).to(device)


def _run(model: nn.Module, images: Tensor, name: str) -> Tensor:
    try:
        with torch.no_grad():
            logits: Tensor = model(images)
    except Exception as error:  # whatever the network raises
        if _needed_memory(error) is not None:
            raise
        size = "×".join(map(str, images.shape[1:]))
        raise DeryError(f"{name} doesn't run on an input of {size}: {first_line(error)}.") from error
    return logits


def _plan(trace: Trace, model: nn.Module, size: tuple[int, int, int]) -> tuple[Plan, list[Layout], bool]:
    """Cuts, the layout at each, and whether any was given up. A probe decides where shapes and operations
    leave a layout open; a cut whose positions turn out to be no image grid is given up, and the rest
    planned anew."""
    prefix = getattr(model, "num_prefix_tokens", 0)
    known: dict[int, Layout | None] = {}
    device = device_of(model)
    while True:
        refused = frozenset(v for v, layout in known.items() if layout is None)
        plan = plan_cuts(trace, prefix, refused)
        if not _is_open(plan, known) or device.type == "meta":
            layouts = [known.get(cut.values[0]) or cut.layouts[0] for cut in plan.cuts]
            return plan, layouts, bool(refused)
        modules, _ = _emit(trace, twin(model), plan)
        features = quadrant_features(modules[:-1], quadrant_inputs(size, device))
        for cut, tensor in zip(plan.cuts, features, strict=True):
            if not cut.sure:
                known[cut.values[0]] = probe_layout(tensor, cut.layouts)


def _is_open(plan: Plan, known: Mapping[int, Layout | None]) -> bool:
    return any(not cut.sure and cut.values[0] not in known for cut in plan.cuts)


def _emit(trace: Trace, model: nn.Module, plan: Plan) -> tuple[list[nn.Module], list[str]]:
    """The nodes' and the head's modules, sharing the model's parameters; with them the path of the
    module that each is, "" for a stretch of several."""
    assert isinstance(trace.output, Ref)
    emitter = Emitter(trace, model)
    ends = [Cut(0, (0,)), *plan.cuts, Cut(len(trace.ops), (trace.output.value,))]
    modules, paths = [], []
    for given, wanted in pairwise(ends):
        module, path = emitter.stretch(given, wanted)
        modules.append(module)
        paths.append(path)
    return modules, paths


def _macs(trace: Trace, plan: Plan) -> list[int]:
    """Of every node and the head."""
    places = [0, *(cut.position for cut in plan.cuts), len(trace.ops)]
    return [sum(op.macs for op in trace.ops[start:end]) for start, end in pairwise(places)]


def _check(model: nn.Module, modules: Sequence[nn.Module], size: tuple[int, int, int], name: str) -> None:
    """Whether the modules, which share the model's parameters, compose to it. The model is not the
    same afterwards."""
    for perturbed, batch in zip((False, True), _CHECKED, strict=True):
        if perturbed:
            _perturb(model)
        images = _images(size, batch, device_of(model))
        logits = _run(twin(model), images, name)
        wrong = f"{name} can't be cut: its nodes put together don't give the network's own output"
        try:
            with torch.no_grad():
                for module in modules:
                    images = twin(module)(images)
        except RuntimeError as error:
            if _needed_memory(error) is not None:
                raise
            raise DeryError(f"{wrong} on a batch of {batch} ({first_line(error)}).") from error
        if not torch.equal(images, logits):
            raise DeryError(f"{wrong} on a batch of {batch}.")


def _perturb(model: nn.Module) -> None:
    """Add N(0, 0.02) to every parameter: equality must not rest on zeros and ones of an
    initialisation."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = 0.02 * torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise.to(parameter.device, parameter.dtype))


def _reason(plan: Plan, refused: bool) -> str:
    if refused:
        return "between its blocks the image's positions are in another order than that of a grid"
    if len(plan.cuts) == 1 and len(plan.units[0]) == 1:
        return "it has only one block before its head, and at least 2 are needed"
    return (
        f"between its blocks it never carries everything in one to {MOST_STREAMS} tensors with an image grid"
    )


def _failure(error: Exception, name: str, size: tuple[int, int, int]) -> str:
    needed = _needed_memory(error)
    if needed is None:
        return f"{name} can't be cut: {first_line(error)}."
    return (
        f"{name} can't be cut: on an input of {'×'.join(map(str, size))} it needs {needed}: "
        "give a smaller input size."
    )


def _needed_memory(error: Exception) -> str | None:
    """How much more torch asked for when there was no memory left; None for any other error."""
    text = str(error)
    if asked := re.search(r"tried to allocate (\d+) bytes", text):
        return f"{int(asked[1]) / 2**30:.1f} GiB of memory at once"
    if asked := re.search(r"Tried to allocate ([\d.]+ .iB)", text):
        return f"{asked[1]} of memory at once"
    too_large = (
        "out of memory",
        "Storage size calculation overflowed",
        "numel: integer multiplication overflow",
    )
    return "more memory than there is" if any(part in text for part in too_large) else None
