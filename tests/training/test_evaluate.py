import pytest
import torch
from torch import Tensor, nn

from dery_core.data import ImageSet
from dery_core.training import evaluate
from dery_core.zoo import ZooModel

MODEL = ZooModel("a", "resnet18", "a.safetensors", "task", (3, 2, 2), (0.0,) * 3, (1.0,) * 3)


class Brightness(nn.Module):
    """Two classes: is the image brighter than 0.5, on the scale 0 to 1?"""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        bright = self.dropout(images.mean((1, 2, 3)))
        return torch.stack([0.5 - bright, bright - 0.5], 1)


@pytest.mark.parametrize(("wrong", "expected"), [(0, 100.0), (1, 90.0), (10, 0.0)])
def test_top1_is_the_share_of_right_answers_in_percent(wrong: int, expected: float) -> None:
    labels = torch.arange(10) % 2
    images = (labels * 200 + 20).to(torch.uint8).view(10, 1, 1, 1).expand(10, 3, 2, 2)
    answers = torch.where(torch.arange(10) < wrong, 1 - labels, labels)
    for batch_size in (3, 10, 64):
        assert evaluate(Brightness(), ImageSet(images, answers), MODEL, batch_size) == expected


def test_modes_come_back_as_they_were() -> None:
    module = nn.Sequential(Brightness())
    module.train()
    module[0].eval()
    evaluate(module, ImageSet(torch.zeros(2, 3, 2, 2, dtype=torch.uint8), torch.zeros(2).long()), MODEL)
    assert module.training
    assert not module[0].training
