"""What benchmarks/line_graphs.py measures on one architecture of timm, in a process of its own.

Seconds are those of the processor, not of the clock: other programs may run beside.
"""

import itertools
import time
from collections.abc import Callable
from typing import Any

import timm
import torch
from torch import Tensor, nn

from dery_core.errors import DeryError
from dery_core.zoo import LineGraph, count_macs, line_graph
from dery_core.zoo.architecture import family_of

Result = dict[str, Any]
Options = dict[str, Any]
Size = tuple[int, int, int]

LIMIT = 20e9
_DROPS: tuple[Options, ...] = (
    {"drop_rate": 0.2, "drop_path_rate": 0.2},
    {"drop_path_rate": 0.2},
    {"drop_rate": 0.2},
    {},
)
# neither is among those that the engine records
_BATCHES = (3, 1)


def sizes(architecture: str) -> Result:
    """Parameters and MACs of the whole network at its default input size, on the meta device."""
    model, images = _on_meta(architecture)
    return {
        "family": family_of(architecture),
        "input_size": list(images.shape[1:]),
        "params": sum(p.numel() for p in model.parameters()),
        "macs": count_macs(model, images),
    }


def structure(architecture: str) -> Result:
    """Nodes and cuts, on the meta device: nothing is run on real numbers."""
    model, images = _on_meta(architecture)
    return _cut(model, (*images.shape[1:],), architecture, check=False)[1]


def exact(architecture: str) -> Result:
    """Whether nodes and network agree bit for bit, by the engine's check and by one of our own."""
    return _exact(architecture, *_affordable(architecture, {}))


def exact_at_default(architecture: str) -> Result:
    """As `exact`, at the default input size whatever it costs."""
    return _exact(architecture, _default_size(architecture), {})


def trained(architecture: str) -> Result:
    """As `exact`; train mode with dropout and drop-path on as well, and a backward pass."""
    drops = _accepted_drops(architecture)
    size, options = _affordable(architecture, drops)
    model = _perturbed(architecture, options)
    graph, result = _cut(model, size, architecture)
    if graph is None:
        return result
    return result | _compare(model, graph) | {"drops": sorted(drops)} | _compare_training(model, graph)


TRIALS: dict[str, Callable[[str], Result]] = {
    "sizes": sizes,
    "families": trained,
    "default": exact_at_default,
    "random": exact,
    "structure": structure,
}


def run_trial(trial_and_architecture: str) -> Result:
    """`TRIALS[trial](architecture)`; whatever it raises becomes {"failure": sentence}."""
    trial, architecture = trial_and_architecture.split(" ")
    started = time.process_time()
    try:
        result = TRIALS[trial](architecture)
    except Exception as error:
        lines = str(error).strip().splitlines()
        result = {"failure": f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]}
    return result | {"total_seconds": time.process_time() - started}


def _exact(architecture: str, size: Size, options: Options) -> Result:
    model = _perturbed(architecture, options)
    graph, result = _cut(model, size, architecture)
    return result if graph is None else result | _compare(model, graph)


def _on_meta(architecture: str) -> tuple[nn.Module, Tensor]:
    with torch.device("meta"):
        model: Any = timm.create_model(architecture)
        return model.eval(), torch.empty(1, *model.default_cfg["input_size"])


def _default_size(architecture: str) -> Size:
    _, channels, height, width = _on_meta(architecture)[1].shape
    return channels, height, width


