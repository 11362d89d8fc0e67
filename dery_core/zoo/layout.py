"""`Layout`: how one image's tensor is laid out at a cut."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from dery_core.errors import DeryError
from dery_core.values import Value


@dataclass(frozen=True)
class Layout(Value):
    """Tensor layout at a cut, batch left out.

    `map` is (C, H, W); `map_last` is (H, W, C); `tokens` is (prefix + H·W, C), the class and
    register tokens first; `vector` is (C), what no position of the image owns.

    `order` is for tokens that don't run along rows: the sizes of the axes that they do run along,
    outermost first, each with its step in raster order. An 8×8 grid in 4×4 windows has
    ((2, 32), (2, 4), (4, 8), (4, 1)); without any the tokens are in raster order. Where `windows` have
    an axis of their own the tensor is (windows, H·W / windows, C).

    `streams` are several tensors packed into one (total): each part flattened, in the order of
    `parts`. `channels` is then the sum over the parts, `height` and `width` the finest part's grid,
    `prefix` the largest part's; `of_parts` works them out.
    """

    kind: Literal["map", "map_last", "tokens", "vector", "streams"]
    channels: int
    height: int
    width: int
    prefix: int = 0
    order: tuple[tuple[int, int], ...] = ()
    windows: int = 0
    parts: tuple["Layout", ...] = ()

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width"):
            if getattr(self, name) < 1:
                raise DeryError(f"{name} of a layout is {getattr(self, name)}, and must be at least 1.")
        for name in ("prefix", "windows"):
            if getattr(self, name) < 0:
                raise DeryError(f"{name} of a layout is {getattr(self, name)}, and must be at least 0.")
        if self.order and self.kind != "tokens":
            raise DeryError(f"order belongs to a layout of kind 'tokens', not '{self.kind}'.")
        if self.prefix and self.kind not in ("tokens", "streams"):
            raise DeryError(f"prefix belongs to a layout of kind 'tokens', not '{self.kind}'.")
        if self.kind == "vector" and (self.height, self.width) != (1, 1):
            raise DeryError(f"height and width of a vector are {self.height}×{self.width}, and must be 1×1.")
        if self.order and not _is_permutation(self.order, self.height * self.width):
            raise DeryError(f"order {list(self.order)} doesn't run over {self.height}×{self.width} tokens.")
        if self.windows and (self.prefix or self.kind != "tokens"):
            raise DeryError("windows divide tokens that have no class or register tokens among them.")
        if self.windows and self.height * self.width % self.windows:
            raise DeryError(f"{self.windows} windows don't divide {self.height}×{self.width} tokens.")
        if bool(self.parts) != (self.kind == "streams"):
            raise DeryError("parts belong to a layout of kind 'streams', and such a layout needs some.")
        if self.parts:
            self._check_parts()

    def _check_parts(self) -> None:
        for name, value in zip(("channels", "height", "width", "prefix"), _totals(self.parts), strict=True):
            if getattr(self, name) != value:
                raise DeryError(
                    f"{name} of the streams is {getattr(self, name)}, but its parts give {value}."
                )

    @classmethod
    def vector(cls, channels: int) -> Self:
        """(C) an image, without positions."""
        return cls("vector", channels, 1, 1)

    @classmethod
    def of_parts(cls, parts: Sequence["Layout"]) -> Self:
        """The layout of several tensors packed into one."""
        return cls("streams", *_totals(parts), parts=tuple(parts))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image's tensor."""
        if self.kind == "map":
            return (self.channels, self.height, self.width)
        if self.kind == "map_last":
            return (self.height, self.width, self.channels)
        if self.windows:
            return (self.windows, self.height * self.width // self.windows, self.channels)
        if self.kind == "tokens":
            return (self.prefix + self.height * self.width, self.channels)
        if self.kind == "vector":
            return (self.channels,)
        return (sum(math.prod(part.shape) for part in self.parts),)

    def __str__(self) -> str:
        if self.kind == "streams":
            count = "1 stream" if len(self.parts) == 1 else f"{len(self.parts)} streams"
            return f"{count}: {' | '.join(map(str, self.parts))}"
        if self.kind == "vector":
            return f"vector of {self.channels}"
        grid = f"{self.height}×{self.width}"
        if self.windows:
            windows = "1 window" if self.windows == 1 else f"{self.windows} windows"
            return f"{grid} tokens in {windows} × {self.channels}"
        if self.kind == "tokens":
            tokens = "unrolled tokens" if self.order else "tokens"
            return f"{f'{self.prefix}+' if self.prefix else ''}{grid} {tokens} × {self.channels}"
        return f"{grid} × {self.channels}" if self.kind == "map_last" else f"{self.channels} × {grid}"


def _totals(parts: Sequence[Layout]) -> tuple[int, int, int, int]:
    """Channels, height, width and prefix of streams of these parts."""
    finest = max(parts, key=lambda part: part.height * part.width)
    channels = sum(part.channels for part in parts)
    return channels, finest.height, finest.width, max(part.prefix for part in parts)


def _is_permutation(order: Sequence[tuple[int, int]], count: int) -> bool:
    if any(size < 1 or step < 1 for size, step in order):
        return False
    expected = 1
    for size, step in sorted(order, key=lambda axis: axis[1]):
        if step != expected:
            return False
        expected *= size
    return expected == count
