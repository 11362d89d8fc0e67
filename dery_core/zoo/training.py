"""Training the embedded zoo: one command, fixed seeds, the same result for any number of workers."""

import dataclasses
import json
import math
import multiprocessing
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from dery_core.data.embedded import EMBEDDED, fresh_pictures
from dery_core.data.loading import load_task
from dery_core.data.preprocess import preprocess
from dery_core.data.strokes import SOURCE
from dery_core.data.task import ImageSet
from dery_core.errors import DeryError
from dery_core.files import atomic_path, check_writable, sha256, write_text
from dery_core.progress import ProgressFn, Ticker, silent
from dery_core.zoo.architecture import build_architecture
from dery_core.zoo.catalogue import CATALOGUE, Member
from dery_core.zoo.costs import count_macs
from dery_core.zoo.model import ZooModel
from dery_core.zoo.zoo import Zoo, load_zoo

_BATCH = 32
_WEIGHT_DECAY = 0.05
_LABEL_SMOOTHING = 0.05
_GRADIENT_CLIP = 1.0
_RECIPE = {
    "optimiser": "AdamW",
    "batch_size": _BATCH,
    "weight_decay": _WEIGHT_DECAY,
    "schedule": "one epoch of warm-up, then cosine to 0",
    "label_smoothing": _LABEL_SMOOTHING,
    "gradient_clip": _GRADIENT_CLIP,
    "images": "drawn anew every epoch from the train strokes",
}
_HALF = (0.5, 0.5, 0.5)
_POLL_SECONDS = 0.5


def train_embedded_zoo(
    folder: Path,
    workers: int = 2,
    only: Sequence[str] | None = None,
    force: bool = False,
    report: ProgressFn = silent,
) -> Zoo:
    """Train the catalogue's members (or `only` some) into `folder`: weights and zoo.json.

    Each member has its own seed and one thread, so the result doesn't depend on `workers`. A member
    whose weights and settings are already there is kept unless `force`. Each member is written when
    it is done, so cancelling loses only those under way.
    """
    known = {member.name: member for member in CATALOGUE}
    for name in only or ():
        if name not in known:
            raise DeryError(f"the embedded zoo has no '{name}': choose from {', '.join(known)}.")
    if workers < 1:
        raise DeryError(f"{workers} workers train nothing: give 1 or more.")
    check_writable(folder)
    records = _finished(folder)
    wanted = [known[name] for name in only] if only else list(CATALOGUE)
    todo = [m for m in wanted if force or not _is_current(m, records.get(m.name), folder)]
    for record in _train_all(todo, folder, workers, report):
        records[record.name] = record
        _write_zoo(folder, records)
    return load_zoo(folder / "zoo.json")


def train_member(member: Member, tick: Callable[[], None] = lambda: None) -> tuple[nn.Module, ImageSet]:
    """A member trained from its seed, in eval mode, and its task's test set. `tick` ends every epoch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(member.seed)
        return _train(member, tick), load_task(member.task).test


def top1(module: nn.Module, images: ImageSet, record: ZooModel) -> float:
    """Percent of the images that the network, in eval mode, names right."""
    right = 0
    with torch.inference_mode():
        for pictures, labels in zip(images.images.split(250), images.labels.split(250), strict=True):
            right += int((module(preprocess(pictures, record)).argmax(1) == labels).sum())
    return round(100 * right / len(images), 2)


def _train(member: Member, tick: Callable[[], None]) -> nn.Module:
    task, record = EMBEDDED[member.task], _record(member)
    model = build_architecture(record)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": _WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}],
        lr=member.learning_rate,
    )
    per_epoch = math.ceil(task.train_count / _BATCH)
    steps, warmup = member.epochs * per_epoch, per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps)),
    )
    for epoch in range(member.epochs):
        pictures = fresh_pictures(task, task.train_count, seed=1000 * member.seed + epoch)
        for images, labels in zip(pictures.images.split(_BATCH), pictures.labels.split(_BATCH), strict=True):
            loss = F.cross_entropy(
                model(preprocess(images, record)), labels, label_smoothing=_LABEL_SMOOTHING
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), _GRADIENT_CLIP)
            optimiser.step()
            schedule.step()
        tick()
    return model.eval()


def _record(member: Member) -> ZooModel:
    """What the zoo knows of a member before it is trained."""
    return ZooModel(
        name=member.name,
        architecture=member.architecture,
        weights=f"{member.name}.safetensors",
        source_task=member.task,
        input_size=(3, 32, 32),
        mean=_HALF,
        std=_HALF,
        model_kwargs={**member.model_kwargs, "num_classes": len(EMBEDDED[member.task].classes)},
    )


def _settings(member: Member) -> dict[str, Any]:
    task = EMBEDDED[member.task]
    return {
        "epochs": member.epochs,
        "seed": member.seed,
        "learning_rate": member.learning_rate,
        **_RECIPE,
        "train_images_an_epoch": task.train_count,
        "test_images": task.test_count,
    }


def _finished(folder: Path) -> dict[str, ZooModel]:
    """What the folder's zoo file lists, by name."""
    path = folder / "zoo.json"
    return {model.name: model for model in load_zoo(path).models} if path.exists() else {}


