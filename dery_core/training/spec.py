"""`Recipe` and `RunSpec`: what is trained, on what, how."""

from dataclasses import dataclass, field
from typing import Literal

from dery_core.errors import DeryError
from dery_core.reassembly.value import HybridSpec
from dery_core.values import Value
from dery_core.zoo.model import ZooModel

Protocol = Literal["frozen", "full"]


@dataclass(frozen=True)
class Recipe(Value):
    """AdamW with linear warm-up and cosine decay to `min_lr_ratio` of the rate."""

    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    min_lr_ratio: float = 0.01
    label_smoothing: float = 0.1


@dataclass(frozen=True)
class RunSpec(Value):
    """One fine-tune of a hybrid or of a zoo member (exactly one of the two) on a task.

    `zoo` is the zoo file that holds the source weights. `protocol` is the paper's section 4:
    frozen trains stitching layers and head only, full trains everything.
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

    def __post_init__(self) -> None:
        if (self.hybrid is None) == (self.member is None):
            raise DeryError("a run trains either a hybrid or a zoo member: give exactly one of them.")
