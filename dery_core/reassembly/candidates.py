"""`Candidates`: what every block, seam and head costs, so that any choice of blocks has its price."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dery_core.errors import DeryError
from dery_core.partition import Block, Partition
from dery_core.progress import ProgressFn, Ticker, silent
from dery_core.reassembly.head import head_cost
from dery_core.reassembly.seam import seam_cost
from dery_core.reassembly.style import SEAM_STYLES, SeamStyle
from dery_core.reassembly.terms import Choices, Terms
from dery_core.reassembly.value import HybridSpec
from dery_core.values import Value
from dery_core.zoo import Layout, LineGraph, Zoo, count_macs, zoo_line_graph
from dery_core.zoo.sketching import sketch


@dataclass(frozen=True)
class BlockFacts(Value):
    """A block with its figures: first and last node's names, cost, layouts at both ends."""

    block: Block
    first_name: str
    last_name: str
    params: int
    macs: int
    input: Layout
    output: Layout


@dataclass(frozen=True)
class Candidates(Value):
    """All hybrids of a partition: one block a stage, one block an equivalence set.

    `blocks[i][k]` is stage k of model i, `sets[i][k]` its equivalence set. A candidate is a
    choice: K model indices, one a stage. DeryError for a seam style whose grid flows on: there a
    block's MACs depend on all blocks before it, so a choice has no price that is a sum of terms.
    """

    models: tuple[str, ...]
    blocks: tuple[tuple[BlockFacts, ...], ...]
    sets: tuple[tuple[int, ...], ...]
    num_classes: int
    seam: SeamStyle = SEAM_STYLES["default"]

    def __post_init__(self) -> None:
        if self.seam.flows:
            raise DeryError(
                f"hybrids can't be searched with {self.seam} seams, for what a block costs would depend on "
                "all blocks before it: search with default or plain seams."
            )

    @property
    def k(self) -> int:
        return len(self.blocks[0])

    @cached_property
    def block_costs(self) -> NDArray[np.int64]:
        """(2, K, N): params and MACs of every block."""
        costs = [[(b.params, b.macs) for b in stages] for stages in self.blocks]
        return np.array(costs, np.int64).transpose(2, 1, 0)

    @cached_property
    def seam_costs(self) -> NDArray[np.int64]:
        """(2, K-1, N, N): params and MACs of the seam from model i's stage k to model j's stage k+1.

        0 on the diagonal unless the style has seams there too: a model's own blocks adjoin.
        """
        n = len(self.models)
        costs = np.zeros((2, self.k - 1, n, n), np.int64)
        for k in range(self.k - 1):
            for i, left in enumerate(self.blocks):
                for j, right in enumerate(self.blocks):
                    if i != j or self.seam.always:
                        costs[:, k, i, j] = seam_cost(left[k].output, right[k + 1].input, self.seam)
        return costs

    @cached_property
    def head_costs(self) -> NDArray[np.int64]:
        """(2, N): params and MACs of the head on every model's last block."""
        costs = [
            head_cost(stages[-1].output, self.num_classes, self.seam.head_norm) for stages in self.blocks
        ]
        return np.array(costs, np.int64).T

    @cached_property
    def set_of(self) -> NDArray[np.int64]:
        """(K, N): the equivalence set of every block."""
        return np.array(self.sets, np.int64).T

    @cached_property
    def params(self) -> Terms:
        """Parameters of a candidate, seams and head included."""
        return self._terms(0)

    @cached_property
    def macs(self) -> Terms:
        """MACs of a candidate, seams and head included."""
        return self._terms(1)

    def _terms(self, measure: int) -> Terms:
        block = self.block_costs[measure].copy()
        block[-1] += self.head_costs[measure]
        return Terms(block, self.seam_costs[measure])

    def costs(self, choices: Choices) -> NDArray[np.int64]:
        """Params and MACs of `choices` (S, K), seams and head included: (2, S)."""
        return np.stack([self.params.of(choices), self.macs.of(choices)])

    def cost(self, choice: Sequence[int]) -> tuple[int, int]:
        """Params and MACs of one candidate, seams and head included."""
        return self.params.at(choice), self.macs.at(choice)

    def allowed(self, choices: Choices, min_models: int = 1) -> NDArray[np.bool_]:
        """Which of `choices` (S, K) keep eq. 10 and take blocks of at least `min_models` models: (S,)."""
        sets = np.sort(self.set_of[np.arange(self.k), choices], axis=1)
        ordered = np.sort(choices, axis=1)
        sources = 1 + (np.diff(ordered, axis=1) != 0).sum(axis=1)
        return (sets == np.arange(self.k)).all(axis=1) & (sources >= min_models)

    def every(self) -> Choices:
        """All N^K choices, in lexicographic order: (N^K, K)."""
        n = len(self.models)
        return np.indices((n,) * self.k, np.int64).reshape(self.k, -1).T

    def facts(self, choice: Sequence[int]) -> tuple[BlockFacts, ...]:
        """The chosen blocks, one a stage."""
        return tuple(self.blocks[i][k] for k, i in enumerate(choice))

    def spec(self, zoo: Zoo, choice: Sequence[int], score: float | None = None) -> HybridSpec:
        """The hybrid of a choice, enough to build it anywhere."""
        params, macs = self.cost(choice)
        names = dict.fromkeys(self.models[i] for i in choice)
        return HybridSpec(
            blocks=tuple(facts.block for facts in self.facts(choice)),
            models=tuple(zoo.model(name) for name in names),
            num_classes=self.num_classes,
            params=params,
            macs=macs,
            seam=self.seam,
            score=score,
        )

    def covers(self, partition: Partition) -> bool:
        """Whether these are the candidates of `partition`."""
        blocks = tuple(tuple(facts.block for facts in stages) for stages in self.blocks)
        return (self.models, blocks, self.sets) == (partition.models, partition.blocks, partition.sets)


