"""`SeamStyle`: how the stitching layers of a hybrid are made."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, Self

from torch import nn

from dery_core.errors import DeryError
from dery_core.values import Value
from dery_core.zoo.layout import Layout

Norm = Literal["batch", "layer", "none"]
Activation = Literal["none", "relu", "gelu", "leaky_relu"]

LEAK = 0.1
"""Slope of the official code's LeakyReLU."""

_ACTIVATIONS: dict[str, type[nn.Module]] = {"none": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU}


@dataclass(frozen=True)
class SeamStyle(Value):
    """Options of a hybrid's seams, stem and head.

    A seam is norm → convolution (`stride`×`stride`, step `stride`) → activation. With `resize` the
    features are first brought to `stride` times the grid that the next block was built for; without,
    the grid flows on, and the next block has to take what comes. With `prefix` the next block gets
    the class and register tokens it was built for, learned and carried; without, it runs on bare
    tokens. `token_norm` is the norm where both sides are transformers' (channels last), "same" as
    elsewhere by default. With `always` two blocks that adjoin in one network have a seam between them
    too. `head_norm` puts a LayerNorm before the classifier.
    """

    norm: Norm = "batch"
    token_norm: Literal["same", "batch", "layer", "none"] = "same"
    activation: Activation = "none"
    bias: bool = True
    resize: bool = True
    prefix: bool = True
    stride: int = 1
    always: bool = False
    head_norm: bool = True

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise DeryError(f"a seam's stride is {self.stride}; it must be 1 or more.")

    @classmethod
    def from_dict(cls, data: Any, where: str = "") -> Self:
        """The fields of a style, or the name of one in `SEAM_STYLES`."""
        if not isinstance(data, str):
            return super().from_dict(data, where)
        if data not in SEAM_STYLES:
            raise DeryError(f"{where or 'seam'} is '{data}'; it must be one of {', '.join(SEAM_STYLES)}.")
        return cls(**dataclasses.asdict(SEAM_STYLES[data]))

    @property
    def flows(self) -> bool:
        """Whether a block may get another grid, or fewer tokens, than it was built for."""
        return not (self.resize and self.prefix)

    def norm_between(self, source: Layout, target: Layout) -> Norm:
        """The norm of the seam between two layouts."""
        if self.token_norm != "same" and _channels_last(source) and _channels_last(target):
            return self.token_norm
        return self.norm

    def make_activation(self) -> nn.Module:
        """A new activation layer."""
        return nn.LeakyReLU(LEAK) if self.activation == "leaky_relu" else _ACTIVATIONS[self.activation]()

    def __str__(self) -> str:
        return next((name for name, style in SEAM_STYLES.items() if style == self), "own")


def _channels_last(layout: Layout) -> bool:
    return layout.kind in ("tokens", "map_last")


SEAM_STYLES = {
    "default": SeamStyle(),
    "plain": SeamStyle(norm="none"),
    "official": SeamStyle(
        token_norm="layer",
        activation="leaky_relu",
        bias=False,
        resize=False,
        prefix=False,
        always=True,
        head_norm=False,
    ),
}
"""`default`: norm and 1×1 convolution at the next block's own grid. `plain`: without norm. `official`:
the adapters of the official code, BatchNorm → convolution → LeakyReLU, between transformers
LayerNorm → linear → LeakyReLU, on whatever grid comes."""

STYLE_BY_NORM = {True: SEAM_STYLES["default"], False: SEAM_STYLES["plain"]}
"""What the setting `seam_norm` of the earlier version means."""


def earlier_norm(style: SeamStyle) -> bool | None:
    """The earlier version's `seam_norm` for a style, None where it had nothing like it."""
    return next((norm for norm, known in STYLE_BY_NORM.items() if known == style), None)