def _affordable(architecture: str, options: Options) -> tuple[Size, Options]:
    """The default input size and `options`; where an image of it costs more than `LIMIT` MACs, a
    smaller size that the architecture takes and that doesn't, or the cheapest, with its options."""
    default = channels, *sides = _default_size(architecture)
    macs = _macs(architecture, default, options)
    if macs <= LIMIT:
        return default, options
    scale = (LIMIT / macs) ** 0.5
    found = []
    for shrunk, step in itertools.product((scale, scale / 1.5, scale / 2), (32, 14, 16, 24)):
        height, width = (max(int(side * shrunk) // step, 1) * step for side in sides)
        size = (channels, height, width)
        for more in ({"img_size": (height, width)}, {}):
            try:
                macs = _macs(architecture, size, options | more)
            except Exception:  # whatever a network raises that doesn't take the size
                continue
            if macs <= LIMIT:
                return size, options | more
            found.append((macs, size, options | more))
    if not found:
        return default, options
    _, size, options = min(found, key=lambda entry: entry[0])
    return size, options


def _macs(architecture: str, size: Size, options: Options) -> int:
    """For one image."""
    with torch.device("meta"):
        model = timm.create_model(architecture, **options).eval()
        return count_macs(model, torch.empty(1, *size))


def _accepted_drops(architecture: str) -> Options:
    """Those of the drop rates that the architecture takes."""
    for drops in _DROPS:
        try:
            with torch.device("meta"):
                timm.create_model(architecture, **drops)
        except (TypeError, AssertionError):
            continue
        return drops
    return {}


def _perturbed(architecture: str, options: Options) -> nn.Module:
    """The network from seed 0 in eval mode, every parameter and every statistic moved a little: no
    equality shall rest on the zeros and ones of an initialisation."""
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(architecture, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(torch.randn_like(buffer), alpha=0.1)
            elif buffer.is_floating_point():
                buffer.mul_(1 + 0.1 * torch.rand_like(buffer))
    return model


def _cut(model: nn.Module, size: Size, name: str, check: bool = True) -> tuple[LineGraph | None, Result]:
    started = time.process_time()
    try:
        graph = line_graph(model, size, name, check=check)
    except DeryError as error:
        return None, {"refusal": str(error), "seconds": time.process_time() - started}
    seconds = time.process_time() - started
    parts = [*graph.nodes, graph.head]
    largest = max(parts, key=lambda part: part.macs)
    return graph, {
        "input_size": list(size),
        "nodes": len(graph.nodes),
        "streams": sum(layout.kind == "streams" for layout in graph.layouts),
        "largest": largest.macs / max(graph.macs, 1),
        "largest_name": largest.name,
        "params": graph.params,
        "macs": graph.macs,
        "seconds": seconds,
    }


def _images(graph: LineGraph, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(100 + batch)
    return torch.randn(batch, *graph.input_size, generator=generator)


def _compare(model: nn.Module, graph: LineGraph) -> Result:
    """Outputs in eval mode at two batch sizes. They count only if they are finite and differ from
    image to image."""
    equal, telling = True, True
    with torch.no_grad():
        for batch in _BATCHES:
            images = _images(graph, batch)
            expected = model(images)
            equal = equal and torch.equal(graph(images), expected)
            telling = telling and bool(expected.isfinite().all())
            if batch > 1:
                telling = telling and not torch.equal(expected[0], expected[1])
    return {"equal": equal, "telling": telling}


def _compare_training(model: nn.Module, graph: LineGraph) -> Result:
    """Outputs, batch normalisation's statistics and gradients of one step in train mode under one seed.

    `alive` says whether another seed gives another output.
    """
    images = _images(graph, 2)
    whole, parts = nn.ModuleList([model]).train(), nn.ModuleList(graph.modules()).train()
    outputs = []
    for run in (model, graph):
        torch.manual_seed(1)
        outputs.append(run(images))
    result: Result = {
        "train_equal": torch.equal(*outputs),
        "statistics_equal": _statistics(whole) == _statistics(parts),
    }
    for output in outputs:
        output.float().square().mean().backward()
    result["gradients_equal"] = _same_gradients(_gradients(whole), _gradients(parts))
    with torch.no_grad():
        torch.manual_seed(2)
        result["alive"] = not torch.equal(model(images), outputs[0])
    return result


def _statistics(modules: nn.Module) -> list[float]:
    return sorted(float(b.double().sum()) for name, b in modules.named_buffers() if "running_" in name)


def _gradients(modules: nn.Module) -> dict[tuple[float, ...], Tensor]:
    """Gradients by what tells the parameters apart, their shape and sum: several nodes may hold
    copies of one, whose gradients add up."""
    gradients: dict[tuple[float, ...], Tensor] = {}
    for parameter in modules.parameters():
        if parameter.grad is not None:
            key = (*parameter.shape, float(parameter.detach().double().sum()))
            gradients[key] = gradients.get(key, 0) + parameter.grad
    return gradients


def _same_gradients(theirs: dict[tuple[float, ...], Tensor], ours: dict[tuple[float, ...], Tensor]) -> bool:
    """Whether the nodes give every parameter that the network gives a gradient the same one, but for
    the order in which copies' gradients were added, which shows in those that are nothing but rounding."""
    largest = max((float(gradient.abs().max()) for gradient in theirs.values()), default=0.0)
    return 0 < largest < float("inf") and all(
        key in ours and torch.allclose(ours[key], gradient, rtol=1e-4, atol=1e-6 * largest)
        for key, gradient in theirs.items()
    )
