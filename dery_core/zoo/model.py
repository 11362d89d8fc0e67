"""`ZooModel`: what a zoo knows about one trained network."""

import math
from dataclasses import dataclass, field
from typing import Any

from dery_core.errors import DeryError
from dery_core.values import Value

MOST_PIXELS = 4096
UNKNOWN_TASK = "unknown"
"""The source task of a network whose owner didn't say."""
NOT_TOLD = "not told"


@dataclass(frozen=True)
class ZooModel(Value):
    """One trained network: how to build it and where its weights are.

    `weights` is a safetensors file beside the zoo file, or `timm:<tag>` for a timm pretrained
    tag (`timm:` alone is the architecture's default tag).
    `top1` is the accuracy on the source task's own test set, in percent.
    `provenance` says how the weights came to be.
    """

    name: str
    architecture: str
    weights: str
    source_task: str
    input_size: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    model_kwargs: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    top1: float | None = None
    params: int | None = None
    macs: int | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def trained_on(self) -> str:
        """The source task for people: "not told" is no name of a task, where "unknown" could be."""
        return NOT_TOLD if self.source_task == UNKNOWN_TASK else self.source_task

    def __post_init__(self) -> None:
        if self.input_size[0] != 3 or min(self.input_size) < 1 or max(self.input_size) > MOST_PIXELS:
            raise DeryError(
                f"'input_size' is {list(self.input_size)}; it must be [3, height, width], with sides of at "
                f"most {MOST_PIXELS} pixels."
            )
        if not all(map(math.isfinite, self.mean)):
            raise DeryError(f"'mean' is {list(self.mean)}; every number must be finite.")
        if not all(0 < deviation < math.inf for deviation in self.std):
            raise DeryError(f"'std' is {list(self.std)}; every number must be finite and above 0.")
        if self.top1 is not None and not 0 <= self.top1 <= 100:
            raise DeryError(f"'top1' is {self.top1}; it must be a percentage from 0 to 100.")
