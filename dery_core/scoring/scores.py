"""`Scores`: NASWOT measured on a sample of candidates, kept on disk, and a linear model of it."""

import dataclasses
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from dery_core.data import Probe, preprocess, probe_images
from dery_core.errors import DeryError
from dery_core.files import digest
from dery_core.partition import Partition
from dery_core.progress import ProgressFn, Ticker, silent
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.hybrid import build_seam
from dery_core.reassembly.style import earlier_norm
from dery_core.reassembly.value import adjoins
from dery_core.scoring.naswot import Codes, Naswot, mean_score, run_with_codes
from dery_core.search.linear import LinearScore, fit_linear
from dery_core.values import Value
from dery_core.workspace import Workspace
from dery_core.zoo import LineGraph, Zoo, zoo_line_graph

BATCH_SIZE = 32
SCORE_IMAGES = 2 * BATCH_SIZE
"""Probe images that scores are measured on by default: two batches."""

_METHOD = "naswot 1"
_SAVE_EVERY = 5.0


@dataclass(frozen=True)
class Measured(Value):
    """NASWOT of one candidate. `score` is None when two probe images have the same codes.

    `units` is the number of activation units an image passes: the score grows with it.
    """

    choice: tuple[int, ...]
    score: float | None
    units: int


@dataclass(frozen=True)
class Scores(Value):
    """Measured candidates and the linear model fitted to them.

    `seed` drew the sample and the seams' weights; `probe` the images, in batches of 32.
    `key` names the file in the workspace that keeps the measurements.
    """

    key: str
    probe: Probe
    seed: int
    measured: tuple[Measured, ...]
    linear: LinearScore

    @cached_property
    def known(self) -> dict[tuple[int, ...], Measured]:
        return {each.choice: each for each in self.measured}

    def score(self, choice: Sequence[int]) -> float | None:
        """Measured score of a candidate (-inf when it can't tell two images apart), None if unknown."""
        found = self.known.get(tuple(choice))
        if found is None:
            return None
        return float("-inf") if found.score is None else found.score


@dataclass(frozen=True)
class _Kept(Value):
    """The file of measurements: what an interrupted scoring has finished."""

    measured: tuple[Measured, ...] = ()


def score_candidates(
    zoo: Zoo,
    partition: Partition,
    candidates: Candidates,
    probe: Probe,
    workspace: Workspace,
    sample: int = 256,
    seed: int = 0,
    report: ProgressFn = silent,
) -> Scores:
    """Measure NASWOT on a sample of candidates and fit the linear model that the program maximises.

    All candidates when there are at most `sample`; else every model's own chain of blocks and a
    seeded draw in which every block appears equally often. What was measured stays in the workspace,
    so an interrupted scoring goes on where it stopped.
    """
    if not candidates.covers(partition):
        raise DeryError("these candidates belong to another partition: price this partition's first.")
    key = _key(zoo, candidates, probe, seed)
    wanted = sampled(candidates, sample, seed)
    known = _measure(zoo, candidates, probe, workspace, key, seed, wanted, report)
    values = np.array([_value(known[choice]) for choice in wanted])
    linear = fit_linear(np.array(wanted, np.int64), values, len(candidates.models), seed)
    return Scores(key, probe, seed, _ordered(known), linear)


def measure(
    zoo: Zoo,
    candidates: Candidates,
    scores: Scores,
    choices: Iterable[Sequence[int]],
    workspace: Workspace,
    report: ProgressFn = silent,
) -> Scores:
    """`scores` with the measured score of `choices` added and kept; its linear model stays the same."""
    wanted = [tuple(choice) for choice in choices]
    known = _measure(zoo, candidates, scores.probe, workspace, scores.key, scores.seed, wanted, report)
    return dataclasses.replace(scores, measured=_ordered(known | scores.known))


def sampled(candidates: Candidates, sample: int, seed: int) -> list[tuple[int, ...]]:
    """The choices to measure, sorted: all when at most `sample`, else own chains and a balanced draw."""
    n, k = len(candidates.models), candidates.k
    if n**k <= max(sample, n):
        choices = candidates.every()
        return [tuple(choice) for choice in choices[candidates.allowed(choices)].tolist()]
    generator = np.random.default_rng(seed)
    drawn = dict.fromkeys((i,) * k for i in range(n))
    # A round deals every model once to every stage; a zoo with few allowed choices may run dry.
    for _ in range(20 * sample):
        if len(drawn) >= sample:
            break
        deal = np.stack([generator.permutation(n) for _ in range(k)], axis=1)
        drawn |= dict.fromkeys(map(tuple, deal[candidates.allowed(deal)].tolist()))
    return sorted(list(drawn)[: max(sample, n)])


