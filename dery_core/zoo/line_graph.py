"""`LineGraph`: a network as an ordered chain of nodes with a single tensor at every cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from dery_core.zoo.layout import Layout

SizeMeasure = Literal["params", "macs", "nodes"]


@dataclass(frozen=True, eq=False)
class Node:
    """One node of a line graph: a module that maps one tensor to one tensor.

    `macs` are the multiply-accumulates for one image.
    """

    name: str
    module: nn.Module
    params: int
    macs: int


@dataclass(frozen=True, eq=False)
class LineGraph:
    """A network of L nodes and a head: `head(nodes[L-1](... nodes[0](x)))` equals the model.

    Cut c lies before node c; cut 0 is the input image, cut L what the head receives.
    `layouts` has L + 1 entries, one a cut.

    In train mode too, under one seed, but where a network drops out from a value made of weights alone
    that several nodes read: each of them draws anew.
    """

    name: str
    input_size: tuple[int, int, int]
    nodes: tuple[Node, ...]
    head: Node
    layouts: tuple[Layout, ...]

    @property
    def params(self) -> int:
        return sum(node.params for node in self.nodes) + self.head.params

    @property
    def macs(self) -> int:
        return sum(node.macs for node in self.nodes) + self.head.macs

    def sizes(self, measure: SizeMeasure) -> list[int]:
        """Size of every node, head left out, in the order of `nodes`."""
        if measure == "nodes":
            return [1] * len(self.nodes)
        return [getattr(node, measure) for node in self.nodes]

    def cumulative(self, measure: SizeMeasure) -> list[int]:
        """Size up to every cut: L + 1 entries, the first 0."""
        total = [0]
        for size in self.sizes(measure):
            total.append(total[-1] + size)
        return total

    def modules(self) -> Sequence[nn.Module]:
        return [*(node.module for node in self.nodes), self.head.module]

    def __call__(self, images: Tensor) -> Tensor:
        """The composed model's output; equals the model's own, bit for bit in eval mode."""
        for module in self.modules():
            images = module(images)
        return images
