import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dery_core.scoring import Naswot, naswot
from dery_core.scoring.naswot import log_det, normalised_score, run_with_codes


def batch(count: int = 6) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def network(activation: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), activation, nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 3), activation
        )


def by_hand(module: nn.Sequential, images: Tensor) -> tuple[np.ndarray, float]:
    """Kernel and log det from the definition: agreeing units, pair by pair."""
    module = module.eval()
    first = module[0](images)
    second = module[4](module[2](module[1](first.clone())))
    codes = torch.cat([first.flatten(1), second.flatten(1)], 1).detach().numpy() > 0
    kernel = np.array([[(a == b).sum() for b in codes] for a in codes], float)
    return kernel, np.linalg.slogdet(kernel)[1]


ACTIVATIONS = [
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.ReLU6(),
    nn.LeakyReLU(),
    nn.PReLU(),
    nn.ELU(),
    nn.GELU(),
    nn.GELU(approximate="tanh"),
    nn.SiLU(inplace=True),
    nn.Hardswish(),
    nn.Mish(),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_score_equals_the_definition(activation: nn.Module) -> None:
    module = network(activation)
    kernel, score = by_hand(module, batch())
    _, codes = run_with_codes(module.eval(), batch())
    assert np.array_equal(codes.kernel.numpy(), kernel)
    found = naswot(module, batch())
    assert found.score == pytest.approx(score, abs=1e-9)
    assert found.units == 4 * 36 + 2 * 16


@pytest.mark.parametrize("function", [F.relu, F.relu_, torch.relu, F.gelu, F.silu, F.relu6, F.hardswish])
def test_functional_activations_count_like_modules(function: object) -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return function(self.conv(x))  # type: ignore[operator]

    module = Functional()
    as_module = naswot(nn.Sequential(module.conv, nn.ReLU()), batch())
    assert naswot(module, batch()) == as_module
    assert as_module.units == 4 * 36


@pytest.mark.parametrize("other", [nn.Sigmoid(), nn.Hardtanh(), nn.Softplus(), nn.Tanh()], ids=str)
def test_other_nonlinearities_do_not_count(other: nn.Module) -> None:
    assert naswot(nn.Sequential(nn.Conv2d(3, 4, 3), other), batch()) == Naswot(float("-inf"), 0)


def test_scoring_leaves_nothing_behind() -> None:
    module = network(nn.ReLU())
    module.train()
    module[2].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    naswot(module, batch())
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in module.modules())
    assert [part.training for part in module] == [True, True, False, True, True, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


def test_an_error_inside_the_network_leaves_nothing_behind() -> None:
    module = network(nn.ReLU()).train()
    with pytest.raises(RuntimeError):
        naswot(module, torch.zeros(2, 7, 8, 8))
    assert module.training
    # A reader left behind would count these units for the next network.
    assert naswot(network(nn.ReLU()), batch()).units == 4 * 36 + 2 * 16


def test_score_is_the_same_every_time_and_in_train_mode() -> None:
    module = network(nn.ReLU())
    score = naswot(module.train(), batch())
    assert naswot(module.eval(), batch()) == score


def test_score_is_the_mean_over_batches() -> None:
    module, one, two = network(nn.ReLU()), batch(), batch().flip(3)
    scores = [naswot(module, each).score for each in (one, two)]
    assert scores[0] != scores[1]
    assert naswot(module, [one, two]).score == sum(scores) / 2


def test_the_same_image_twice_is_minus_infinity() -> None:
    images = batch()
    images[4] = images[1]
    assert naswot(network(nn.ReLU()), images).score == float("-inf")


def test_fewer_units_than_images_can_tell_apart_is_minus_infinity() -> None:
    # Two units tell at most four images apart, and the kernel's rank is at most three.
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 2), nn.ReLU())
    assert naswot(module, batch()).score == float("-inf")


def test_normalised_scores_do_not_grow_with_the_units() -> None:
    module = network(nn.ReLU()).eval()
    _, codes = run_with_codes(module, batch())
    share = codes.kernel.numpy() / codes.units
    assert normalised_score([codes]) == pytest.approx(np.linalg.slogdet(share)[1], abs=1e-9)
    twice = codes + codes
    assert normalised_score([twice]) == pytest.approx(normalised_score([codes]), abs=1e-9)
    assert log_det(twice) == pytest.approx(log_det(codes) + 6 * np.log(2), abs=1e-9)


def test_normalised_score_of_no_units_is_minus_infinity() -> None:
    _, codes = run_with_codes(nn.Conv2d(3, 4, 3), batch())
    assert normalised_score([codes]) == float("-inf")


def test_codes_longer_than_one_chunk_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = naswot(network(nn.ReLU()), batch())
    monkeypatch.setattr(sys.modules[run_with_codes.__module__], "_CHUNK", 7)
    assert naswot(network(nn.ReLU()), batch()) == whole
