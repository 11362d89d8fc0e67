"""`Scores`: a score measured on candidates, kept on disk, and what the search maximises."""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dery_core.data import Probe, probe_batch
from dery_core.errors import DeryError
from dery_core.files import digest
from dery_core.modules import cpu_threads
from dery_core.partition import Partition
from dery_core.progress import Progress, ProgressFn, Ticker, silent
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.terms import Terms
from dery_core.scoring.kept import Choice, Kept
from dery_core.scoring.proposals import allowed_choices, allowed_count, propose, surrogate
from dery_core.scoring.registry import DEFAULT_SCORE, FAMILIES, Family, score_named
from dery_core.scoring.trie import Measurer
from dery_core.search.finder import MeasuredScore, Objective
from dery_core.search.linear import LinearScore
from dery_core.values import Value
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo

SAMPLE = 256
"""Candidates that are measured by default, where there are too many to measure all."""

THREADS = 1
"""CPU threads that all scores are measured on, whoever asks: with others their last bits differ."""


@dataclass(frozen=True)
class Measured(Value):
    """A candidate's score; None where it can't be scored, as when NASWOT finds two images alike."""

    choice: tuple[int, ...]
    score: float | None


@dataclass(frozen=True)
class Scores(Value):
    """A score of the candidates.

    `name` is the score's in `SCORES`. `seed` drew the sample and the seams' weights; `probe` tells the
    images. `measured` are the candidates whose score is known, sorted: with `complete` all there are, else
    the `samples` that `linear` rests on, and what was measured besides. Of params and MACs `linear` is
    exact, and nothing was measured. `key` names the file in the workspace that keeps the measurements.
    """

    key: str
    name: str
    probe: Probe
    seed: int
    measured: tuple[Measured, ...]
    linear: LinearScore
    complete: bool = False
    samples: int = 0

    @cached_property
    def known(self) -> dict[tuple[int, ...], Measured]:
        return {each.choice: each for each in self.measured}

    @property
    def exact(self) -> bool:
        """Whether `linear` is the score itself, not a model of it."""
        return score_named(self.name).family == "cost"

    @cached_property
    def objective(self) -> Objective:
        """What a search maximises: the score itself where all of it is known, else the linear model."""
        if self.exact or not self.complete:
            return self.linear
        values = np.array([_value(each.score) for each in self.measured])
        return MeasuredScore(np.array([each.choice for each in self.measured], np.int64), values)

    def score(self, choice: Sequence[int]) -> float | None:
        """A candidate's own score (-inf when it can't be scored), None if it wasn't measured."""
        if self.exact:
            return self.linear.predict(choice)
        found = self.known.get(tuple(choice))
        return None if found is None else _value(found.score)


def score_candidates(
    zoo: Zoo,
    partition: Partition,
    candidates: Candidates,
    probe: Probe,
    workspace: Workspace,
    score: str = DEFAULT_SCORE,
    sample: int = SAMPLE,
    seed: int = 0,
    report: ProgressFn = silent,
    exhaustive: int | None = None,
) -> Scores:
    """Measure a score on candidates, and fit the linear model of it.

    All candidates where there are at most `exhaustive` (by default a number of the score's family, see
    `FAMILIES`) or `sample`; else `sample` of them, see `propose`. What was measured stays in the
    workspace, so an interrupted scoring goes on where it stopped.
    """
    if not candidates.covers(partition):
        raise DeryError("these candidates belong to another partition: price this partition's first.")
    if score_named(score).family == "cost":
        return _cost(candidates, score, probe, seed)
    family = FAMILIES[score_named(score).family]
    key = _key(family, zoo, candidates, probe, seed)
    count = allowed_count(candidates)
    whole = count <= max(sample, family.complete if exhaustive is None else exhaustive)
    total = count if whole else sample
    measuring = _Measuring(zoo, candidates, probe, seed, workspace, key, score, total, report)
    if whole:
        choices = allowed_choices(candidates)
        values = measuring(choices)
    else:
        found = propose(candidates, measuring, sample, seed)
        choices, values = sorted(found), [found[choice] for choice in sorted(found)]
    linear = surrogate(candidates, choices, values, seed)
    return Scores(key, score, probe, seed, measuring.measured, linear, whole, len(choices))