class _Trie:
    """Scores candidates in sorted order; what two neighbours' first stages share runs once."""

    def __init__(self, zoo: Zoo, candidates: Candidates, probe: Probe, seed: int) -> None:
        self.zoo, self.candidates, self.seed = zoo, candidates, seed
        self.images = probe_images(probe).split(BATCH_SIZE)
        self.graphs: dict[int, LineGraph] = {}
        self.prefix: tuple[int, ...] = ()
        self.stack: list[list[tuple[Tensor, Codes]]] = []

    def score(self, choice: tuple[int, ...]) -> Naswot:
        shared = 0
        while shared < len(self.stack) and choice[shared] == self.prefix[shared]:
            shared += 1
        del self.stack[shared:]
        for k in range(shared, len(choice)):
            self.stack.append(self._stage(choice, k))
        self.prefix = choice
        return mean_score(codes for _, codes in self.stack[-1])

    def _stage(self, choice: tuple[int, ...], k: int) -> list[tuple[Tensor, Codes]]:
        """Per batch: the activation after stage k and all codes up to it."""
        facts = self.candidates.blocks[choice[k]][k]
        block = facts.block
        nodes = self._graph(choice[k]).nodes[block.start : block.end]
        stage = nn.Sequential(*(node.module for node in nodes)).eval()
        if k == 0:
            model = self.zoo.model(block.model)
            return [run_with_codes(stage, preprocess(images, model)) for images in self.images]
        left = self.candidates.blocks[choice[k - 1]][k - 1]
        if self.candidates.seam.always or not adjoins(left.block, block):
            seam = build_seam(k - 1, left, facts, self.candidates.seam, self.seed)
            stage.insert(0, seam.eval())
        out = []
        for x, codes in self.stack[k - 1]:
            # A copy, as the block may begin with an in-place operation.
            after, more = run_with_codes(stage, x.clone())
            out.append((after, codes + more))
        return out

    def _graph(self, i: int) -> LineGraph:
        if i not in self.graphs:
            self.graphs[i] = zoo_line_graph(self.zoo, self.candidates.models[i])
        return self.graphs[i]


def _measure(
    zoo: Zoo,
    candidates: Candidates,
    probe: Probe,
    workspace: Workspace,
    key: str,
    seed: int,
    choices: Sequence[tuple[int, ...]],
    report: ProgressFn,
) -> dict[tuple[int, ...], Measured]:
    """Everything the workspace knows, after measuring those of `choices` that were missing."""
    path = workspace.scores / f"{key}.json"
    known = {each.choice: each for each in _Kept.load(path).measured} if path.exists() else {}
    todo = sorted(set(choices) - set(known))
    if not todo:
        return known
    trie = _Trie(zoo, candidates, probe, seed)
    tick = Ticker("NASWOT", len(todo), "hybrids", report)
    saved = time.monotonic()
    try:
        for choice in todo:
            known[choice] = _measured(choice, trie.score(choice))
            if time.monotonic() - saved > _SAVE_EVERY:
                _save(path, known)
                saved = time.monotonic()
            tick()
    finally:
        _save(path, known)
    return known


def _save(path: Path, known: dict[tuple[int, ...], Measured]) -> None:
    _Kept(_ordered(known)).save(path)


def _measured(choice: tuple[int, ...], found: Naswot) -> Measured:
    return Measured(choice, found.score if np.isfinite(found.score) else None, found.units)


def _ordered(known: dict[tuple[int, ...], Measured]) -> tuple[Measured, ...]:
    return tuple(known[choice] for choice in sorted(known))


def _value(measured: Measured) -> float:
    return float("-inf") if measured.score is None else measured.score


def _key(zoo: Zoo, candidates: Candidates, probe: Probe, seed: int) -> str:
    """Depends on all that a score depends on: weights, preprocessing, blocks, probe, seams, method."""
    models = [zoo.model(name) for name in candidates.models]
    inputs = [(m.architecture, m.model_kwargs, m.input_size, m.mean, m.std) for m in models]
    weights = [zoo.weights_key(name) for name in candidates.models]
    blocks = [_without_new(facts.to_dict()) for stages in candidates.blocks for facts in stages]
    norm = earlier_norm(candidates.seam)
    settings = (candidates.seam.to_dict() if norm is None else norm, seed, probe.to_dict(), BATCH_SIZE)
    return digest(_METHOD, inputs, weights, blocks, *settings)


def _without_new(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts without what layouts say only in newer versions, where it says nothing: keys of scores
    already kept stay."""
    old = ("kind", "channels", "height", "width", "prefix")
    for end in ("input", "output"):
        facts[end] = {key: value for key, value in facts[end].items() if key in old or value}
    return facts
