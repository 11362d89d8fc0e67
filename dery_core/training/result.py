"""`EpochMetrics` and `Result`: what a fine-tune measured."""

from dataclasses import dataclass

from dery_core.training.spec import Start
from dery_core.values import Value


@dataclass(frozen=True)
class EpochMetrics(Value):
    """One epoch; epoch 0 is the state before training, with no loss and no rate.

    `loss` is the mean training loss, `learning_rate` the epoch's last one, `top1` the accuracy
    on the test set in percent, `seconds` the time since the run began, pauses left out.
    """

    epoch: int
    top1: float
    loss: float | None
    learning_rate: float | None
    seconds: float


@dataclass(frozen=True)
class Result(Value):
    """A finished fine-tune. `top1_before` and `top1` are percent on the task's test set, before
    training and after the last epoch (no epoch is picked by its test accuracy). `macs` are
    multiply-accumulates for one image. `classes` are the task's class names.
    `start` is where the new layers really started from, whatever was asked for; None in results of an
    earlier version, which didn't say."""

    top1_before: float
    top1: float
    params: int
    trainable_params: int
    macs: int
    epochs: int
    seconds: float
    classes: tuple[str, ...]
    start: Start | None = None
