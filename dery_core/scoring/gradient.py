"""The family "gradient": what one backward pass through a whole hybrid tells, on a log scale.

Seams and head are drawn as in `build_hybrid`; everything is in eval mode and left as it was.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from dery_core.data import Probe, preprocess, probe_batch
from dery_core.modules import evaluating
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.hybrid import Hybrid, build_head
from dery_core.reassembly.ridge_head import check_labels
from dery_core.scoring.parts import Parts
from dery_core.scoring.trie import Values
from dery_core.zoo import Zoo

BATCH_SIZE = 64

_NORMALISATIONS = {
    getattr(place, name)
    for place in (F, torch)
    for name in ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm")
}


class GradientMeasure:
    """Measures "synflow" and "grad-norm"; None where a gradient is zero or not finite."""

    def __init__(self, zoo: Zoo, candidates: Candidates, probe: Probe, seed: int = 0) -> None:
        self._parts, self._candidates, self._seed = Parts(zoo, candidates), candidates, seed
        self._images = probe_batch(probe)
        check_labels(self._images.labels, candidates.num_classes)

    def measure(self, choice: Sequence[int]) -> Values:
        """Both scores of a candidate, on the zoo's own modules: they are read, not trained."""
        hybrid, model = self._hybrid(choice), self._parts.model(choice[0])
        nodes = [hybrid.stem]
        for stage, following in zip(hybrid.stages, [*hybrid.seams, hybrid.head], strict=True):
            nodes += [*stage.children(), following]
        split = (part.split(BATCH_SIZE) for part in (self._images.images, self._images.labels))
        batches = [(preprocess(images, model), labels) for images, labels in zip(*split, strict=True)]
        values = {"synflow": synflow(nodes, model.input_size), "grad-norm": grad_norm(hybrid, batches)}
        return {name: value if math.isfinite(value) else None for name, value in values.items()}

    def _hybrid(self, choice: Sequence[int]) -> Hybrid:
        """The hybrid on the zoo's modules, not on copies of them."""
        stages = [self._parts.block(i, k) for k, i in enumerate(choice)]
        seams = [
            self._parts.seam(k, left, right, self._seed) or nn.Identity()
            for k, (left, right) in enumerate(zip(choice, choice[1:], strict=False), 1)
        ]
        last = self._candidates.blocks[choice[-1]][-1]
        head = build_head(last, self._candidates.num_classes, self._candidates.seam, self._seed)
        return Hybrid(stages, seams, head).eval()


def synflow(nodes: Iterable[nn.Module], input_size: tuple[int, int, int]) -> float:
    """log Σ |θ ∂R/∂θ| over all parameters θ, where R is the sum of what the chain of `nodes` gives for
    an image of ones once every θ is replaced by |θ| (Tanaka et al., NeurIPS 2020, eq. 1 and 2).

    Normalisations are bypassed, as zero-cost-nas does it: what they divide by would hide what flows. R
    overflows in deep networks, so what enters a node is divided by its mean, and the logarithms of these
    are added: the same number for a chain of nodes that answer to c·x with c times what they answer to x,
    as convolutions, ReLU and sums of them do. Nodes that don't (a bias, GELU, attention) are thus asked at
    inputs of mean 1. -inf where nothing flows.
    """
    nodes = list(nodes)
    flowing: list[Tensor] = []
    log_scale = 0.0
    with torch.enable_grad(), _Bypassed(), evaluating(nn.ModuleList(nodes)):
        x = torch.ones(1, *input_size)
        for node in nodes:
            scale = float(x.detach().double().abs().mean())
            if not 0 < scale < math.inf:
                return -math.inf if scale == 0 else math.nan
            log_scale += math.log(scale)
            held = {name: _leaf(parameter.detach().abs()) for name, parameter in node.named_parameters()}
            x = functional_call(node, held, x / scale)
            flowing += held.values()
        gradients = torch.autograd.grad(x.sum(), flowing, allow_unused=True)
    flow = sum(
        float((parameter.detach() * gradient).double().abs().sum())
        for parameter, gradient in zip(flowing, gradients, strict=True)
        if gradient is not None
    )
    return math.log(flow) + log_scale if flow > 0 else -math.inf


def grad_norm(module: nn.Module, batches: Sequence[tuple[Tensor, Tensor]]) -> float:
    """log of the L2 norm, over all parameters, of the gradient of the mean cross-entropy on batches of
    preprocessed images and their labels (after Abdelfattah et al., ICLR 2021, section 3.2; zero-cost-nas
    adds the norms of layers and takes no logarithm). Eval mode. -inf where there is none."""
    held = {name: _leaf(parameter.detach()) for name, parameter in module.named_parameters()}
    images = sum(len(labels) for _, labels in batches)
    total = [torch.zeros_like(parameter) for parameter in held.values()]
    with torch.enable_grad(), evaluating(module):
        for x, labels in batches:
            loss = F.cross_entropy(functional_call(module, held, x), labels, reduction="sum") / images
            gradients = torch.autograd.grad(loss, list(held.values()), allow_unused=True)
            total = [a if b is None else a + b for a, b in zip(total, gradients, strict=True)]
    square = sum(float(gradient.double().square().sum()) for gradient in total)
    return 0.5 * math.log(square) if square > 0 else -math.inf


class _Bypassed(TorchFunctionMode):
    """While entered, PyTorch's normalisations give what they get."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func in _NORMALISATIONS:
            return args[0] if args else (kwargs or {})["input"]
        return func(*args, **(kwargs or {}))


def _leaf(parameter: Tensor) -> Tensor:
    return parameter.requires_grad_()
