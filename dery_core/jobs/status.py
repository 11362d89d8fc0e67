"""`RunStatus`: what state a run is in."""

from dataclasses import dataclass
from typing import Any, Literal, Self

from dery_core.jobs.process import ProcessId
from dery_core.values import Value

State = Literal["queued", "running", "finished", "failed", "cancelled", "interrupted", "damaged"]

_EARLIER = {"epoch": "done", "epochs": "total"}


@dataclass(frozen=True)
class RunStatus(Value):
    """State of a run, as its directory holds it.

    `done` of `total` units (a training's epochs, a scoring's hybrids; 0 where nobody knows yet) are
    finished. `process` is the one that works or last worked on the run. `created`, `started` and
    `updated` are Unix times in seconds. `message` is one sentence for a person, "" where there is
    nothing to say.
    interrupted: the process is gone but had not finished. damaged: the directory can't be read;
    this state is told, never saved.
    """

    state: State
    total: int
    created: float
    updated: float
    done: int = 0
    started: float | None = None
    process: ProcessId | None = None
    message: str = ""

    @classmethod
    def from_dict(cls, data: Any, where: str = "") -> Self:
        if isinstance(data, dict):  # an earlier version knew trainings alone
            data = {_EARLIER.get(key, key): value for key, value in data.items()}
        return super().from_dict(data, where)

    @property
    def active(self) -> bool:
        """Whether a process is at work on the run."""
        return self.state == "running"

    @property
    def resumable(self) -> bool:
        """Whether the run can go on after what was finished."""
        return self.state in ("failed", "cancelled", "interrupted")
