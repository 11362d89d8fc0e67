"""What the trained part of a network receives for every image: computed once where it fits."""

from collections.abc import Callable

import torch
from torch import Tensor

from dery_core.data import ImageSet
from dery_core.progress import ProgressFn, Ticker, silent

KEPT_BYTES = 1 << 30
"""Largest size of the kept inputs of one image set."""


class Inputs:
    """Constant inputs of a network's trained part, with labels.

    `constant` maps `batch_size` images, uint8 (B, 3, H, W), to the trained part's inputs: the
    preprocessing and the frozen prefix. They are kept on `device` when all of them fit
    `kept_bytes`, otherwise computed again for every batch.

    `constant` is always given exactly `batch_size` images (as many as there are, if that is fewer),
    so that each kernel sees one shape and an image's values don't depend on which batch it is in:
    on the CPU, kept and recomputed inputs are bit-equal.
    """

    def __init__(
        self,
        data: ImageSet,
        constant: Callable[[Tensor], Tensor],
        batch_size: int,
        device: torch.device,
        kept_bytes: int = KEPT_BYTES,
        step: str = "Inputs",
        report: ProgressFn = silent,
    ) -> None:
        self.data, self.constant, self.device = data, constant, device
        self.batch_size = min(batch_size, len(data))
        self.labels = data.labels.to(device)
        self.kept: Tensor | None = None
        first = self._compute(torch.arange(min(1, len(data))))
        if first.nbytes * len(data) <= kept_bytes:
            self.kept = self._compute_all(first, Ticker(step, len(data), "images", report))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels of at most `batch_size` images."""
        inputs = self._compute(index) if self.kept is None else self.kept[index.to(self.device)]
        return inputs, self.labels[index.to(self.device)]

    def _compute_all(self, sample: Tensor, tick: Ticker) -> Tensor:
        kept = torch.empty((len(self), *sample.shape[1:]), dtype=sample.dtype, device=self.device)
        for index in torch.arange(len(self)).split(self.batch_size):
            kept[index.to(self.device)] = self._compute(index)
            tick(len(index))
        return kept

    @torch.no_grad()
    def _compute(self, index: Tensor) -> Tensor:
        padded = torch.zeros(self.batch_size, dtype=torch.long)
        padded[: len(index)] = index
        images = self.data.images[padded].to(self.device)
        # Contiguous whatever the last kernel left: the next one's sums depend on the memory layout.
        return self.constant(images).contiguous()[: len(index)]
