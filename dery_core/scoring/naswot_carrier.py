"""NASWOT of many hybrids, stage by stage: a hybrid's kernel is the sum of its stages'."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dery_core.data import Probe, preprocess, probe_images
from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.closed_form import Feed, calibrate
from dery_core.scoring.naswot import Codes, mean_score, normalised_score, run_with_codes
from dery_core.scoring.parts import Parts
from dery_core.scoring.trie import Values
from dery_core.zoo import Zoo

BATCH_SIZE = 32

State = list[tuple[Tensor, Codes]]
"""Per batch: the activation behind a stage, and all codes up to it."""


class NaswotCarrier:
    """Carrier of "naswot" and "naswot-normalised": eval mode, seams with the weights that
    `build_hybrid(…, seed)` gives them, images in batches of 32.

    A seam's batch normalisation gets the statistics of what it receives from all images. It is new, so it
    has none of its own, and in eval mode would normalise nothing, as it never does once training begins.
    """

    def __init__(self, zoo: Zoo, candidates: Candidates, probe: Probe, seed: int) -> None:
        self._parts = Parts(zoo, candidates)
        self._seed = seed
        self._batches = probe_images(probe).split(BATCH_SIZE)

    def first(self, i: int) -> State:
        stage, model = self._parts.block(i, 0), self._parts.model(i)
        return [run_with_codes(stage, preprocess(images, model)) for images in self._batches]

    def then(self, state: State, k: int, left: int, right: int) -> State:
        stage = self._parts.block(right, k)
        if (seam := self._parts.seam(k, left, right, self._seed)) is not None:
            with torch.no_grad():
                calibrate(seam, Feed([x for x, _ in state]))
            stage = nn.Sequential(seam, *stage)
        return [_behind(stage, x, codes) for x, codes in state]

    def values(self, state: State, choice: Sequence[int]) -> Values:
        codes = [codes for _, codes in state]
        found = {"naswot": mean_score(codes).score, "naswot-normalised": normalised_score(codes)}
        return {name: score if math.isfinite(score) else None for name, score in found.items()}


def _behind(stage: nn.Module, x: Tensor, codes: Codes) -> tuple[Tensor, Codes]:
    # A copy, as the block may begin with an in-place operation.
    after, more = run_with_codes(stage, x.clone())
    return after, codes + more
