"""`ScoringRun`: measuring a score on the hybrids of a partition, as a run."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from dery_core.data import Probe, fitted, load_task
from dery_core.errors import Cancelled, DeryError
from dery_core.jobs.run import Run
from dery_core.jobs.status import RunStatus
from dery_core.partition import Partition
from dery_core.progress import Progress, ProgressFn
from dery_core.reassembly import SEAM_STYLES, Candidates, SeamStyle, candidates
from dery_core.scoring import (
    DEFAULT_SCORE,
    SAMPLE,
    THREADS,
    Scores,
    score_candidates,
    score_named,
    score_probe,
)
from dery_core.training.loop import RESULT
from dery_core.values import Value
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo, load_zoo

_COUNT_EVERY = 1.0


@dataclass(frozen=True)
class ScoringSpec(Value):
    """Which score of which hybrids: those that `partition` makes of networks of the zoo file `zoo`.

    `images` of `task` are looked at, by default as many as the score asks for. `sample` is how many
    hybrids are measured where they are too many to measure all; `seed` draws images, sample and seams.
    Raises DeryError when a value makes no sense.
    """

    zoo: str
    task: str
    partition: Partition
    score: str = DEFAULT_SCORE
    images: int | None = None
    sample: int = SAMPLE
    seed: int = 0
    seam: SeamStyle = SEAM_STYLES["default"]

    def __post_init__(self) -> None:
        score_named(self.score)
        least = {"images": 2, "sample": 1, "seed": 0}
        for name, value in least.items():
            given = getattr(self, name)
            if given is not None and given < value:
                raise DeryError(f"{name} is {given}; it must be {value} or more.")

    @property
    def title(self) -> str:
        """What lists of runs call it."""
        parts = self.partition
        return f"{score_named(self.score).title}, {len(parts.models)} networks in {parts.k} blocks"

    @property
    def probe(self) -> Probe:
        """The images, as many as there are where the task has fewer."""
        if self.images is None:
            return score_probe(self.task, self.score, self.seed)
        return fitted(Probe(self.task, self.images, self.seed))

    def priced(self, zoo: Zoo, report: ProgressFn) -> Candidates:
        """The hybrids with their costs."""
        return candidates(zoo, self.partition, len(load_task(self.task).classes), self.seam, report)

    def measured(self, zoo: Zoo, candidates: Candidates, workspace: Workspace, report: ProgressFn) -> Scores:
        """The scores, what is missing measured in this process and kept in `workspace`."""
        return score_candidates(
            zoo,
            self.partition,
            candidates,
            self.probe,
            workspace,
            score=self.score,
            sample=self.sample,
            seed=self.seed,
            report=report,
        )

    def same_work(self, other: "ScoringSpec") -> bool:
        """Whether both measure the same. Another way of cutting that led to the same blocks is no other
        work."""
        mine, theirs = ({**spec.__dict__, "partition": None} for spec in (self, other))
        return mine == theirs and (
            (self.partition.models, self.partition.blocks, self.partition.sets)
            == (other.partition.models, other.partition.blocks, other.partition.sets)
        )


@dataclass(frozen=True)
class ScoringResult(Value):
    """A finished scoring: how many hybrids are `measured`, whether these are all there are
    (`complete`), and the seconds its last process took. `key` names the measurements in the workspace."""

    score: str
    key: str
    measured: int
    complete: bool
    seconds: float


class ScoringRun(Run[ScoringSpec, ScoringResult]):
    """Measuring a score, counted in hybrids. What it measures lies in the workspace, for all who ask."""

    kind = "scoring"
    unit = "hybrids"
    spec_type, result_type = ScoringSpec, ScoringResult

    @property
    def threads(self) -> int:
        return THREADS

    @property
    def title(self) -> str:
        return self.spec.title

    def _work(self, report: ProgressFn, stop: Callable[[], bool]) -> ScoringResult:
        started, spec = time.monotonic(), self.spec
        tell = self._counting(report, stop)
        zoo = load_zoo(spec.zoo)
        self.say(f"{spec.title}: {', '.join(spec.partition.models)}")
        priced = spec.priced(zoo, tell)
        # A run lies in the workspace whose scores it adds to.
        scores = spec.measured(zoo, priced, Workspace(self.path.parents[1]), tell)
        self._update(done=scores.samples, total=scores.samples)
        seconds = time.monotonic() - started
        result = ScoringResult(spec.score, scores.key, scores.samples, scores.complete, seconds)
        result.save(self.path / RESULT)
        self.say(f"{scores.samples:,} hybrids measured, {seconds:.1f} s")
        return result

    def _counting(self, report: ProgressFn, stop: Callable[[], bool]) -> ProgressFn:
        """`report`, with the hybrids counted in the status; Cancelled when `stop` says so."""
        written = 0.0

        def tell(progress: Progress) -> None:
            nonlocal written
            ended = stop()
            due = ended or time.monotonic() - written >= _COUNT_EVERY
            if progress.unit == self.unit and due:
                self._update(done=progress.done, total=progress.total)
                written = time.monotonic()
            if ended:
                raise Cancelled
            report(progress)

        return tell

    def _after(self, status: RunStatus) -> str:
        return f"after {status.done:,} of {status.total:,} hybrids" if status.total else "before it measured"
