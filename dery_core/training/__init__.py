"""Fine-tuning a hybrid or a zoo member: specification, loop, checkpoints, evaluation."""

from dery_core.training.comparison import Contender, verdict
from dery_core.training.device import resolve_device
from dery_core.training.evaluate import evaluate
from dery_core.training.loop import train_run
from dery_core.training.result import EpochMetrics, Result
from dery_core.training.spec import DEFAULT_STARTS, Protocol, Recipe, RunSpec, Start
from dery_core.training.subject import Subject, build_subject

__all__ = [
    "DEFAULT_STARTS",
    "Contender",
    "verdict",
    "EpochMetrics",
    "Protocol",
    "Recipe",
    "Result",
    "RunSpec",
    "Start",
    "Subject",
    "build_subject",
    "evaluate",
    "resolve_device",
    "train_run",
]
