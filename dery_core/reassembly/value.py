"""`Budget`, `Choice` and `HybridSpec`: what is allowed, and what was chosen."""

from dataclasses import dataclass, replace
from typing import Any, Self

from dery_core.errors import DeryError
from dery_core.partition.value import Block
from dery_core.reassembly.style import SEAM_STYLES, STYLE_BY_NORM, SeamStyle, earlier_norm
from dery_core.units import quantity
from dery_core.values import Value
from dery_core.zoo.model import ZooModel


@dataclass(frozen=True)
class Budget(Value):
    """Limits of a hybrid, seams and head included; None is no limit.

    MACs are multiply-accumulates for one image: what the paper calls FLOPs.
    """

    max_params: int | None = None
    max_macs: int | None = None
    min_params: int | None = None
    min_macs: int | None = None

    def allows(self, params: int, macs: int) -> bool:
        return (
            (self.max_params is None or params <= self.max_params)
            and (self.max_macs is None or macs <= self.max_macs)
            and (self.min_params is None or params >= self.min_params)
            and (self.min_macs is None or macs >= self.min_macs)
        )

    @property
    def limits(self) -> dict[str, int]:
        """The limits there are, by name."""
        limits = {name: getattr(self, name) for name in ("max_params", "max_macs", "min_params", "min_macs")}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def to_dict(self) -> dict[str, Any]:
        """Minima only where there are some: earlier versions had none."""
        data = super().to_dict()
        return {key: value for key, value in data.items() if value is not None or key.startswith("max_")}


@dataclass(frozen=True)
class Choice(Value):
    """One candidate: `choice[k]` is the index of the model whose stage k is taken.

    `params` and `macs` are the whole hybrid's, seams and head included. `predicted` is the linear
    model's score, `measured` the score itself, None when it was never measured.
    """

    choice: tuple[int, ...]
    params: int
    macs: int
    predicted: float
    measured: float | None = None


@dataclass(frozen=True)
class HybridSpec(Value):
    """One block a stage, in order; enough to rebuild the module on another machine.

    `models` are the zoo records of the blocks' sources, each once. The input is what the first
    block's model takes; a first block that doesn't begin at its model's node 0 gets a new stem.
    Between blocks of different models, or blocks that don't adjoin in their own model (in any case,
    if the style says so), stands a stitching layer in the style of `seam`; `strides`, one an
    interval between blocks, replaces the style's stride there.
    """

    blocks: tuple[Block, ...]
    models: tuple[ZooModel, ...]
    num_classes: int
    params: int
    macs: int
    seam: SeamStyle = SEAM_STYLES["default"]
    strides: tuple[int, ...] = ()
    score: float | None = None

    def __post_init__(self) -> None:
        if not self.blocks:
            raise DeryError("a hybrid needs at least one block.")
        if self.num_classes < 1:
            raise DeryError(f"num_classes is {self.num_classes}; it must be 1 or more.")
        missing = {block.model for block in self.blocks} - {model.name for model in self.models}
        if missing:
            raise DeryError(f"the hybrid has a block of {min(missing)}, but 'models' has no record of it.")
        if self.strides and len(self.strides) != len(self.blocks) - 1:
            raise DeryError(
                f"'strides' has {len(self.strides)} numbers; a hybrid of {len(self.blocks)} blocks needs "
                f"{len(self.blocks) - 1}, or none."
            )

    def to_dict(self) -> dict[str, Any]:
        """In the earlier version's form where that says it all: the digests made of it stay, and with
        them the names of files and what unfinished runs have saved."""
        data = super().to_dict()
        norm = earlier_norm(self.seam)
        if self.strides or norm is None:
            return data
        del data["strides"]
        names = {"seam": "seam_norm"}
        return {names.get(key, key): norm if key == "seam" else value for key, value in data.items()}

    @classmethod
    def from_dict(cls, data: Any, where: str = "") -> Self:
        if isinstance(data, dict) and isinstance(data.get("seam_norm"), bool) and "seam" not in data:
            style = STYLE_BY_NORM[data["seam_norm"]].to_dict()
            data = {key: value for key, value in data.items() if key != "seam_norm"} | {"seam": style}
        return super().from_dict(data, where)

    def seam_at(self, k: int) -> SeamStyle:
        """The style of the seam after stage k."""
        return replace(self.seam, stride=self.strides[k]) if self.strides else self.seam

    def seamless(self, k: int) -> bool:
        """Whether stage k+1 follows stage k in one model, without a seam."""
        return adjoins(self.blocks[k], self.blocks[k + 1]) and not self.seam.always

    @property
    def stem(self) -> bool:
        """Whether it gets a new stem, as its first block begins inside its model."""
        return self.blocks[0].first_node > 0

    def model(self, name: str) -> ZooModel:
        return next(model for model in self.models if model.name == name)

    @property
    def title(self) -> str:
        """What lists of runs call it."""
        return f"Hybrid, {quantity(self.macs)} MACs"

    @property
    def source(self) -> ZooModel:
        """The model whose input the hybrid takes: the first block's."""
        return self.model(self.blocks[0].model)


def adjoins(left: Block, right: Block) -> bool:
    """Whether `right` follows `left` in one model, so that no seam is needed."""
    return left.model == right.model and left.end == right.start
