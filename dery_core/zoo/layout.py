"""`Layout`: how one image's tensor is laid out at a cut."""

from dataclasses import dataclass
from typing import Literal

from dery_core.values import Value


@dataclass(frozen=True)
class Layout(Value):
    """Tensor layout at a cut, batch left out.

    `map` is (C, H, W); `map_last` is (H, W, C); `tokens` is (prefix + H·W, C), the class and
    register tokens first.
    """

    kind: Literal["map", "map_last", "tokens"]
    channels: int
    height: int
    width: int
    prefix: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image's tensor."""
        if self.kind == "map":
            return (self.channels, self.height, self.width)
        if self.kind == "map_last":
            return (self.height, self.width, self.channels)
        return (self.prefix + self.height * self.width, self.channels)

    def __str__(self) -> str:
        grid = f"{self.height}×{self.width}"
        if self.kind == "tokens":
            return f"{f'{self.prefix}+' if self.prefix else ''}{grid} tokens × {self.channels}"
        return f"{grid} × {self.channels}" if self.kind == "map_last" else f"{self.channels} × {grid}"
