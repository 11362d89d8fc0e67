"""One measurement of benchmarks/similarity.py in a process of its own.

    python -m benchmarks.similarity_contenders CONTENDER JOB.json OUT

Writes OUT.json (CPU and wall seconds, memory) and OUT.npz (values over all cuts but the pictures).
"""

import argparse
import contextlib
import copy
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from dery_core.data import Probe, preprocess, probe_images
from dery_core.similarity import Comparison, cut_features, similarity_matrix, similarity_table
from dery_core.values import Value
from dery_core.workspace import Workspace
from dery_core.zoo import LineGraph, channel_means, load_zoo, zoo_line_graph

Floats = NDArray[np.float64]
Values = dict[str, Floats]


@dataclass(frozen=True)
class Job(Value):
    """Which networks of a zoo file are compared on which images, and in minibatches of how many."""

    zoo: str
    names: tuple[str, ...]
    probe: Probe
    batch: int
    memory: int
    workspace: str


class Meter:
    """Seconds and memory of a block of code."""

    def __enter__(self) -> "Meter":
        reset_peak()
        self.resident, self.cpu, self.wall = memory("VmRSS"), time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu, self.wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        self.peak = memory("VmHWM")

    def row(self) -> dict[str, float]:
        return {"cpu": self.cpu, "wall": self.wall, "growth": self.peak - self.resident, "peak": self.peak}


def reset_peak() -> None:
    """Begin the high-water mark of this process anew, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def memory(field: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(text.split(f"{field}:")[1].split()[0]) * 1024


def line_graphs(job: Job) -> list[LineGraph]:
    zoo = load_zoo(job.zoo)
    return [zoo_line_graph(zoo, name) for name in job.names]


def inputs(job: Job) -> Tensor:
    """The probe as the networks take it: all of them the same way, for a peer feeds both the same."""
    models = [load_zoo(job.zoo).model(name) for name in job.names]
    assert len({(model.input_size, model.mean, model.std) for model in models}) == 1
    return preprocess(probe_images(job.probe), models[0])


def in_memory(job: Job, comparison: Comparison) -> tuple[dict[str, Any], Values]:
    """From networks that are built, as the peers get them, to all values; nothing is kept on disk."""
    zoo, graphs, images = load_zoo(job.zoo), line_graphs(job), probe_images(job.probe)
    features = []
    with Meter() as meter:
        for name, graph in zip(job.names, graphs, strict=True):
            found = cut_features(graph, zoo.model(name), images, comparison=comparison, memory=job.memory)
            features += found[1:]
        values = similarity_matrix(features, comparison, memory=job.memory)
    return meter.row() | {"cuts": len(features)}, {"values": values}


def with_workspace(job: Job, comparison: Comparison) -> tuple[dict[str, Any], Values]:
    """As the app does: features and table are kept on disk. The networks are built before, and `build` says
    in what time."""
    zoo, workspace = load_zoo(job.zoo), Workspace.open(job.workspace)
    probe_images(job.probe)
    with Meter() as build:
        for name in job.names:
            zoo_line_graph(zoo, name)
    with Meter() as meter:
        table = similarity_table(zoo, job.names, job.probe, workspace, comparison, memory=job.memory)
    kept = np.flatnonzero(table.index["cut"].to_numpy() > 0)
    row = meter.row() | {"build": build.cpu, "cuts": len(table.index)}
    return row, {"values": table.values[np.ix_(kept, kept)]}


def table_only(job: Job, comparison: Comparison) -> tuple[dict[str, Any], Values]:
    """The table from features that a run before has kept; no network is built."""
    zoo, workspace = load_zoo(job.zoo), Workspace.open(job.workspace)
    for path in workspace.tables.glob("*"):
        path.unlink()
    probe_images(job.probe)
    with Meter() as meter:
        table = similarity_table(zoo, job.names, job.probe, workspace, comparison, memory=job.memory)
    return meter.row() | {"cuts": len(table.index)}, {}


def pairwise(
    job: Job, networks: list[nn.Sequential], compare: Callable[[nn.Module, nn.Module], Tensor]
) -> tuple[dict[str, Any], Values]:
    """Every two of the networks, and each with itself, by a peer, which compares pairs. The values of a
    network with itself are left out (NaN): they are no test of agreement."""
    counts = [len(graph.nodes) for graph in line_graphs(job)]
    ends = np.cumsum(counts)
    values = np.full((ends[-1], ends[-1]), np.nan)
    with Meter() as meter:
        for i, j in combinations_with_replacement(range(len(networks)), 2):
            # hooks on one module would answer for both sides
            other = networks[j] if i != j else copy.deepcopy(networks[i])
            found = compare(networks[i], other).double().numpy()
            rows, columns = (slice(ends[k] - counts[k], ends[k]) for k in (i, j))
            if i != j:
                values[rows, columns], values[columns, rows] = found, found.T
            for module in (*networks[i].modules(), *other.modules()):
                module._forward_hooks.clear()  # the peers leave theirs, and every pair would add some
    return meter.row(), {"values": values}


def torch_cka(job: Job, gradients: bool) -> tuple[dict[str, Any], Values]:
    """As its README says; without `gradients` inside `torch.no_grad()`, which the README doesn't say."""
    from torch_cka import CKA  # type: ignore[import-not-found]

    loader = DataLoader(TensorDataset(inputs(job)), batch_size=job.batch, shuffle=False)
    networks = [nn.Sequential(*(node.module for node in graph.nodes)).eval() for graph in line_graphs(job)]
    refused = 0

    def compare(first: nn.Module, second: nn.Module) -> Tensor:
        nonlocal refused
        layers = [[name for name, _ in network.named_children()] for network in (first, second)]
        cka = CKA(first, second, "first", "second", *layers, device="cpu")
        with torch.set_grad_enabled(gradients):
            try:
                cka.compare(loader, loader)
            except AssertionError:  # its last line, where some value of the pair is NaN
                refused += 1
        found: Tensor = cka.hsic_matrix
        return found.detach()

    row, values = pairwise(job, networks, compare)
    return row | {"refused": refused}, values


