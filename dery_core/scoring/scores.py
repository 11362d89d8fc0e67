"""`Scores`: a score measured on candidates, kept on disk, and what the search maximises."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dery_core.data import Probe
from dery_core.errors import DeryError
from dery_core.files import digest
from dery_core.partition import Partition
from dery_core.progress import ProgressFn, Ticker, silent
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.terms import Terms
from dery_core.scoring.kept import Choice, Kept
from dery_core.scoring.registry import DEFAULT_SCORE, FAMILIES, Family, score_named
from dery_core.search.linear import LinearScore, fit_linear
from dery_core.values import Value
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo

if TYPE_CHECKING:
    from dery_core.search import Objective

# More make the fit slow, and hardly better.
_FITTED = 1024


@dataclass(frozen=True)
class Measured(Value):
    """A candidate's score; None where it can't be scored, as when NASWOT finds two images alike."""

    choice: tuple[int, ...]
    score: float | None


@dataclass(frozen=True)
class Scores(Value):
    """A score of the candidates.

    `name` is the score's in `SCORES`. `seed` drew the sample and the seams' weights; `probe` tells the
    images. `measured` are the candidates that were measured: with `complete` all there are. `linear` was
    fitted to them; of params and MACs it is exact, and nothing was measured. `key` names the file in
    the workspace that keeps the measurements.
    """

    key: str
    name: str
    probe: Probe
    seed: int
    measured: tuple[Measured, ...]
    linear: LinearScore
    complete: bool = False

    @cached_property
    def known(self) -> dict[tuple[int, ...], Measured]:
        return {each.choice: each for each in self.measured}

    @property
    def samples(self) -> int:
        """How many candidates were measured."""
        return len(self.measured)

    @cached_property
    def objective(self) -> "Objective":
        """What a search maximises: the score itself where all of it is known, else the linear model."""
        if self.exact or not self.complete:
            return self.linear
        from dery_core.search import MeasuredScore

        values = np.array([_value(each.score) for each in self.measured])
        return MeasuredScore(np.array([each.choice for each in self.measured], np.int64), values)

    @property
    def exact(self) -> bool:
        """Whether `linear` is the score itself, not a model of it."""
        return score_named(self.name).family == "cost"

    def score(self, choice: Sequence[int]) -> float | None:
        """A candidate's own score (-inf when it can't be scored), None if it wasn't measured."""
        if self.exact:
            return self.linear.predict(choice)
        found = self.known.get(tuple(choice))
        if found is None:
            return None
        return float("-inf") if found.score is None else found.score


def score_candidates(
    zoo: Zoo,
    partition: Partition,
    candidates: Candidates,
    probe: Probe,
    workspace: Workspace,
    score: str = DEFAULT_SCORE,
    sample: int = 256,
    seed: int = 0,
    report: ProgressFn = silent,
    exhaustive: int | None = None,
) -> Scores:
    """Measure a score on candidates, and fit the linear model of it.

    All candidates where there are at most `exhaustive` (by default a number of the score's family, see
    `FAMILIES`) or `sample`; else `sample` of them. What was measured stays in the workspace, so an
    interrupted scoring goes on where it stopped.
    """
    return _scores(
        zoo, partition, candidates, probe, workspace, score, sample, seed, report, exhaustive, begin=True
    )


def kept_scores(
    zoo: Zoo,
    partition: Partition,
    candidates: Candidates,
    probe: Probe,
    workspace: Workspace,
    score: str = DEFAULT_SCORE,
    sample: int = 256,
    seed: int = 0,
    exhaustive: int | None = None,
) -> Scores | None:
    """What `score_candidates` gives, where the workspace has all that it would measure; else None."""
    arguments = (zoo, partition, candidates, probe, workspace, score, sample, seed, silent, exhaustive)
    try:
        return _scores(*arguments, begin=False)
    except _Unmeasured:
        return None


class _Unmeasured(Exception):
    """Something would have to be measured."""


