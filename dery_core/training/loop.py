"""The training loop: epochs of AdamW, evaluated after each, resumable after each."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from dery_core.data import ImageSet, Task, load_task, preprocess
from dery_core.errors import Cancelled, DeryError
from dery_core.files import digest, write_text
from dery_core.modules import cpu_threads
from dery_core.progress import Progress, ProgressFn, Ticker, silent
from dery_core.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dery_core.training.device import resolve_device
from dery_core.training.evaluate import top1
from dery_core.training.inputs import KEPT_BYTES, Inputs
from dery_core.training.optimiser import learning_rate, make_optimiser
from dery_core.training.result import EpochMetrics, Result
from dery_core.training.seeds import epoch_seed, seeded, shuffled
from dery_core.training.spec import RunSpec
from dery_core.training.start import fit_start, used_start
from dery_core.training.subject import build_subject
from dery_core.training.weights import save_subject
from dery_core.zoo import count_macs

METRICS, RESULT, WEIGHTS = "metrics.jsonl", "result.json", "weights"


def never() -> bool:
    """The default `stop`: goes on to the end."""
    return False


def _ignore(said: object) -> None:
    """The default listener."""


def train_run(
    spec: RunSpec,
    folder: Path,
    report: ProgressFn = silent,
    stop: Callable[[], bool] = never,
    epoch_done: Callable[[EpochMetrics], None] = _ignore,
    say: Callable[[str], None] = _ignore,
    kept_bytes: int = KEPT_BYTES,
) -> Result:
    """Fine-tune what `spec` names and write to `folder`: the checkpoint, `metrics.jsonl` (one line
    an epoch), `weights/` and `result.json`.

    Where the folder holds a checkpoint of the same specification, training goes on after its
    epoch; on the CPU the outcome is bit-equal to that of a run never interrupted. `stop` is asked
    after every batch. `epoch_done` is told every epoch's metrics, `say` what a log should hold.

    Raises Cancelled when asked to stop, DeryError when the specification can't be met, the loss
    becomes infinite, or the folder can't be written.
    """
    with cpu_threads(spec.threads):
        return _Training(spec, folder, report, stop, epoch_done, say, kept_bytes).run()


class _Training:
    """One call of `train_run`."""

    def __init__(
        self,
        spec: RunSpec,
        folder: Path,
        report: ProgressFn,
        stop: Callable[[], bool],
        epoch_done: Callable[[EpochMetrics], None],
        say: Callable[[str], None],
        kept_bytes: int,
    ) -> None:
        self.spec, self.folder, self.report, self.stop = spec, folder, report, stop
        self.epoch_done, self.say, self.kept_bytes = epoch_done, say, kept_bytes
        self.started = time.monotonic()
        self.key = digest(json.dumps(spec.to_dict(), sort_keys=True))
        self.device = resolve_device(spec.device)
        self.task = _usable(load_task(spec.task))
        self.subject = build_subject(spec, len(self.task.classes))
        image = torch.zeros(1, *self.subject.source.input_size)
        self.macs = spec.hybrid.macs if spec.hybrid else count_macs(self.subject.module, image)
        self.subject.module.to(self.device)
        self.optimiser = make_optimiser(self.subject.module, spec.recipe)
        self.history: list[EpochMetrics] = []

    def run(self) -> Result:
        self._resume()
        if len(self.history) <= self.spec.recipe.epochs:
            self._train()
        return self._finish()

    def _resume(self) -> None:
        checkpoint, said = load_checkpoint(self.folder, self.key)
        if said:
            self.say(said)
        if checkpoint is None:
            return
        self.subject.load_tensors(checkpoint.tensors)
        self.optimiser.load_state_dict(checkpoint.optimiser)
        self.history = list(checkpoint.history)
        # The clock goes on from the checkpoint: time between two attempts doesn't count.
        self.started = time.monotonic() - self.history[-1].seconds
        self._write_metrics()
        self.epoch_done(self.history[-1])

    def _train(self) -> None:
        recipe = self.spec.recipe
        if not self.history and self.spec.start == "closed-form":
            self.say(fit_start(self.subject, self.spec, self.task, self._report))
        train = self._inputs(self.task.train, "Preparing training images")
        test = self._inputs(self.task.test, "Preparing test images")
        first = max(1, len(self.history))
        left = recipe.epochs + 1 - first
        images = left * (len(train) + len(test)) + (0 if self.history else len(test))
        tick = Ticker("Training", images, "images", self._report)
        if not self.history:
            self._end_epoch(0, None, test, tick)
        for epoch in range(first, recipe.epochs + 1):
            loss = self._epoch(epoch, train, tick)
            self._end_epoch(epoch, loss, test, tick)

    def _epoch(self, epoch: int, train: Inputs, tick: Ticker) -> float:
        """Train for one epoch; its mean loss."""
        recipe = self.spec.recipe
        batches = shuffled(len(train), self.spec.seed, epoch).split(recipe.batch_size)
        total, count = 0.0, 0
        self.subject.train()
        with seeded(epoch_seed(self.spec.seed, epoch), self.device):
            for number, index in enumerate(batches):
                # Batch normalisation can't use a batch of one image: it waits for the next epoch.
                if len(index) > 1:
                    rate = learning_rate(recipe, (epoch - 1) * len(batches) + number, len(batches))
                    loss = self._step(*train[index], rate)
                    if not math.isfinite(loss):
                        raise self._diverged(f"The loss became {loss} in epoch {epoch}, batch {number + 1}")
                    total, count = total + loss * len(index), count + len(index)
                tick(len(index))
        return total / count

    def _step(self, inputs: Tensor, labels: Tensor, rate: float) -> float:
        """One batch: forward, backward, update; its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        logits = self.subject.tail(inputs)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.spec.recipe.label_smoothing)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def _end_epoch(self, epoch: int, loss: float | None, test: Inputs, tick: Ticker) -> None:
        """Evaluate, then write checkpoint and metrics."""
        self.subject.module.eval()
        tensors = self.subject.tensors()
        if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
            raise self._diverged(f"The weights became infinite in epoch {epoch}")
        accuracy = top1(self.subject.tail, test, tick)
        rate = None if loss is None else self.optimiser.param_groups[0]["lr"]
        self.history.append(EpochMetrics(epoch, accuracy, loss, rate, time.monotonic() - self.started))
        # The checkpoint comes first and holds the history: whenever the process is killed,
        # resuming writes the metrics whole, with no line missing and none twice.
        save_checkpoint(
            Checkpoint(self.key, tuple(self.history), tensors, self.optimiser.state_dict()), self.folder
        )
        self._write_metrics()
        self.epoch_done(self.history[-1])

    def _finish(self) -> Result:
        self.subject.module.cpu().eval()
        result = Result(
            top1_before=self.history[0].top1,
            top1=self.history[-1].top1,
            params=self.subject.params,
            trainable_params=self.subject.trainable_params,
            macs=self.macs,
            epochs=self.history[-1].epoch,
            seconds=self.history[-1].seconds,
            classes=self.task.classes,
            start=used_start(self.subject, self.spec, len(self.task.classes)),
        )
        save_subject(self.subject, self.spec, result, self.folder / WEIGHTS)
        result.save(self.folder / RESULT)
        return result

    def _inputs(self, data: ImageSet, step: str) -> Inputs:
        def constant(images: Tensor) -> Tensor:
            return self.subject.prefix(preprocess(images, self.subject.source))

        self.subject.module.eval()
        batch_size = self.spec.recipe.batch_size
        return Inputs(data, constant, batch_size, self.device, self.kept_bytes, step, self._report)

    def _report(self, progress: Progress) -> None:
        if self.stop():
            raise Cancelled
        self.report(progress)

    def _write_metrics(self) -> None:
        lines = (json.dumps(asdict(metrics)) + "\n" for metrics in self.history)
        write_text(self.folder / METRICS, "".join(lines))

    def _diverged(self, what: str) -> DeryError:
        return DeryError(
            f"{what}: start again with a learning rate below {self.spec.recipe.learning_rate:g}; "
            "the checkpoint of the epoch before is kept."
        )


def _usable(task: Task) -> Task:
    if len(task.train) < 2 or len(task.test) < 1 or len(task.classes) < 2:
        raise DeryError(
            f"The task {task.name} has {len(task.classes)} classes, {len(task.train)} training and "
            f"{len(task.test)} test images: training needs at least two, two and one."
        )
    return task
