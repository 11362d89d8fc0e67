"""A partition's life: answered at once, proved the best behind that, kept where the proof ended."""

import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from app import work
from app.work import Work
from dery_core.errors import Cancelled, DeryError
from dery_core.files import digest
from dery_core.partition import Partition, Variant, solve_partition
from dery_core.progress import Progress, ProgressFn, Ticker
from dery_core.similarity import SimilarityTable
from dery_core.workspace import Workspace
from dery_core.zoo import SizeMeasure

# A page drawn anew within half a second leaves the first answer this long, and then its proof.
ANSWER_SECONDS = 0.1
REST_SECONDS = 0.5
PROOF_SECONDS = 60.0

PROVING = "_proving"
"""Where a visitor's session holds the key of the proof it looks at."""


@dataclass(frozen=True)
class Cutting:
    """How networks are cut into blocks: what a partition depends on beside its table."""

    k: int
    epsilon: float
    size: SizeMeasure
    variant: Variant


@dataclass(frozen=True)
class Blocks:
    """The blocks for one table and one way of cutting, known by `key` to all visitors.

    `answer` begins their life: what was kept, or the best that ANSWER_SECONDS find. `proof` goes on
    behind it. It ends when it is proved, after PROOF_SECONDS, or when a visitor had `enough`; what it
    ended with is kept in the workspace and only ever replaced by something better. `go_on` takes an
    ended proof up again. A proof that is merely left behind ends nothing: it begins anew when asked for.
    """

    key: Hashable
    how: Cutting
    workspace: Workspace
    origin: Hashable
    compare: Callable[[], Work[SimilarityTable]]

    @property
    def proof_key(self) -> Hashable:
        return ("proof", self.key)

    def answer(self) -> "Answer":
        """The blocks to begin with. The visitor leaves the proof of any others."""
        self._leave_others()
        problem = Problem.of(self)
        return work.attach(self.key, lambda: Answer(problem))

    def proof(self) -> "Answer | Proof":
        """The proof, or an answer that needs none. What it ends with doesn't change by itself, so that
        hybrids can be made of it."""
        answer, going = self.answer(), self._going()
        if going is None and answer.succeeded and answer.ended:
            return answer
        return self._prove(answer)

    def enough(self) -> None:
        """The best found will do, for every visitor: the proof ends as soon as there is an answer."""
        if going := self._going():
            going.enough()

    def go_on(self) -> None:
        """Take the ended proof up again, from the best it found."""
        ended = self.proof()
        if not ended.succeeded:
            return
        work.forget(self.proof_key)
        self._prove(self.answer(), ended.best)

    def final(self) -> Partition | None:
        """What the proof ended with, where that is known already; never begins or waits."""
        if going := self._going():
            return going.best if going.succeeded else None
        answer = self._answered()
        return answer.best if answer and answer.ended else None

    def best(self) -> Partition | None:
        """The best known already; never begins or waits."""
        going, answer = self._going(), self._answered()
        if going and going.best:
            return going.best
        return answer.best if answer else None

    def _prove(self, answer: "Answer", begin: Partition | None = None) -> "Proof":
        st.session_state[PROVING] = self.proof_key
        problem = Problem.of(self)
        return work.attach(self.proof_key, lambda: Proof(problem, answer, begin))

    def _going(self) -> "Proof | None":
        """The proof that goes on or has ended, None where there is none or it was left."""
        proof = work.find(self.proof_key)
        return proof if isinstance(proof, Proof) and not proof.cancelled else None

    def _answered(self) -> "Answer | None":
        answer = work.find(self.key)
        return answer if isinstance(answer, Answer) and answer.succeeded else None

    def _leave_others(self) -> None:
        # A proof of other settings would only slow the next answer.
        left = st.session_state.get(PROVING)
        if left not in (None, self.proof_key) and (task := work.find(left)):
            task.cancel()


