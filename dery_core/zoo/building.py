"""`line_graph`: cut a network into a chain of nodes, and prove that the chain is the network."""

import copy
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dery_core.errors import DeryError
from dery_core.zoo.costs import chain_params
from dery_core.zoo.cutting import plan_cuts
from dery_core.zoo.emitting import Emitter
from dery_core.zoo.graph_cache import GraphCache
from dery_core.zoo.layout import Layout
from dery_core.zoo.line_graph import LineGraph, Node
from dery_core.zoo.naming import node_names
from dery_core.zoo.places import MOST_STREAMS
from dery_core.zoo.plan import Cut, Plan
from dery_core.zoo.probing import probe_layout, quadrant_features, quadrant_inputs
from dery_core.zoo.recorder import BatchDependence, Ref, Trace, merge_batches, record
from dery_core.zoo.sketching import device_of, sketch, twin

if TYPE_CHECKING:
    from dery_core.zoo.zoo import Zoo

_BATCHES = (2, 1)
_GRAPHS = GraphCache(limit=2 * 10**9)


def line_graph(
    model: nn.Module, input_size: tuple[int, int, int], name: str = "", check: bool = True
) -> LineGraph:
    """The line graph of an image classifier that takes (B, *input_size) and gives (B, classes).

    The model is left as it is: the nodes hold copies of its modules, in eval mode, and a module used
    in several nodes becomes several. Composed they equal the model bit for bit, checked here on the
    given weights with one image and on perturbed ones with two. DeryError, with the reason, for a
    network that can't be cut so.

    What a node's `macs` count is what the model runs between its two cuts, so they sum to the
    model's: a value that depends on weights alone counts where the model computes it, though every
    node that reads it computes it again.

    Without `check`, or for a model on the meta device, nothing runs on real numbers: the nodes are
    on the meta device, and where the operations leave a layout open it is the likeliest.
    """
    name = name or type(model).__name__
    check = check and device_of(model).type != "meta"
    # going through train mode drops what some networks precompute from their weights for eval mode
    fresh = copy.deepcopy(model) if check else sketch(model)[0]
    fresh.train()
    fresh.eval()
    trace = _trace(fresh, input_size, name)
    plan, layouts = _plan(trace, fresh, input_size)
    if len(plan.cuts) < 2:
        raise DeryError(f"{name} can't be cut: {_reason(plan)}.")
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


def zoo_line_graph(zoo: "Zoo", name: str) -> LineGraph:
    """The line graph of a zoo's model with its trained weights.

    One built before in this process comes from memory, unless the zoo's entry or the weight file has
    changed since.
    """
    model = zoo.model(name)

    def build() -> LineGraph:
        return line_graph(zoo.build(name), model.input_size, name)

    path = zoo.weights_path(name)
    try:
        state = path and (str(path.resolve()), path.stat().st_mtime_ns, path.stat().st_size)
    except OSError:  # building tells what is wrong with it
        return build()
    return _GRAPHS.get((json.dumps(model.to_dict(), sort_keys=True), state), build)


def _trace(model: nn.Module, size: tuple[int, int, int], name: str) -> Trace:
    """The model's forward pass, recorded without numbers where it runs without."""
    real = device_of(model).type != "meta"
    try:
        trace = _sketched_trace(model, size)
    except Exception as error:  # whatever the network raises without numbers
        if not real:
            raise DeryError(
                f"{name} can't be cut without running it on real numbers: {_first_line(error)}."
            ) from error
        trace = _real_trace(model, size, name)
    if not isinstance(trace.output, Ref):
        kind = type(trace.output).__name__
        raise DeryError(f"{name} can't be cut: it returns a {kind}, not one tensor of logits.")
    return trace


def _sketched_trace(model: nn.Module, size: tuple[int, int, int]) -> Trace:
    traces = []
    for batch in _BATCHES:
        # a sketch for each: what one forward pass leaves behind isn't computed in the next
        drawn, originals = sketch(model)
        trace = record(drawn, torch.empty(batch, *size, device="meta"))
        for recorded in trace.values:
            if recorded.constant is not None and recorded.constant.is_meta:
                recorded.constant = originals[id(recorded.constant)]
        traces.append(trace)
    return merge_batches(*traces)


def _real_trace(model: nn.Module, size: tuple[int, int, int], name: str) -> Trace:
    work = twin(model)
    inputs = [_images(size, batch, device_of(model)) for batch in _BATCHES]
    for images in inputs:  # it fills whatever the model computes once and keeps
        _run(work, images, name)
    try:
        return merge_batches(*(record(work, images) for images in inputs))
    except BatchDependence as error:
        raise DeryError(f"{name} can't be cut: {error}.") from error


def _images(size: tuple[int, int, int], batch: int, device: torch.device) -> Tensor:
    return torch.randn(batch, *size, generator=torch.Generator().manual_seed(batch)).to(device)


def _run(model: nn.Module, images: Tensor, name: str) -> Tensor:
    try:
        with torch.no_grad():
            logits: Tensor = model(images)
    except Exception as error:  # whatever the network raises
        size = "×".join(map(str, images.shape[1:]))
        raise DeryError(f"{name} doesn't run on an input of {size}: {_first_line(error)}.") from error
    return logits


def _plan(trace: Trace, model: nn.Module, size: tuple[int, int, int]) -> tuple[Plan, list[Layout]]:
    """Cuts, and the layout at each. A probe decides where shapes and operations leave it open;
    a cut whose positions turn out to be no image grid is given up, and the rest planned anew."""
    prefix = getattr(model, "num_prefix_tokens", 0)
    known: dict[int, Layout | None] = {}
    device = device_of(model)
    while True:
        plan = plan_cuts(trace, prefix, frozenset(v for v, layout in known.items() if layout is None))
        if not _is_open(plan, known) or device.type == "meta":
            layouts = [known.get(cut.values[0]) or cut.layouts[0] for cut in plan.cuts]
            return plan, layouts
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
    for perturbed, batch in ((False, 1), (True, 2)):
        if perturbed:
            _perturb(model)
        images = _images(size, batch, device_of(model))
        logits = _run(twin(model), images, name)
        with torch.no_grad():
            for module in modules:
                images = twin(module)(images)
        if not torch.equal(images, logits):
            raise DeryError(
                f"{name} can't be cut: its nodes put together don't give the network's own output."
            )


def _perturb(model: nn.Module) -> None:
    """Add N(0, 0.02) to every parameter: equality must not rest on zeros and ones of an
    initialisation."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = 0.02 * torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise.to(parameter.device, parameter.dtype))


def _reason(plan: Plan) -> str:
    if len(plan.cuts) == 1 and len(plan.units[0]) == 1:
        return "it has only one block before its head, and at least 2 are needed"
    return (
        f"between its blocks it never carries everything in one to {MOST_STREAMS} tensors with an image grid"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
