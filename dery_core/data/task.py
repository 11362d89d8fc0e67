"""`Task`: labelled images to train and test on, held in memory."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageSet:
    """`images` uint8 (N, 3, H, W), `labels` int64 (N)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Task:
    """A classification task. Train and test share no source image."""

    name: str
    title: str
    classes: tuple[str, ...]
    train: ImageSet
    test: ImageSet
