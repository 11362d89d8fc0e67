import pytest
import torch
from torch import nn

from dery_core.zoo import count_macs
from dery_core.zoo.costs import chain_macs, chain_params

CONV = nn.Conv2d(3, 8, 3, padding=1)
LINEAR = nn.Linear(8, 5)


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (CONV, (1, 3, 10, 6), 8 * 10 * 6 * 3 * 9),
        (nn.Conv2d(8, 8, 3, groups=8, padding=1), (1, 8, 4, 4), 8 * 16 * 9),
        (LINEAR, (1, 7, 8), 7 * 8 * 5),
        (LINEAR, (3, 7, 8), 3 * 7 * 8 * 5),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2)), (1, 3, 4, 4), 0),
    ],
)
def test_macs_are_those_counted_by_hand(module: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    assert count_macs(module.eval(), torch.zeros(shape)) == macs


def test_attention_counts_its_two_products() -> None:
    class Attention(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(x, x, x)

    assert count_macs(Attention(), torch.zeros(1, 2, 7, 4)) == 2 * 2 * 7 * 7 * 4


def test_a_chain_counts_every_module_on_its_own_input() -> None:
    chain = [CONV, nn.AvgPool2d(2), nn.Conv2d(8, 4, 1)]
    assert chain_macs(chain, torch.zeros(1, 3, 4, 4)) == [8 * 16 * 27, 0, 4 * 4 * 8]


def test_a_shared_parameter_counts_in_the_first_module_only() -> None:
    chain = [LINEAR, nn.Sequential(LINEAR, nn.Linear(5, 2))]
    assert chain_params(chain) == [45, 12]


def test_counting_leaves_no_hooks_behind() -> None:
    count_macs(CONV, torch.zeros(1, 3, 4, 4))
    assert not nn.modules.module._global_forward_pre_hooks
