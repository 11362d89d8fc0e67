"""`Recipe` and `RunSpec`: what is trained, on what, how."""

import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from dery_core.errors import DeryError
from dery_core.reassembly.value import HybridSpec
from dery_core.values import Value
from dery_core.zoo.model import ZooModel

Protocol = Literal["frozen", "full"]
Start = Literal["closed-form", "random"]

LEARNING_RATES: dict[Protocol, float] = {"frozen": 6e-3, "full": 2e-3}
"""Where training starts unless told otherwise: new layers alone bear a higher rate."""

DEFAULT_STARTS: dict[Protocol, Start] = {"frozen": "closed-form", "full": "random"}
"""How a new run starts unless told otherwise: docs/closed_form_seams.md measures what the closed form
gains, docs/trust.md what it costs where the blocks are trained too."""


@dataclass(frozen=True)
class Recipe(Value):
    """AdamW with linear warm-up and cosine decay to `min_lr_ratio` of the rate.

    Raises DeryError when a value makes no sense.
    """

    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    min_lr_ratio: float = 0.01
    label_smoothing: float = 0.1

    @classmethod
    def default(cls, protocol: Protocol, epochs: int = epochs) -> "Recipe":
        """The recipe of a protocol, with the rest as it stands above."""
        return cls(epochs=epochs, learning_rate=LEARNING_RATES[protocol])

    def __post_init__(self) -> None:
        _need(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        _need(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2, for batch normalisation")
        rate, decay = self.learning_rate, self.weight_decay
        _need(0 < rate < math.inf, "learning_rate", rate, "a number above 0")
        _need(0 <= decay < math.inf, "weight_decay", decay, "0 or more")
        _need(0 <= self.warmup_epochs <= self.epochs, "warmup_epochs", self.warmup_epochs, "0 to epochs")
        _need(0 <= self.min_lr_ratio <= 1, "min_lr_ratio", self.min_lr_ratio, "from 0 to 1")
        _need(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "from 0 to below 1")


@dataclass(frozen=True)
class RunSpec(Value):
    """One fine-tune of a hybrid or of a zoo member (exactly one of the two) on a task.

    `zoo` is the zoo file that holds the source weights. `protocol` is the paper's section 4:
    frozen trains stitching layers and head only (of a member: its new classifier), full trains
    everything. `device` is cpu, cuda, cuda:N or auto. `threads` are the CPU threads of the
    training; they are part of the specification because sums depend on them in the last bit.
    `start` is where the new layers' weights come from: closed-form fits seams and head to some of the
    training images before the first epoch, random draws them from `seed`.
    """

    name: str
    zoo: str
    task: str
    hybrid: HybridSpec | None = None
    member: ZooModel | None = None
    protocol: Protocol = "frozen"
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    # Not DEFAULT_STARTS: a file without the field is of an earlier version, which knew nothing else.
    start: Start = "random"

    def __post_init__(self) -> None:
        if (self.hybrid is None) == (self.member is None):
            raise DeryError("a run trains either a hybrid or a zoo member: give exactly one of them.")
        known = re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device) is not None
        _need(known, "device", self.device, "cpu, cuda, cuda:N or auto")
        _need(self.protocol in ("frozen", "full"), "protocol", self.protocol, "frozen or full")
        _need(self.seed >= 0, "seed", self.seed, "0 or more")
        _need(self.threads >= 1, "threads", self.threads, "at least 1")
        _need(self.start in ("closed-form", "random"), "start", self.start, "closed-form or random")

    def to_dict(self) -> dict[str, Any]:
        """Without the random start, as in the earlier version: a checkpoint is tied to the digest of
        this, and runs begun before must go on."""
        data = super().to_dict()
        if self.start == "random":
            del data["start"]
        return data


def _need(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise DeryError(f"{name} is {value}; it must be {allowed}.")