def _is_current(member: Member, record: ZooModel | None, folder: Path) -> bool:
    """True when the weights are there, unharmed, and made as the catalogue says."""
    if record is None or record.provenance.get("settings") != _settings(member):
        return False
    fresh = _record(member)
    path = folder / record.weights
    return (
        (record.architecture, record.model_kwargs) == (fresh.architecture, fresh.model_kwargs)
        and path.is_file()
        and sha256(path) == record.sha256
    )


def _write_zoo(folder: Path, records: dict[str, ZooModel]) -> None:
    order = [member.name for member in CATALOGUE if member.name in records]
    data = {"schema_version": 1, "models": [dataclasses.asdict(records[name]) for name in order]}
    write_text(folder / "zoo.json", json.dumps(data, indent=1) + "\n")


def _train_all(todo: Sequence[Member], folder: Path, workers: int, report: ProgressFn) -> Iterator[ZooModel]:
    """Train in worker processes; yields each member's record when its weights are written."""
    if not todo:
        return
    tick = Ticker("Training the embedded zoo", sum(member.epochs for member in todo), "epochs", report)
    context = multiprocessing.get_context("spawn")
    epochs = context.SimpleQueue()
    jobs = [(member, folder) for member in todo]
    # Leaving the pool ends its processes: that is how a cancelled training stops.
    with context.Pool(min(workers, len(todo)), _start_worker, (epochs,)) as pool:
        results = pool.imap_unordered(_train_and_write, jobs)
        left = len(jobs)
        while left:
            try:
                record = results.next(timeout=_POLL_SECONDS)
            except multiprocessing.TimeoutError:
                record = None
            while not epochs.empty():
                tick(epochs.get())
            if record is not None:
                left -= 1
                yield record


_epochs: Any = None


def _start_worker(epochs: Any) -> None:
    global _epochs
    _epochs = epochs
    torch.set_num_threads(1)


def _train_and_write(job: tuple[Member, Path]) -> ZooModel:
    """Train, store in half precision, and measure what was stored."""
    member, folder = job
    module, test = train_member(member, lambda: _epochs.put(1))
    record = _record(member)
    path = folder / record.weights
    with atomic_path(path) as temporary:
        save_file({k: _halved(v) for k, v in module.state_dict().items()}, temporary)
    stored = dataclasses.replace(record, sha256=sha256(path))
    shipped = Zoo(folder / "zoo.json", (stored,)).build(member.name)
    return dataclasses.replace(
        stored,
        top1=top1(shipped, test, record),
        params=sum(parameter.numel() for parameter in shipped.parameters()),
        macs=count_macs(shipped, torch.zeros(1, *record.input_size)),
        provenance={
            "command": f"dery zoo train --only {member.name}",
            "strokes": SOURCE,
            "settings": _settings(member),
            "stored_as": "float16; top1 measured on the stored file",
            "torch": torch.__version__,
            "timm": timm.__version__,
            "machine": f"CPU, {platform.machine()}, 1 thread",
        },
    )


def _halved(tensor: Tensor) -> Tensor:
    return tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