def block_facts(graph: LineGraph, block: Block) -> BlockFacts:
    """Figures of one block of a line graph; DeryError when the graph is shorter than the block."""
    if not 0 <= block.first_node <= block.last_node < len(graph.nodes):
        raise DeryError(
            f"{block.model} has {len(graph.nodes)} nodes, so it has no block from node "
            f"{block.first_node} to {block.last_node}: make the partition anew from this zoo."
        )
    nodes = graph.nodes[block.start : block.end]
    # Nodes of a few networks share modules: count what the block holds, not the sum over nodes.
    params = sum(p.numel() for p in nn.ModuleList(node.module for node in nodes).parameters())
    return BlockFacts(
        block,
        first_name=nodes[0].name,
        last_name=nodes[-1].name,
        params=params,
        macs=_macs(graph, block),
        input=graph.layouts[block.start],
        output=graph.layouts[block.end],
    )


def _macs(graph: LineGraph, block: Block) -> int:
    """What the block runs for one image. Where nodes share weights, each computes for itself what the
    network computes from them once, so the block is counted as it stands, on the meta device."""
    nodes = graph.nodes[block.start : block.end]
    own = sum(p.numel() for node in graph.nodes for p in node.module.parameters())
    if own == sum(node.params for node in graph.nodes):
        return sum(node.macs for node in nodes)
    stage = sketch(nn.Sequential(*(node.module for node in nodes)))[0].eval()
    return count_macs(stage, torch.empty(1, *graph.layouts[block.start].shape, device="meta"))


def block_named(graph: LineGraph, first: str, last: str = "") -> Block:
    """The block from node `first` to node `last` (the same without), by their names: module paths
    such as "layer1.0". DeryError, with close names, when the graph has no such node."""
    return Block(graph.name, _position(graph, first), _position(graph, last or first))


def _position(graph: LineGraph, name: str) -> int:
    names = [node.name for node in graph.nodes]
    if name in names:
        return names.index(name)
    listed = " or ".join(
        f"'{other}'" for other in difflib.get_close_matches(name, names, cutoff=0.4) or names[:3]
    )
    raise DeryError(f"{graph.name} has no node '{name}': did you mean {listed}?")


def candidates(
    zoo: Zoo,
    partition: Partition,
    num_classes: int,
    seam: SeamStyle = SEAM_STYLES["default"],
    report: ProgressFn = silent,
) -> Candidates:
    """Price every block of `partition` in one pass over the zoo's line graphs.

    DeryError when the partition was made with other weights of a model than the zoo's.
    """
    for name, weights in zip(partition.models, partition.weights, strict=True):
        if weights and weights != zoo.weights_key(name):
            raise DeryError(
                f"{name} had other weights when this partition was made than it has in the zoo now: "
                "make its similarity table and the partition anew."
            )
    tick = Ticker("Costs", len(partition.models), "models", report)
    blocks = []
    for name, stages in zip(partition.models, partition.blocks, strict=True):
        graph = zoo_line_graph(zoo, name)
        blocks.append(tuple(block_facts(graph, block) for block in stages))
        tick()
    return Candidates(partition.models, tuple(blocks), partition.sets, num_classes, seam)
