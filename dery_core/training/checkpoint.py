"""The state after an epoch, on disk: hashed, replaced atomically, the one before kept."""

import hashlib
import io
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dery_core.errors import DeryError
from dery_core.files import atomic_path
from dery_core.training.result import EpochMetrics

LAST, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"
_HASH_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that resuming needs, beside the run's specification, whose digest is `key`.

    `tensors` are the trained parameters and buffers; random numbers depend on seed and epoch
    alone, so there is no generator to keep.
    """

    key: str
    history: tuple[EpochMetrics, ...]
    tensors: dict[str, Tensor]
    optimiser: dict[str, Any]

    @property
    def epoch(self) -> int:
        return self.history[-1].epoch


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the last checkpoint of a run's folder; the last one so far becomes the previous one."""
    buffer = io.BytesIO()
    state = {
        "key": checkpoint.key,
        "history": [asdict(metrics) for metrics in checkpoint.history],
        "tensors": checkpoint.tensors,
        "optimiser": checkpoint.optimiser,
    }
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    with atomic_path(folder / LAST) as temporary:
        # Bytes, not torch.save to the path: on a full disk that raises RuntimeError, not OSError.
        hash_and_write(temporary, payload)
        if (folder / LAST).exists():
            os.replace(folder / LAST, folder / PREVIOUS)


def hash_and_write(path: Path, payload: memoryview) -> None:
    """Write the SHA-256 of `payload`, then `payload`."""
    with path.open("wb") as file:
        file.write(hashlib.sha256(payload).digest())
        file.write(payload)


def load_checkpoint(folder: Path, key: str) -> tuple[Checkpoint | None, str]:
    """The newest good checkpoint of a run's folder (None if the run has none yet), and a sentence
    if the last one was damaged, else "".

    A damaged last checkpoint is removed, so that it can't take the place of the good one.
    Raises DeryError when there are checkpoints but none is good.
    """
    said = ""
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            return _read(path, key), said
        except DeryError as error:
            if path.name == PREVIOUS or not (folder / PREVIOUS).exists():
                raise
            said = f"{error} The one before it is used instead."
            path.unlink(missing_ok=True)
    return None, said


def _read(path: Path, key: str) -> Checkpoint:
    damaged = f"The checkpoint {path} is damaged: delete it to train from the start."
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DeryError(f"The checkpoint {path} can't be read ({error.strerror}).") from error
    payload = memoryview(raw)[_HASH_BYTES:]
    if hashlib.sha256(payload).digest() != raw[:_HASH_BYTES]:
        raise DeryError(damaged)
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        history = tuple(EpochMetrics.from_dict(metrics) for metrics in state["history"])
        checkpoint = Checkpoint(state["key"], history, state["tensors"], state["optimiser"])
    except Exception as error:  # torch.load raises whatever its parser meets
        raise DeryError(damaged) from error
    if checkpoint.key != key:
        raise DeryError(f"The checkpoint {path} belongs to another run: delete it to train from the start.")
    return checkpoint