@dataclass(frozen=True)
class Problem:
    """What an answer and its proof solve, and where its end is kept."""

    compared: Work[SimilarityTable]
    how: Cutting
    workspace: Workspace
    origin: Hashable

    @classmethod
    def of(cls, blocks: Blocks) -> "Problem":
        return cls(blocks.compare(), blocks.how, blocks.workspace, blocks.origin)

    def solved(self, seconds: float, report: ProgressFn, warm: Partition | None = None) -> Partition:
        """The best of `seconds`, searched for from `warm` or the last answer on these networks."""
        how = self.how
        _last[self.origin] = solve_partition(
            self.compared.value(),
            how.k,
            how.epsilon,
            how.size,
            variant=how.variant,
            warm=warm or _last.get(self.origin),
            max_seconds=seconds,
            report=report,
        )
        return _last[self.origin]

    def kept(self) -> Partition | None:
        """What an earlier proof ended with; a damaged file is none."""
        with suppress(DeryError):
            found = Partition.load(self._path)
            if self._settings(found) == self._settings(self.how):
                return found
        return None

    def keep(self, ended: Partition) -> Partition:
        """Keep what a proof ended with, unless better is kept already; the better of both."""
        # Where nothing can be written the blocks hold all the same, until the server ends.
        with suppress(DeryError), _keeping:
            kept = self.kept()
            if kept is not None and better(kept, ended) is kept:
                return kept
            ended.save(self._path)
        return ended

    @property
    def _path(self) -> Path:
        key = digest("partition", self.compared.value().key, *self._settings(self.how))
        return self.workspace.partition(key)

    @staticmethod
    def _settings(of: "Cutting | Partition") -> tuple[object, ...]:
        return Partition.schema_version, of.k, of.epsilon, of.size, of.variant


_last: dict[Hashable, Partition] = {}
_keeping = threading.Lock()


class Answer(Work[Partition]):
    """Blocks at once: those an earlier proof ended with, or the best found in a moment. `ended` says
    whether there is nothing left to prove, `best` is the value as soon as it is there."""

    def __init__(self, problem: Problem) -> None:
        self.ended = False
        self.best: Partition | None = None
        self._problem = problem
        super().__init__(self._answer)

    def _answer(self, report: ProgressFn) -> Partition:
        self._problem.compared.follow(report)
        found = self._problem.kept()
        self.ended = found is not None
        if found is None:
            found = self._problem.solved(ANSWER_SECONDS, report)
            if found.proved:
                self.ended, found = True, self._problem.keep(found)
        self.best = found
        return found


class Proof(Work[Partition]):
    """The proof behind `answer`, or the one that goes on from `begin`; `best` is the best it knows."""

    def __init__(self, problem: Problem, answer: Answer, begin: Partition | None = None) -> None:
        self.best = begin
        self._problem = problem
        self._answer = answer
        self._enough = False
        super().__init__(self._prove)

    def enough(self) -> None:
        """End with the best found, as soon as there is one. Nothing for a proof that has ended."""
        self._enough = True

    def _prove(self, report: ProgressFn) -> Partition:
        if self.best is None:
            best = self._answer.follow(report)
            if kept := self._problem.kept():
                self.best = kept
                return kept
            self.best = best

        def until_enough(progress: Progress) -> None:
            report(progress)
            if self._enough:
                raise _Enough

        best = self.best
        with suppress(_Enough):
            _rest(until_enough)
            best = better(best, self._problem.solved(PROOF_SECONDS, until_enough, best))
        self.best = self._problem.keep(best)
        return self.best


class _Enough(Cancelled):
    """Raised in a proof whose best found will do."""


def better(first: Partition, second: Partition) -> Partition:
    """The better of two partitions of one table and one way of cutting; `first` where they are equal."""
    return max(first, second, key=lambda found: (found.proved, found.objective, -found.upper_bound))


def _rest(report: ProgressFn) -> None:
    """Wait for a visitor who is still moving a slider: a proof begun now would slow the next answer."""
    tick = Ticker("Partition", 10, "waits", report)
    for _ in range(tick.total):
        time.sleep(REST_SECONDS / tick.total)
        tick()
