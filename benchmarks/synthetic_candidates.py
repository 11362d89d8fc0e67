"""Candidates of many networks for how the search scales: real costs and seams, a made-up score.

The networks are timm's, drawn by a seed from the catalogue, one a family as long as there are
families, each really cut into K blocks of about as many MACs on the meta device: params, MACs and
layouts are what the product would find, nothing is downloaded or run. The score is random, with
terms for blocks and for pairs of blocks; or it is the params or the MACs themselves, which is the
hardest a budget can be: many hybrids come close to a limit, and few bounds tell them apart.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray

from dery_core.partition import Block
from dery_core.reassembly import BlockFacts, Budget, Candidates
from dery_core.reassembly.candidates import block_facts
from dery_core.reassembly.terms import Terms
from dery_core.search import LinearScore
from dery_core.zoo import LineGraph, line_graph

CATALOGUE = Path(__file__).resolve().parents[1] / "assets" / "timm_catalogue.csv"
SIZE = (3, 224, 224)
CLASSES = 100
QUANTUM = 1e-4

_PARAMS, _MACS, _NODES = (2e6, 9e7), (2e8, 2e10), 12
_JITTER = 0.2


def networks(count: int, seed: int = 0) -> tuple[LineGraph, ...]:
    """So many of timm's networks of 2 to 90 M params and 0.2 to 20 G MACs, cut on the meta device.

    The first of a longer list are the shorter list.
    """
    return tuple(_cut(name) for name in _drawn(count, seed))


def _drawn(count: int, seed: int) -> list[str]:
    with CATALOGUE.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if _usable(row)]
    order = np.random.default_rng(seed).permutation(len(rows))
    seen: dict[str, int] = {}
    turns = []
    for row in (rows[i] for i in order):
        turn = seen[row["family"]] = seen.get(row["family"], -1) + 1
        turns.append((turn, row["architecture"]))
    return [name for _, name in sorted(turns, key=lambda pair: pair[0])][:count]


def _usable(row: dict[str, str]) -> bool:
    return (
        row["input_size"] == "x".join(map(str, SIZE))
        and not row["reason"]
        and row["streams"] == "0"
        and int(row["nodes"]) >= _NODES
        and _PARAMS[0] <= int(row["params"]) <= _PARAMS[1]
        and _MACS[0] <= int(row["macs"]) <= _MACS[1]
    )


def _cut(name: str) -> LineGraph:
    with torch.device("meta"):
        model = timm.create_model(name).eval()
    return line_graph(model, SIZE, name, check=False)


def synthetic_candidates(graphs: Sequence[LineGraph], k: int, seed: int = 0) -> Candidates:
    """All hybrids of `graphs` in K stages, stage k being set k."""
    rng = np.random.default_rng(seed)
    return Candidates(
        tuple(graph.name for graph in graphs),
        tuple(_blocks(graph, k, rng) for graph in graphs),
        (tuple(range(k)),) * len(graphs),
        CLASSES,
    )


def _blocks(graph: LineGraph, k: int, rng: np.random.Generator) -> tuple[BlockFacts, ...]:
    """K blocks of about as many MACs; where exactly a network is cut is chance."""
    done = np.array(graph.cumulative("macs"), float)
    wanted = (np.arange(1, k) + rng.uniform(-_JITTER, _JITTER, k - 1)) / k * done[-1]
    cuts = [0]
    for stage, share in enumerate(wanted):
        low, high = cuts[-1] + 1, len(graph.nodes) - (k - 1 - stage)
        cuts.append(low + int(np.abs(done[low : high + 1] - share).argmin()))
    cuts.append(len(graph.nodes))
    return tuple(
        block_facts(graph, Block(graph.name, a, b - 1)) for a, b in zip(cuts, cuts[1:], strict=False)
    )


def synthetic_score(candidates: Candidates, seed: int = 0, pairs: float = 0.4) -> LinearScore:
    """A score that grows with a block's MACs, yet more by chance; a seam costs some of it, and how
    two blocks agree is chance of weight `pairs`."""
    rng = np.random.default_rng(seed)
    size = np.log(candidates.block_costs[1] + 1.0)
    size = (size - size.mean(axis=1, keepdims=True)) / size.std(axis=1, keepdims=True)
    block = 10 * (0.6 * size + 0.8 * rng.normal(size=size.shape))
    n = len(candidates.models)
    agreed = -4 + 10 * pairs * rng.normal(size=(candidates.k - 1, n, n))
    return linear_score(block / QUANTUM, agreed * (1 - np.eye(n)) / QUANTUM, QUANTUM, 300.0)


def cost_score(terms: Terms) -> LinearScore:
    """The score that a cost is: more is better."""
    return linear_score(terms.block, terms.pair, 1.0, 0.0)


def linear_score(block: NDArray, pair: NDArray, quantum: float, intercept: float) -> LinearScore:
    """The score of terms in quanta."""
    rounded = [np.rint(terms) * quantum for terms in (block, pair)]
    return LinearScore(
        intercept,
        tuple(tuple(row) for row in rounded[0].tolist()),
        tuple(tuple(tuple(row) for row in stage) for stage in rounded[1].tolist()),
        quantum,
    )


def dragged(low: tuple[int, int], high: tuple[int, int], steps: int, seed: int = 0) -> Iterator[Budget]:
    """Budgets as two sliders go: one is dragged from end to end, then the other, each time from where
    the one that rests was left.

    `low` and `high` are params and MACs at the sliders' ends; an end at the top is no limit. There are
    more steps at the tight end, where few hybrids fit or none.
    """
    rng = np.random.default_rng(seed)
    rest = 1.0
    for drag in range(4):
        moving, down = drag % 2, drag < 2
        for step in np.linspace(1, 0, steps // 4) if down else np.linspace(0, 1, steps // 4):
            at = [rest, rest]
            at[moving] = float(np.clip(step + rng.uniform(-0.01, 0.01), 0, 1)) ** 2
            limits = [
                None if share >= 1 else round(a + share * (b - a))
                for share, a, b in zip(at, low, high, strict=True)
            ]
            yield Budget(*limits)
        rest = float(10 ** rng.uniform(-2, -0.5))