def _scores(
    zoo: Zoo,
    partition: Partition,
    candidates: Candidates,
    probe: Probe,
    workspace: Workspace,
    score: str,
    sample: int,
    seed: int,
    report: ProgressFn,
    exhaustive: int | None,
    begin: bool,
) -> Scores:
    """See `score_candidates`; _Unmeasured unless there is nothing to measure or it may `begin`."""
    if not candidates.covers(partition):
        raise DeryError("these candidates belong to another partition: price this partition's first.")
    named = score_named(score)
    if named.family == "cost":
        return _cost(candidates, score, probe, seed)
    family = FAMILIES[named.family]
    key = _key(family, zoo, candidates, probe, seed)
    kept = Kept(workspace.scores / f"{key}.json")
    most = max(sample, family.complete if exhaustive is None else exhaustive)
    whole = allowed_count(candidates) <= most
    wanted = allowed_choices(candidates) if whole else sampled(candidates, sample, seed)
    if not begin and kept.missing(wanted):
        raise _Unmeasured
    _measure(kept, family, named.title, zoo, candidates, probe, seed, wanted, report)
    values = np.array([_value(kept[choice][score]) for choice in wanted])
    linear = _fitted(wanted, values, candidates, seed)
    return Scores(key, score, probe, seed, _column(kept, score), linear, whole)


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
    named = score_named(scores.name)
    kept = Kept(workspace.scores / f"{scores.key}.json")
    wanted = [tuple(choice) for choice in choices]
    family = FAMILIES[named.family]
    _measure(kept, family, named.title, zoo, candidates, scores.probe, scores.seed, wanted, report)
    known = {each.choice: each for each in _column(kept, scores.name)} | scores.known
    return dataclasses.replace(scores, measured=tuple(known[choice] for choice in sorted(known)))


def sampled(candidates: Candidates, sample: int, seed: int) -> list[Choice]:
    """`sample` choices, sorted: every model's own chain of blocks and a seeded draw in which every block
    appears equally often."""
    n, k = len(candidates.models), candidates.k
    generator = np.random.default_rng(seed)
    drawn = dict.fromkeys((i,) * k for i in range(n))
    # A round deals every model once to every stage; a zoo with few allowed choices may run dry.
    for _ in range(20 * sample):
        if len(drawn) >= sample:
            break
        deal = np.stack([generator.permutation(n) for _ in range(k)], axis=1)
        drawn |= dict.fromkeys(map(tuple, deal[candidates.allowed(deal)].tolist()))
    return sorted(list(drawn)[: max(sample, n)])


def allowed_count(candidates: Candidates) -> int:
    """How many candidates take one block of every stage and of every set."""
    return sum(
        int(np.prod([len(models) for models in stages], dtype=object)) for stages in _by_sets(candidates)
    )


def allowed_choices(candidates: Candidates) -> list[Choice]:
    """All candidates, sorted."""
    return sorted(itertools.chain.from_iterable(itertools.product(*s) for s in _by_sets(candidates)))


def _by_sets(candidates: Candidates) -> list[list[list[int]]]:
    """For every order of the sets that some candidate has: each stage's models."""
    k = candidates.k
    models = [[np.flatnonzero(row == which).tolist() for which in range(k)] for row in candidates.set_of]
    orders = ([models[stage][s] for stage, s in enumerate(o)] for o in itertools.permutations(range(k)))
    return [stages for stages in orders if all(stages)]


def _measure(
    kept: Kept,
    family: Family,
    title: str,
    zoo: Zoo,
    candidates: Candidates,
    probe: Probe,
    seed: int,
    choices: Sequence[Choice],
    report: ProgressFn,
) -> None:
    if todo := kept.missing(choices):
        tick = Ticker(title, len(todo), "hybrids", report)
        kept.measure(todo, family.measurer(zoo, candidates, probe, seed), tick)


def _fitted(
    choices: Sequence[Choice], values: NDArray[np.float64], candidates: Candidates, seed: int
) -> LinearScore:
    """The linear model of an even sample of the finite values."""
    rows = np.flatnonzero(np.isfinite(values))
    if len(rows) > _FITTED:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _FITTED, replace=False))
    chosen = np.array(choices, np.int64).reshape(-1, candidates.k)[rows]
    return fit_linear(chosen, values[rows], len(candidates.models), seed)


def _cost(candidates: Candidates, score: str, probe: Probe, seed: int) -> Scores:
    terms: Terms = getattr(candidates, score)
    linear = LinearScore(0.0, _nested(terms.block), _nested(terms.pair), quantum=1.0)
    return Scores("", score, probe, seed, (), linear, complete=True)


def _nested(array: NDArray[np.int64]) -> tuple:
    return tuple(_nested(part) if part.ndim else float(part) for part in array)


def _column(kept: Kept, score: str) -> tuple[Measured, ...]:
    return tuple(Measured(choice, value) for choice, value in kept.column(score))


def _value(score: float | None) -> float:
    return float("-inf") if score is None else score


def _key(family: Family, zoo: Zoo, candidates: Candidates, probe: Probe, seed: int) -> str:
    """Depends on all that a score depends on: weights, preprocessing, blocks, probe, seams, method."""
    models = [zoo.model(name) for name in candidates.models]
    inputs = [(m.architecture, m.model_kwargs, m.input_size, m.mean, m.std) for m in models]
    weights = [zoo.weights_key(name) for name in candidates.models]
    found = digest(family.version, inputs, weights, candidates.to_dict(), seed, probe.to_dict())
    return f"{family.name}-{found}"