def kept_scores(
    zoo: Zoo,
    partition: Partition,
    candidates: Candidates,
    probe: Probe,
    workspace: Workspace,
    score: str = DEFAULT_SCORE,
    sample: int = SAMPLE,
    seed: int = 0,
    exhaustive: int | None = None,
) -> Scores | None:
    """What `score_candidates` gives, where the workspace has all that it would measure; else None."""
    try:
        return score_candidates(
            zoo, partition, candidates, probe, workspace, score, sample, seed, _refuse, exhaustive
        )
    except _Unmeasured:
        return None


def measure(
    zoo: Zoo,
    candidates: Candidates,
    scores: Scores,
    choices: Iterable[Sequence[int]],
    workspace: Workspace,
    report: ProgressFn = silent,
) -> Scores:
    """`scores` with the measured score of `choices` added and kept; its linear model stays the same."""
    if scores.exact:
        return scores
    wanted = [tuple(choice) for choice in choices]
    origin = (scores.probe, scores.seed, workspace, scores.key, scores.name)
    measuring = _Measuring(zoo, candidates, *origin, len(wanted), report)
    measuring(wanted)
    known = {each.choice: each for each in measuring.measured} | scores.known
    return dataclasses.replace(scores, measured=tuple(known[choice] for choice in sorted(known)))


class _Unmeasured(Exception):
    """Something would have to be measured."""


def _refuse(progress: Progress) -> None:
    raise _Unmeasured


class _Measuring:
    """Measures what the workspace doesn't know yet, and tells how far it is: of `total`, less what was
    known."""

    def __init__(
        self,
        zoo: Zoo,
        candidates: Candidates,
        probe: Probe,
        seed: int,
        workspace: Workspace,
        key: str,
        score: str,
        total: int,
        report: ProgressFn,
    ) -> None:
        self._score, self._left, self._report = score_named(score), total, report
        self._origin = (zoo, candidates, probe, seed)
        self._kept = Kept(workspace.scores / f"{key}.json")

    def __call__(self, choices: Sequence[Choice]) -> list[float]:
        """The score of each, -inf for those that can't be scored."""
        todo = self._kept.missing(choices)
        self._left -= len(choices) - len(todo)
        if todo:
            self._tick.total = self._left
            with cpu_threads(THREADS):
                self._kept.measure(todo, self._measurer, self._tick)
        return [_value(self._kept[choice][self._score.name]) for choice in choices]

    @property
    def measured(self) -> tuple[Measured, ...]:
        """All that is known."""
        return tuple(Measured(choice, value) for choice, value in self._kept.column(self._score.name))

    @cached_property
    def _tick(self) -> Ticker:
        return Ticker(self._score.title, self._left, "hybrids", self._report)

    @cached_property
    def _measurer(self) -> Measurer:
        return FAMILIES[self._score.family].measurer(*self._origin)


def _cost(candidates: Candidates, score: str, probe: Probe, seed: int) -> Scores:
    terms: Terms = getattr(candidates, score)
    linear = LinearScore(0.0, _nested(terms.block), _nested(terms.pair), quantum=1.0)
    return Scores("", score, probe, seed, (), linear, complete=True)


def _nested(array: NDArray[np.int64]) -> tuple:
    return tuple(_nested(part) if part.ndim else float(part) for part in array)


def _value(score: float | None) -> float:
    return float("-inf") if score is None else score


def _key(family: Family, zoo: Zoo, candidates: Candidates, probe: Probe, seed: int) -> str:
    """Depends on all that a score depends on: weights, preprocessing, blocks, probe, seams, method."""
    models = [zoo.model(name) for name in candidates.models]
    inputs = [(m.architecture, m.model_kwargs, m.input_size, m.mean, m.std) for m in models]
    weights = [zoo.weights_key(name) for name in candidates.models]
    batch = probe_batch(probe)
    # A task in a folder may change under its name.
    pictures = hashlib.sha256(batch.images.numpy().tobytes() + batch.labels.numpy().tobytes()).hexdigest()
    found = digest(family.version, inputs, weights, candidates.to_dict(), seed, probe.to_dict(), pictures)
    return f"{family.name}-{found}"
