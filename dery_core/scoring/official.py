"""NASWOT as the official code counts it, for comparison."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from timm.models.swin_transformer import WindowAttention
from timm.models.vision_transformer import Attention
from torch import Tensor, nn

from dery_core.data import Probe, preprocess, probe_images
from dery_core.files import digest
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.hybrid import assemble
from dery_core.scoring.naswot import codes_of
from dery_core.scoring.naswot_carrier import BATCH_SIZE
from dery_core.scoring.parts import Parts
from dery_core.scoring.trie import Values
from dery_core.zoo import Zoo

HOOKED = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.GELU,
    nn.PReLU,
    nn.Hardswish,
    nn.ELU,
    nn.SELU,
    nn.Mish,
    nn.Linear,
    nn.Dropout,
    Attention,
    WindowAttention,
)
"""Modules whose outputs' signs the official code counts; the others here stand in for mmcls's."""


class OfficialNaswot:
    """Measures "naswot-official" on whole hybrids.

    Kept: the hooked modules, linear layers, dropout, attention and the classifier among them; training
    mode, so that batch normalisation takes the batch's statistics and dropout drops; hooks that are
    never removed, so that batch i counts i times; log det over the batch size; new weights for every
    hybrid. Not kept: the seams' stride, which the official code draws anew whenever it builds a hybrid, so
    that one hybrid has many scores; its augmented images, in the order of the file. All that is random
    follows from the hybrid and the seed.
    """

    def __init__(self, zoo: Zoo, candidates: Candidates, probe: Probe, seed: int) -> None:
        self._parts, self._candidates, self._seed = Parts(zoo, candidates), candidates, seed
        self._batches = probe_images(probe).split(BATCH_SIZE)

    def measure(self, choice: Sequence[int]) -> Values:
        """NASWOT as the official code has it; None where two images have the same codes."""
        spec = self._candidates.spec(self._parts.zoo, choice)
        graphs = {self._candidates.models[i]: self._parts.graph(i) for i in choice}
        seed = int(digest("official", self._seed, *spec.blocks), 16) >> 1
        hybrid = assemble(spec, graphs, seed).train()
        images = [preprocess(batch, spec.source) for batch in self._batches]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            score = official_naswot(hybrid, images)
        return {"naswot-official": score if np.isfinite(score) else None}


@torch.no_grad()
def official_naswot(module: nn.Module, batches: Sequence[Tensor]) -> float:
    """The official score of a module in the mode it is in, by preprocessed batches."""
    kernel = torch.zeros(0)

    def hook(_: nn.Module, __: Any, out: Tensor) -> None:
        nonlocal kernel
        # Inside attention by windows an image is several rows.
        kernel += codes_of(out.reshape(len(kernel), -1)).kernel

    handles = [part.register_forward_hook(hook) for part in module.modules() if isinstance(part, HOOKED)]
    scores = []
    try:
        for times, batch in enumerate(batches, 1):
            kernel = torch.zeros(len(batch), len(batch), dtype=torch.float64)
            module(batch)
            # The official code hooks every module once more before every batch.
            scores.append(float(torch.linalg.slogdet(times * kernel).logabsdet) / len(batch))
    finally:
        for handle in handles:
            handle.remove()
    return sum(scores) / len(scores)
