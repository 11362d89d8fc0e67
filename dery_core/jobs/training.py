"""`TrainingRun`: a fine-tune as a run."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dery_core.errors import DeryError
from dery_core.files import read_text
from dery_core.jobs.run import Run
from dery_core.jobs.status import RunStatus
from dery_core.progress import ProgressFn
from dery_core.training import EpochMetrics, Result, RunSpec, train_run
from dery_core.training.loop import METRICS, WEIGHTS


class TrainingRun(Run[RunSpec, Result]):
    """A fine-tune of a hybrid or a zoo member, counted in epochs.

    Its directory also holds `metrics.jsonl` (one line an epoch), the checkpoints and, when it is
    finished, `weights/`.
    """

    kind = "training"
    unit = "epochs"
    spec_type, result_type = RunSpec, Result

    @property
    def threads(self) -> int:
        return self.spec.threads

    @property
    def title(self) -> str:
        spec = self.spec
        return spec.member.name if spec.member else spec.name

    @property
    def weights(self) -> Path:
        """Where the trained weights are once the run is finished."""
        return self.path / WEIGHTS

    def metrics(self) -> list[dict[str, Any]]:
        """One row an epoch, from epoch 0 (before training): epoch, top1, loss, learning_rate, seconds."""
        path = self.path / METRICS
        if not path.exists():
            return []
        try:
            rows = [json.loads(line) for line in read_text(path).splitlines()]
            return [asdict(EpochMetrics.from_dict(row, str(path))) for row in rows]
        except json.JSONDecodeError as error:
            raise DeryError(f"{path} is damaged: resume the run to write it anew, or delete it.") from error

    def _work(self, report: ProgressFn, stop: Callable[[], bool]) -> Result:
        return train_run(self.spec, self.path, report, stop, epoch_done=self._epoch_done, say=self.say)

    def _after(self, status: RunStatus) -> str:
        return f"after epoch {status.done}"

    def _epoch_done(self, metrics: EpochMetrics) -> None:
        loss = "" if metrics.loss is None else f", loss {metrics.loss:.4f}"
        self.say(f"Epoch {metrics.epoch}: top-1 {metrics.top1:.2f} %{loss}, {metrics.seconds:.1f} s")
        self._update(done=metrics.epoch)
