"""A hybrid that works before any training step: seams by least squares, head by ridge regression.

A seam should give the next block what that block saw in its own network. So each seam, from the
first to the last, is fitted to predict that from what the hybrid gives so far; then the head is
fitted to the labels. Blocks stay as they are.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dery_core.data import preprocess
from dery_core.errors import DeryError
from dery_core.modules import evaluating, received
from dery_core.progress import ProgressFn, Ticker, silent
from dery_core.reassembly.head import Head
from dery_core.reassembly.hybrid import Hybrid, source_graphs
from dery_core.reassembly.least_squares import Moments, Solution, solve
from dery_core.reassembly.ridge_head import RidgeHead, check_labels, fit_ridge_head
from dery_core.reassembly.seam import Seam
from dery_core.reassembly.stem import Stem
from dery_core.reassembly.value import HybridSpec
from dery_core.values import Value
from dery_core.zoo import Layout, LineGraph, Zoo, ZooModel, feature_map, prefix_tokens

PENALTIES = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Tried for every seam, relative to the features' variance."""

KEPT_BYTES = 1 << 30
"""Largest size of what is kept of a hybrid's stage over all images."""

LARGEST_INPUTS = 4096
"""Seams with more inputs a position stay random: a fit solves for the square of their number."""

_FOLDS = 5
_BATCH = 32


@dataclass(frozen=True)
class SeamFit(Value):
    """How well a seam predicts what the next block saw in its own network.

    `r2` and `prefix_r2` (class and register tokens) are shares of the variance explained on a fifth
    of the images that was held out, where `penalty` was chosen. All are None where `remark` says why
    the seam was not fitted; without a remark it is no seam, as two blocks adjoin.
    """

    r2: float | None = None
    prefix_r2: float | None = None
    penalty: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class ClosedForm(Value):
    """What `fit_closed_form` did: one `seams` entry a seam; the head's penalty (scikit-learn's alpha)
    and leave-one-out top-1 in percent, on the `images` used."""

    seams: tuple[SeamFit, ...]
    head_penalty: float
    head_top1: float
    images: int

    def __str__(self) -> str:
        fits = [fit for fit in self.seams if fit.r2 is not None or fit.remark]
        seams = ", ".join(fit.remark or f"{100 * (fit.r2 or 0):.0f} %" for fit in fits) or "none to fit"
        return (
            f"Closed-form start from {self.images} images. What the seams explain of what the next block saw "
            f"in its own network: {seams}. The head is right on {self.head_top1:.1f} % of the images when "
            "each is left out in turn."
        )


class Feed:
    """What the first part of a network gives for some images, batch by batch: kept while it fits
    `kept_bytes`, computed again from the last kept stage otherwise. `tick` is told of every batch's
    images, once a pass over them."""

    def __init__(
        self,
        batches: Sequence[Tensor],
        kept_bytes: int = KEPT_BYTES,
        tick: Callable[[int], None] = lambda images: None,
    ) -> None:
        self._start, self._kept_bytes, self._tick = batches, kept_bytes, tick
        self._images = sum(map(len, batches))
        self._steps: list[Callable[[Tensor], Tensor]] = []

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self._start:
            x = batch.clone()  # a block may begin with an in-place operation
            for step in self._steps:
                x = step(x)
            self._tick(len(x))
            yield x

    def fork(self) -> "Feed":
        """Another that begins where this one is now, and goes its own way."""
        other = Feed(self._start, self._kept_bytes, self._tick)
        other._steps = list(self._steps)
        return other

    def skip(self) -> None:
        """Count a pass that isn't needed."""
        self._tick(self._images)

    def then(self, *steps: Callable[[Tensor], Tensor]) -> None:
        """Go on by these steps."""
        self._steps += steps
        kept, size, left = [], 0, self._images
        for x in self:
            size, left = size + x.nbytes, left - len(x)
            if size > self._kept_bytes:
                self._tick(left)
                return
            kept.append(x)
        self._start, self._steps = kept, []


Own = Callable[[str, int], tuple[Layout, Iterable[Tensor]]]
"""What a network holds at one of its cuts for the images: its layout and the batches."""


