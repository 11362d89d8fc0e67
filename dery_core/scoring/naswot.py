"""NASWOT: how differently a network's activations answer to different images, without training.

K = Σ over activations of (D + Z Zᵀ) / 2, where row b of Z is the sign code ±1 of image b in D units:
K[a, b] counts the units on which images a and b agree. The score is log det K. A code unit is
1[pre-activation > 0] at every ReLU, ReLU6, LeakyReLU, PReLU, ELU, SELU, CELU, GELU, SiLU, Hardswish
and Mish, called as a module or as a function; nothing else is counted. Gates by a plain sigmoid
(squeeze-and-excite) and QuickGELU are not.

The paper scores in this way too (section 3.3); its code counts hooks that were never removed, and
scores in train mode.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dery_core.modules import evaluating

aten = torch.ops.aten
_ACTIVATIONS = {
    aten.relu,
    aten.relu_,
    aten.leaky_relu,
    aten.leaky_relu_,
    aten._prelu_kernel,
    aten.elu,
    aten.elu_,
    aten.celu,
    aten.celu_,
    aten.gelu,
    aten.gelu_,
    aten.silu,
    aten.silu_,
    aten.hardswish,
    aten.hardswish_,
    aten.mish,
    aten.mish_,
}
# ReLU6 has no operator of its own: it is a hardtanh from 0 to 6.
_CLAMPS = {aten.hardtanh, aten.hardtanh_}
# A float32 product of ±1 codes is exact below 2^24 units.
_CHUNK = 2**23


@dataclass(frozen=True)
class Codes:
    """Agreement kernel (B, B) float64 of whole numbers, and the number of code units behind it."""

    kernel: Tensor
    units: int

    def __add__(self, other: "Codes") -> "Codes":
        return Codes(self.kernel + other.kernel, self.units + other.units)


@dataclass(frozen=True)
class Naswot:
    """`score` = log det K, averaged over batches: -inf when two images have the same codes, so that
    the network can't tell them apart (or has no activations at all). `units` are code units an image.
    """

    score: float
    units: int


class _Reader(TorchDispatchMode):
    """Adds up the codes of every activation that runs while it is entered; leaves nothing behind."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.codes = Codes(torch.zeros(batch, batch, dtype=torch.float64), 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        packet = func.overloadpacket
        # Read before the call: an in-place activation overwrites what it reads.
        if packet in _ACTIVATIONS or (packet in _CLAMPS and len(args) > 1 and args[1] == 0):
            self.codes += codes_of(args[0])
        return func(*args, **(kwargs or {}))


def codes_of(x: Tensor) -> Codes:
    """Codes of one activation from its input (B, ...): the signs of B images' units."""
    bits = (x > 0).flatten(1)
    kernel = torch.zeros(len(x), len(x), dtype=torch.float64)
    for part in bits.split(_CHUNK, dim=1):
        signs = part.float() * 2 - 1
        kernel += (signs @ signs.T).double().cpu()
    return Codes((kernel + bits.shape[1]) / 2, bits.shape[1])


@torch.no_grad()
def run_with_codes(module: nn.Module, x: Tensor) -> tuple[Tensor, Codes]:
    """`module(x)` and the codes of the activations inside it. The module must be in eval mode."""
    with _Reader(len(x)) as reader:
        return module(x), reader.codes


def log_det(codes: Codes) -> float:
    """log det of the kernel; -inf when it is singular, as two images with equal codes make it."""
    kernel = codes.kernel
    apart = kernel < codes.units
    if not bool((apart | torch.eye(len(kernel), dtype=torch.bool)).all()):
        return float("-inf")
    values = torch.linalg.eigvalsh(kernel)
    if bool(values[0] <= values[-1] * len(kernel) * torch.finfo(values.dtype).eps):
        return float("-inf")
    return float(torch.linalg.slogdet(kernel).logabsdet)


def naswot(module: nn.Module, batches: Tensor | Iterable[Tensor]) -> Naswot:
    """NASWOT of `module` on one batch (B, C, H, W) of preprocessed images, or on several.

    Eval mode and no gradients while it runs; the module is left as it was. Deterministic.
    """
    batches = [batches] if isinstance(batches, Tensor) else list(batches)
    with evaluating(module):
        codes = [run_with_codes(module, batch)[1] for batch in batches]
    return mean_score(codes)


def mean_score(codes: Iterable[Codes]) -> Naswot:
    """Score over the batches' codes: mean of their log dets."""
    each = list(codes)
    return Naswot(sum(map(log_det, each)) / len(each), each[0].units)


def normalised_score(codes: Iterable[Codes]) -> float:
    """Mean over the batches of log det of the share of units on which images agree, K / units: at most 0,
    reached only by images that agree on nothing."""
    each = list(codes)
    if not each[0].units:
        return float("-inf")
    return sum(log_det(one) - len(one.kernel) * math.log(one.units) for one in each) / len(each)
