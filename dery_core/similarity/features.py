"""What a network says about images at each of its cuts."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk, ssyrk
from scipy.linalg.lapack import dpstrf
from torch import Tensor, nn

from dery_core.data import preprocess
from dery_core.errors import DeryError
from dery_core.similarity.comparison import Comparison
from dery_core.similarity.gram import Centring, Floats
from dery_core.similarity.matrix import MEMORY, minibatches
from dery_core.units import quantity
from dery_core.zoo import Layout, LineGraph, ZooModel, channel_means

Features = NDArray[np.float32]
Tick = Callable[[int], object]
Keep = Callable[[int, slice, Features], object]
"""Takes some rows of a node's features."""

_PLAIN = Comparison()
_COLUMNS = 1024
"""Columns of wide features that are multiplied at a time."""


def cut_features(
    graph: LineGraph,
    model: ZooModel,
    images: Tensor,
    batch_size: int = 64,
    comparison: Comparison = _PLAIN,
    memory: int = MEMORY,
    tick: Tick = lambda images: None,
) -> list[Features]:
    """Features (n, d) at every cut, L + 1 matrices, for uint8 `images` (n, 3, H, W).

    Cut 0 is the pictures themselves (`pixel_features`), the same for every model; the others are as
    `make_features` makes them. All are held in memory, whatever `memory` leaves for making them.
    """
    found: dict[int, Features] = {}

    def keep(node: int, rows: slice, values: Features) -> None:
        if node not in found:
            found[node] = np.empty((len(images), values.shape[1]), np.float32)
        found[node][rows] = values

    make_features(graph, model, images, keep, batch_size, comparison, memory, tick)
    return [pixel_features(images), *(found[node] for node in range(len(graph.nodes)))]