def fit_closed_form(
    hybrid: Hybrid,
    spec: HybridSpec,
    zoo: Zoo,
    images: Tensor,
    labels: Tensor,
    ridge: Sequence[float] = PENALTIES,
    batch_size: int = _BATCH,
    report: ProgressFn = silent,
) -> ClosedForm:
    """Set the weights of the hybrid's seams and head from uint8 `images` (n, 3, H, W) and their labels.

    Runs in eval mode on the hybrid's device, in memory that doesn't grow with the images beyond
    twice `KEPT_BYTES` (a stage's input and output). The images' order doesn't matter, the batch size only
    by rounding. `ridge` are the penalties to choose from. Adjoining blocks keep their Identity; a new
    stem stays random, but for its batch normalisation. Behind an activation a seam predicts
    the same as without: exact where the features are not negative, as behind a ReLU.
    DeryError for fewer images than classes, for labels that aren't the head's, and for blocks that give
    values which aren't finite.
    """
    if len(images) != len(labels):
        raise DeryError(f"{len(labels)} labels for {len(images)} images: every image needs a label.")
    if len(images) < 2:
        raise DeryError(f"{len(images)} images are too few to fit seams and head: take at least two.")
    check_labels(labels, spec.num_classes)
    order = by_content(images, labels)
    device = next(hybrid.parameters()).device
    batches = images[order].split(batch_size)
    own = own_features(source_graphs(spec, zoo), spec.model, batches, device)
    tick = Ticker("Closed-form start", _passes(hybrid) * len(images), "images", report)
    with torch.no_grad(), evaluating(hybrid):
        feed = Feed(batches, tick=tick)
        feed.then(lambda x: preprocess(x.to(device), spec.source))
        if isinstance(hybrid.stem, Stem):
            calibrate(hybrid.stem, feed)
        feed.then(hybrid.stem, hybrid.stages[0])
        fits = fit_seams(hybrid, spec, feed, own, ridge)
        head = fit_head(hybrid, feed, labels[order])
    return ClosedForm(tuple(fits), head.penalty, head.top1, len(images))


def _passes(hybrid: Hybrid) -> int:
    """How often `fit_closed_form` goes over the images: into the stem and through every stage, twice
    more for every seam (its normalisation, its weights), once more for a stem and for the head."""
    seams = sum(isinstance(seam, Seam) for seam in hybrid.seams)
    return 2 + len(hybrid.stages) + 2 * seams + isinstance(hybrid.stem, Stem)


def own_features(
    graphs: Mapping[str, LineGraph],
    model: Callable[[str], ZooModel],
    batches: Sequence[Tensor],
    device: torch.device,
) -> Own:
    """What the networks hold at a cut for batches of uint8 images, each with its own preprocessing.

    The graphs' nodes go to the device, in eval mode.
    """

    def at(name: str, cut: int) -> tuple[Layout, Iterable[Tensor]]:
        graph = graphs[name]
        part = nn.Sequential(*(node.module for node in graph.nodes[:cut])).to(device).eval()
        return graph.layouts[cut], (part(preprocess(batch.to(device), model(name))) for batch in batches)

    return at


def fit_seams(
    hybrid: Hybrid,
    spec: HybridSpec,
    feed: Feed,
    own: Own,
    penalties: Sequence[float] = PENALTIES,
) -> list[SeamFit]:
    """Fit every seam of a hybrid in eval mode; `feed`, which begins behind stage 0, ends behind the
    last stage."""
    fits = []
    for seam, stage, block in zip(hybrid.seams, hybrid.stages[1:], spec.blocks[1:], strict=True):
        fit = SeamFit()
        if isinstance(seam, Seam):
            fit = fit_seam(seam, feed, *own(block.model, block.start), penalties)
        fits.append(fit)
        feed.then(seam, stage)
    return fits


def fit_seam(
    seam: Seam,
    feed: Feed,
    layout: Layout,
    wanted: Iterable[Tensor],
    penalties: Sequence[float] = PENALTIES,
) -> SeamFit:
    """Set the weights of one seam in eval mode, so that from what `feed` gives it predicts what the next
    block saw in its own network: batches of that layout, of the same images."""
    calibrate(seam, feed)
    return _fit_weights(seam, feed, layout, wanted, penalties)


def calibrate(module: Seam | Stem, feed: Feed) -> None:
    """Give a seam's or stem's batch normalisation the statistics of what it receives, and a neutral
    scale."""
    if isinstance(module.norm, nn.BatchNorm2d):
        set_statistics(module.norm, (received(module, module.norm, x) for x in feed))
    else:
        feed.skip()


def set_statistics(norm: nn.BatchNorm1d | nn.BatchNorm2d, batches: Iterable[Tensor]) -> None:
    """Give a batch normalisation the mean and variance of (B, C, …) batches, and a neutral scale."""
    moments = [torch.zeros(norm.num_features, dtype=torch.float64) for _ in range(2)]
    rows = 0
    for x in batches:
        given = x.movedim(1, -1).flatten(0, -2).double()
        moments[0] += given.sum(0).cpu()
        moments[1] += given.square().sum(0).cpu()
        rows += len(given)
    mean, square = (total / rows for total in moments)
    norm.running_mean.copy_(mean)  # type: ignore[union-attr]
    norm.running_var.copy_((square - mean.square()).clamp_min(0))  # type: ignore[union-attr]
    nn.init.ones_(norm.weight)
    nn.init.zeros_(norm.bias)


