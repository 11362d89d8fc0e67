"""What a network makes of a few images at each of its cuts: channels to look at, for people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from dery_core.data import preprocess
from dery_core.zoo import Zoo, feature_map, zoo_line_graph

Pictures = NDArray[np.float32]
MOST_CLASSES = 4
_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True, eq=False)
class CutExamples:
    """One cut of one network, as it answers n images.

    `node` is the name of the node that ends here and `modules` the classes of what it holds;
    `before` and `after` are the layouts it takes and gives. `maps` (c, n, H, W) are in [0, 1], each
    channel stretched to the range it has over all n images; `channels` (c,) says which they are, those
    first that vary the most over images and positions: linear CKA weighs these the most. What no
    position of the image owns has H = W = 1. `prefix` counts the class and register tokens, which
    have no place in a picture and are left out.

    At cut 0 the maps are the image's own red, green and blue, as they are.
    """

    model: str
    cut: int
    node: str
    modules: tuple[str, ...]
    before: str
    after: str
    channels: tuple[str, ...]
    maps: Pictures
    prefix: int = 0


def cut_examples(zoo: Zoo, name: str, images: Tensor, channels: int = 8) -> tuple[CutExamples, ...]:
    """Examples at the cuts 0 to L of the named model, from one pass over uint8 `images` (n, 3, H, W).

    Raises DeryError when the zoo lacks the model, its weights are missing or it can't be cut.
    """
    graph, model = zoo_line_graph(zoo, name), zoo.model(name)
    layouts = graph.layouts
    pixels = (images.float() / 255).transpose(0, 1).numpy()
    picture = str(layouts[0])
    examples = [CutExamples(name, 0, "input", (), picture, picture, _COLOURS, pixels)]
    with torch.no_grad():
        x = preprocess(images, model)
        for cut, node in enumerate(graph.nodes, start=1):
            x = node.module.eval()(x)
            numbers, maps = _liveliest(feature_map(x.float(), layouts[cut]), channels)
            examples.append(
                CutExamples(
                    model=name,
                    cut=cut,
                    node=node.name,
                    modules=module_classes(node.module),
                    before=str(layouts[cut - 1]),
                    after=str(layouts[cut]),
                    channels=tuple(f"channel {number}" for number in numbers),
                    maps=maps,
                    prefix=layouts[cut].prefix,
                )
            )
    return tuple(examples)


def module_classes(module: nn.Module) -> tuple[str, ...]:
    """Classes that a node is made of, in order: of a chain its links', of a block its own.

    A chain of more than `MOST_CLASSES` ends in "…".
    """
    if isinstance(module, fx.GraphModule):
        called = [str(step.target) for step in module.graph.nodes if step.op == "call_module"]
        links: Sequence[nn.Module] = [module.get_submodule(target) for target in called]
    elif isinstance(module, nn.Sequential):
        links = list(module)
    else:
        links = [module]
    names = [type(link).__name__ for link in links if not isinstance(link, nn.Identity | nn.Dropout)]
    return tuple(names) if len(names) <= MOST_CLASSES else (*names[: MOST_CLASSES - 1], "…")


def _liveliest(features: Tensor, count: int) -> tuple[list[int], Pictures]:
    """Numbers of the `count` channels of (n, C, H, W) with the largest variance, and these, stretched."""
    # float64: the squares of large float32 features overflow
    variance = features.double().var(dim=(0, 2, 3), correction=0)
    numbers = torch.argsort(variance, descending=True, stable=True)[:count]
    chosen = features[:, numbers].transpose(0, 1)
    low, high = chosen.amin((1, 2, 3), keepdim=True), chosen.amax((1, 2, 3), keepdim=True)
    span = high.double() - low.double()
    stretched = (chosen.double() - low) / torch.where(span > 0, span, 1.0)
    return numbers.tolist(), stretched.float().numpy()