def make_features(
    graph: LineGraph,
    model: ZooModel,
    images: Tensor,
    keep: Keep,
    batch_size: int = 64,
    comparison: Comparison = _PLAIN,
    memory: int = MEMORY,
    tick: Tick = lambda images: None,
) -> None:
    """Hand the features (n, d) at cuts 1 to L for uint8 `images` (n, 3, H, W) to `keep`, some rows of
    one node's at a time, as soon as they are ready; none are held.

    Pooled as `comparison` says. "mean": the mean over the grid, or over all tokens, class token
    included (where several tensors are alive: each one's, side by side): channels remain, as the
    paper compares them. "flatten": the whole activation; of n images at a time, those wider than n as
    an (n, n) factor of their centred Gram matrix, which is all that measures depend on. They take up
    to `memory` bytes, beside what the network holds of `batch_size` images as it runs: where a cut's
    activations don't fit beside another's, the network runs again for it.

    Runs in eval mode without gradients, in float32 throughout, on a GPU where there is one. How many
    images run at once doesn't matter beyond rounding: where the GPU's memory doesn't suffice they are
    halved, down to 1, and rows may be handed over again. `tick` is told of images that are done and
    may raise to stop.

    Raises DeryError when the activations of a single cut don't fit, or one image on the GPU.
    """
    flat, exact = comparison.pooling == "flatten", comparison.definition.small_directions
    parts = minibatches(len(images), comparison.batch if flat else None)
    longest = max(len(images[part]) for part in parts)
    groups = _groups(graph, longest, memory) if flat else [range(len(graph.nodes))]
    whole: dict[int, Tensor] = {}

    def hold(node: int, rows: slice, values: Features) -> None:
        if node not in whole:
            whole[node] = torch.empty(len(images[part]), values.shape[1])
        whole[node][rows] = torch.from_numpy(values)

    ran = 0
    with _gpu_suffices(f"{graph.name} doesn't fit into the GPU's memory, not even with a single image"):
        network = _Network.of(graph, model, _flat if flat else channel_means, batch_size)
        for part in parts:
            for group in groups:
                for count in network.run(images[part], group, hold if flat else keep):
                    ran += count
                    # an image is done when the last group of cuts has seen it
                    tick(ran // len(groups))
                    ran %= len(groups)
                for node in list(whole):
                    keep(node, part, equivalent(whole.pop(node), longest, exact))


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def _gpu_suffices(otherwise: str) -> Iterator[None]:
    """A GPU whose memory is too small becomes a DeryError: `otherwise`, and what to do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeryError(
            f"{otherwise}: end what else uses it, or set CUDA_VISIBLE_DEVICES=-1 to do without the GPU."
        ) from error


@dataclass
class _Network:
    """A network that is run on `batch_size` images at a time, fewer where a GPU can't hold them."""

    modules: Sequence[nn.Module]
    layouts: Sequence[Layout]
    model: ZooModel
    pooled: Callable[[Tensor, Layout], Tensor]
    device: torch.device
    batch_size: int

    @classmethod
    def of(
        cls, graph: LineGraph, model: ZooModel, pooled: Callable[[Tensor, Layout], Tensor], batch_size: int
    ) -> Self:
        device = _device()
        modules = [node.module.eval() for node in graph.nodes]
        if device.type != "cpu":
            # A copy: line graphs are shared, and others run them where they were.
            modules = [copy.deepcopy(module).to(device) for module in modules]
        return cls(modules, graph.layouts, model, pooled, device, batch_size)

    def run(self, images: Tensor, group: Sequence[int], give: Keep) -> Iterator[int]:
        """Give the outputs of the group's nodes; yields after every batch how many images it had."""
        begin = 0
        while begin < len(images):
            batch = images[begin : begin + self.batch_size]
            try:
                self._forward(batch, begin, group, give)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                self.batch_size = len(batch) // 2
                continue
            begin += len(batch)
            yield len(batch)

    def _forward(self, batch: Tensor, begin: int, group: Sequence[int], give: Keep) -> None:
        with torch.no_grad(), _exact_float32():
            x = preprocess(batch.to(self.device), self.model)
            for node, module in enumerate(self.modules[: group[-1] + 1]):
                x = module(x)
                if node in group:
                    values = self.pooled(x.float(), self.layouts[node + 1]).cpu().numpy()
                    give(node, slice(begin, begin + len(batch)), values)


def _flat(x: Tensor, layout: Layout) -> Tensor:
    return x.flatten(1)


def _groups(graph: LineGraph, images: int, memory: int) -> list[range]:
    """Cuts whose whole activations fit into memory together, in order."""
    # beside them the Gram matrix, its factor and some columns in float64
    room = memory - 8 * images * (3 * images + 2 * _COLUMNS)
    groups, begin, held = [], 0, 0
    for cut, (node, layout) in enumerate(zip(graph.nodes, graph.layouts[1:], strict=True)):
        size = 4 * images * math.prod(layout.shape)
        if size > room:
            raise DeryError(
                f"{graph.name} after {node.name}: the whole activations of {images} images take "
                f"{quantity(memory - room + size)}B of memory: allow more, take fewer images, or the "
                "unbiased form in minibatches."
            )
        if held + size > room:
            groups.append(range(begin, cut))
            begin, held = cut, 0
        held += size
    return [*groups, range(begin, len(graph.nodes))]


def pixel_features(images: Tensor) -> Features:
    """uint8 (n, 3, H, W) as (n, 3·H·W) in [0, 1]."""
    return (images.flatten(1).float() / 255).numpy()


def equivalent(features: Tensor, width: int, exact: bool = True) -> Features:
    """What has the same distances between its n rows as `features` (n, d), at most `width` ≥ n wide.

    Features that are narrower stay. Of wider ones it is a factor (n, width) of the centred Gram
    matrix. Where it need not be `exact` that comes of float32 products, summed up in float64: right
    to 1e-7 of its largest entry, which CKA can't tell from float64, and several times faster.
    """
    if features.shape[1] <= width:
        return features.float().numpy()
    gram, size = _centred_gram(features, exact)
    factor = np.zeros((len(features), width), np.float32)
    variance = float(np.trace(gram))
    if not math.isfinite(size):
        return np.full_like(factor, np.nan)
    # Rounding of features that are the same for every image must not be taken for features.
    if variance > torch.finfo(torch.float32).eps ** 2 * size:
        # Cholesky with pivots, as a centred Gram matrix has no full rank; in the Gram matrix's place
        triangle, order, rank, _ = dpstrf(gram, lower=1, overwrite_a=1)
        triangle = np.tril(triangle)
        factor[order - 1, :rank] = triangle[:, :rank]
    return factor


def _centred_gram(features: Tensor, exact: bool) -> tuple[Floats, float]:
    """Lower half of the centred Gram matrix (n, n) of features (n, d), and their sum of squares."""
    images, device = len(features), _device()
    kind, syrk = (torch.float64, dsyrk) if exact else (torch.float32, ssyrk)
    gram = np.zeros((images, images), order="F")
    means = 0.0
    with (
        _exact_float32(),
        _gpu_suffices(f"Products of {images} images don't fit into the GPU's memory"),
    ):
        for columns in features.split(_COLUMNS, dim=1):
            columns = columns.to(device)
            mean = columns.mean(dim=0, dtype=kind)
            centred = columns - mean
            means += float(mean.square().sum(dtype=torch.float64))
            if device.type == "cpu":
                # half the products of a plain matrix product
                gram += syrk(1, centred.numpy().T, trans=1, lower=1)
            else:
                gram += (centred @ centred.T).cpu().numpy()
    # Again, as a rounded mean leaves the same little in every image.
    diagonal = np.diagonal(gram).copy()
    lower = np.tril(gram)
    Centring.of(lower.sum(axis=0) + lower.sum(axis=1) - diagonal, diagonal, unbiased=False)(gram, 0)
    return gram, float(diagonal.sum()) + images * means


@contextmanager
def _exact_float32() -> Iterator[None]:
    """No TF32: a GPU would otherwise round what enters its products to 10 bits."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    try:
        convolutions.allow_tf32 = products.allow_tf32 = False
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before