def fit_head(hybrid: Hybrid, feed: Feed, labels: Tensor) -> RidgeHead:
    """Fit the linear layer of a hybrid's head to the labels; `feed` ends behind the last stage."""
    head = hybrid.head
    assert isinstance(head, Head)
    features = [received(head, head.classifier, x) for x in feed]
    fitted = fit_ridge_head(torch.cat(features), labels, head.classifier.out_features)
    write_linear(head.classifier, fitted)
    return fitted


def write_linear(layer: nn.Linear | nn.Conv2d, fitted: RidgeHead) -> None:
    """Put a fitted head's weights into a linear layer or 1×1 convolution that has a bias."""
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(fitted.weight).view(layer.weight.shape))
        layer.bias.copy_(torch.from_numpy(fitted.bias))


def _fit_weights(
    seam: Seam,
    feed: Feed,
    layout: Layout,
    wanted: Iterable[Tensor],
    penalties: Sequence[float],
) -> SeamFit:
    """The convolution predicts the next block's own features, the learned and carried tokens its own
    prefix tokens."""
    if (seam.target.height, seam.target.width) != (layout.height, layout.width):
        feed.skip()
        return SeamFit(remark=f"left random, as it doesn't give the next block's own {layout}")
    inputs = seam.conv.weight[0].numel()
    if inputs > LARGEST_INPUTS:
        feed.skip()
        return SeamFit(remark=f"left random, as its {inputs:,} inputs are more than {LARGEST_INPUTS:,}")
    features, tokens = _Sums(1), _Sums(seam.target.prefix)
    for x, y in zip(feed, wanted, strict=True):
        given = received(seam, seam.conv, x)
        rows = F.unfold(given, seam.conv.kernel_size, stride=seam.conv.stride).mT
        features.add([rows], [feature_map(y, layout).flatten(2).mT])
        if seam.prefix is not None:
            tokens.add(*_tokens(seam, x, prefix_tokens(y, layout)))
    solution = features.solve(penalties, seam.conv.bias is not None)
    seam.conv.weight.copy_(solution.weight.view_as(seam.conv.weight))
    if seam.conv.bias is not None:
        seam.conv.bias.copy_(solution.biases[0])
    fit = SeamFit(solution.r2, penalty=solution.penalty)
    if seam.prefix is None:
        return fit
    solution = tokens.solve(penalties)
    seam.prefix.copy_(torch.stack(solution.biases))
    if seam.carry is not None:
        seam.carry[1].weight.copy_(solution.weight)  # type: ignore[operator]
    return replace(fit, prefix_r2=solution.r2)


def _tokens(seam: Seam, x: Tensor, wanted: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What is carried to each of the next block's prefix tokens and what is wanted of it, (B, 1, C)
    each; a token to which none is carried gets zeros."""
    columns = list(wanted.split(1, dim=1))
    if seam.carry is None:
        return [wanted.new_zeros(len(x), 1, 1)] * len(columns), columns
    sent = received(seam, seam.carry[1], x)
    sent = F.pad(sent, (0, 0, 0, len(columns) - sent.shape[1]))
    return list(sent.split(1, dim=1)), columns


class _Sums:
    """Moments of groups of rows, a fifth of the images held out."""

    def __init__(self, groups: int) -> None:
        self.kept, self.held = ([Moments() for _ in range(groups)] for _ in range(2))
        self.images = 0

    def add(self, x: Sequence[Tensor], y: Sequence[Tensor]) -> None:
        """Add images: for each group x (B, rows, p) and y (B, rows, q)."""
        count = len(x[0])
        held = torch.arange(self.images, self.images + count) % _FOLDS == 0
        for group, (a, b) in enumerate(zip(x, y, strict=True)):
            for moments, chosen in ((self.kept[group], ~held), (self.held[group], held)):
                moments.add(a[chosen].flatten(0, 1), b[chosen].flatten(0, 1))
        self.images += count

    def solve(self, penalties: Sequence[float], intercept: bool = True) -> Solution:
        return solve(self.kept, self.held, penalties, intercept)


def by_content(images: Tensor, labels: Tensor) -> Tensor:
    """An order that depends on the pictures and labels, not on the order in which they come."""
    keys = [
        (hashlib.sha256(image.contiguous().numpy().tobytes()).digest(), label)
        for image, label in zip(images.cpu(), labels.tolist(), strict=True)
    ]
    return torch.tensor(sorted(range(len(keys)), key=keys.__getitem__))