class Rows(nn.Module):
    """Passes on what it gets; its part `rows` sees it as one batch of images (1, n, d), as ckatorch wants."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        self.rows(x.flatten(1)[None])
        return x


def ckatorch(job: Job) -> tuple[dict[str, Any], Values]:
    """As its README says, in one epoch instead of ten. It takes (batch, n, d) alone, so every cut is
    tapped by a module that shows a batch of images in that form."""
    from ckatorch import CKA  # type: ignore[import-not-found]

    loader = DataLoader(TensorDataset(inputs(job)), batch_size=job.batch, shuffle=False)
    networks = [
        nn.Sequential(*(module for node in graph.nodes for module in (node.module, Rows()))).eval()
        for graph in line_graphs(job)
    ]

    def compare(first: nn.Module, second: nn.Module) -> Tensor:
        layers = [
            [n for n, _ in network.named_modules() if n.endswith(".rows")] for network in (first, second)
        ]
        found: Tensor = CKA(first, second, *layers, "first", "second")(loader, epochs=1)
        return found

    return pairwise(job, networks, compare)


def ckatorch_plain(job: Job) -> tuple[dict[str, Any], Values]:
    """What ckatorch says of the first two networks as they are."""
    from ckatorch import CKA

    loader = DataLoader(TensorDataset(inputs(job)), batch_size=job.batch, shuffle=False)
    first, second = (nn.Sequential(*(node.module for node in g.nodes)).eval() for g in line_graphs(job)[:2])
    layers = [[name for name, _ in network.named_children()] for network in (first, second)]
    try:
        CKA(first, second, *layers, "first", "second")(loader, epochs=1)
    except Exception as error:  # whatever it raises is the measurement
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0]}"}, {}
    return {"error": ""}, {}


def oracle(job: Job) -> tuple[dict[str, Any], Values]:
    """In float64 throughout, from the same float32 activations: `unbiased` of whole activations, summed over
    the minibatches; `last`, of the last minibatch alone; `pooled`, the biased one of pooled features."""
    graphs = line_graphs(job)
    total: Floats | float = 0.0
    last = np.zeros(0)
    pooled: list[list[Floats]] = []
    with torch.no_grad(), Meter() as meter:
        for batch in inputs(job).split(job.batch):
            outputs = [each for graph in graphs for each in cut_outputs(graph, batch)]
            last = hsic([whole for whole, _ in outputs])
            total = total + last
            pooled.append([means for _, means in outputs])
    features = [np.concatenate(parts) for parts in zip(*pooled, strict=True)]
    grams = np.stack([centred_gram(x).ravel() for x in features])
    values = {
        "unbiased": normalised(np.asarray(total)),
        "last": normalised(last),
        "pooled": normalised(grams @ grams.T),
    }
    return meter.row(), values


def cut_outputs(graph: LineGraph, x: Tensor) -> Iterator[tuple[Floats, Floats]]:
    """At every cut, the Gram matrix of the whole activations and the pooled features."""
    for node, layout in zip(graph.nodes, graph.layouts[1:], strict=True):
        x = node.module(x)
        yield centred_gram(x.flatten(1).numpy()), channel_means(x.float(), layout).numpy().astype(np.float64)


def centred_gram(x: NDArray[Any]) -> Floats:
    exact = x.astype(np.float64)
    exact -= exact.mean(0)
    gram: Floats = exact @ exact.T
    return gram


def hsic(grams: Sequence[Floats]) -> Floats:
    """Unbiased HSIC (M, M) of all pairs of Gram matrices (n, n): Nguyen et al. 2021, eq. 3."""
    stack = np.stack(grams)
    n = stack.shape[1]
    stack[:, range(n), range(n)] = 0
    flat, rows, sums = stack.reshape(len(stack), -1), stack.sum(2), stack.sum((1, 2))
    middle = np.outer(sums, sums) / ((n - 1) * (n - 2))
    found: Floats = (flat @ flat.T + middle - 2 / (n - 2) * rows @ rows.T) / (n * (n - 3))
    return found


def normalised(products: Floats) -> Floats:
    norms = np.sqrt(np.diagonal(products))
    return products / norms / norms[:, None]


def like_with_like(job: Job) -> Comparison:
    return Comparison(unbiased=True, pooling="flatten", batch=job.batch)


CONTENDERS: dict[str, Callable[[Job], tuple[dict[str, Any], Values]]] = {
    "ours": lambda job: in_memory(job, like_with_like(job)),
    "ours-kept": lambda job: with_workspace(job, like_with_like(job)),
    "ours-default": lambda job: with_workspace(job, Comparison()),
    "table-only": lambda job: table_only(job, Comparison()),
    "torch_cka": partial(torch_cka, gradients=True),
    "torch_cka-no_grad": partial(torch_cka, gradients=False),
    "ckatorch": ckatorch,
    "ckatorch-plain": ckatorch_plain,
    "oracle": oracle,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("job", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    row, values = CONTENDERS[args.contender](Job.load(args.job))
    args.out.with_suffix(".json").write_text(json.dumps(row))
    np.savez(args.out.with_suffix(".npz"), **values)  # type: ignore[arg-type]
    return 0


if __name__ == "__main__":
    sys.exit(main())
