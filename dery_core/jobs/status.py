"""`RunStatus`: what state a run is in."""

from dataclasses import dataclass
from typing import Literal

from dery_core.jobs.process import ProcessId
from dery_core.values import Value

State = Literal["queued", "running", "finished", "failed", "cancelled", "interrupted", "damaged"]


@dataclass(frozen=True)
class RunStatus(Value):
    """State of a run, as its directory holds it.

    `epoch` of `epochs` is the last one finished. `process` is the one that works or last worked
    on the run. `created`, `started` and `updated` are Unix times in seconds. `message` is one
    sentence for a person, "" where there is nothing to say.
    interrupted: the process is gone but had not finished. damaged: the directory can't be read;
    this state is told, never saved.
    """

    state: State
    epochs: int
    created: float
    updated: float
    epoch: int = 0
    started: float | None = None
    process: ProcessId | None = None
    message: str = ""

    @property
    def active(self) -> bool:
        """Whether a process is at work on the run."""
        return self.state == "running"

    @property
    def resumable(self) -> bool:
        """Whether the run can go on from its last checkpoint."""
        return self.state in ("failed", "cancelled", "interrupted")
