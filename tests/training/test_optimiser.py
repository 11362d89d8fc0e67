import pytest
from torch import nn

from dery_core.training.optimiser import learning_rate, make_optimiser
from dery_core.training.spec import Recipe


def test_norms_and_biases_do_not_decay_and_frozen_parameters_are_left_out() -> None:
    frozen, conv, norm = nn.Linear(2, 2).requires_grad_(False), nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)
    optimiser = make_optimiser(nn.Sequential(frozen, conv, norm), Recipe(weight_decay=0.3))
    decayed, spared = optimiser.param_groups
    assert [id(p) for p in decayed["params"]] == [id(conv.weight)]
    assert {id(p) for p in spared["params"]} == {id(conv.bias), id(norm.weight), id(norm.bias)}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)


def test_the_rate_rises_straight_and_falls_as_half_a_cosine() -> None:
    recipe = Recipe(epochs=3, learning_rate=1.0, warmup_epochs=1.0, min_lr_ratio=0.1)
    rates = [learning_rate(recipe, step, 4) for step in range(12)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    # Steps 4 to 11 are symmetric about the middle of the fall.
    assert [a + b for a, b in zip(rates[4:8], rates[:7:-1], strict=True)] == pytest.approx([1.1] * 4)


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_a_run_of_one_step_has_a_rate(warmup: float) -> None:
    assert learning_rate(Recipe(epochs=1, warmup_epochs=warmup, learning_rate=0.5), 0, 1) == 0.5
