import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dery_core.data import Probe
from dery_core.reassembly import Candidates
from dery_core.scoring.official import OfficialNaswot, official_naswot
from dery_core.zoo import Zoo


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Tanh(), nn.Linear(12, 3))


def test_linear_layers_and_the_classifier_count_beside_activations() -> None:
    module, x = network(), images()
    first = module[0](x)
    after = module[2](module[1](first))
    bits = torch.cat([first, after, module[4](module[3](after))], 1) > 0
    kernel = np.array([[(a == b).sum() for b in bits] for a in bits], float)
    expected = np.linalg.slogdet(kernel)[1] / len(x)
    assert official_naswot(module, [x]) == pytest.approx(expected, abs=1e-9)


def test_batch_i_counts_i_times() -> None:
    x = images()
    once = official_naswot(network(), [x])
    assert official_naswot(network(), [x] * 3) == pytest.approx(once + np.log([1, 2, 3]).mean(), abs=1e-9)


def test_training_mode_normalises_by_the_batch() -> None:
    module = network()
    torch.nn.init.constant_(module[1].running_mean, 5)  # type: ignore[arg-type]
    assert official_naswot(module.eval(), [images()]) != official_naswot(network(), [images()])
    assert official_naswot(module.train(), [images()]) == official_naswot(network(), [images()])


def test_nothing_is_left_hooked() -> None:
    module = network()
    official_naswot(module, [images()])
    with pytest.raises(RuntimeError):
        official_naswot(module, [torch.zeros(2, 5)])
    assert all(not part._forward_hooks for part in module.modules())


def test_a_hybrid_has_one_score_and_its_networks_stay_as_they_are(
    zoo: Zoo, priced: Candidates, probe: Probe
) -> None:
    official = OfficialNaswot(zoo, priced, probe, seed=0)
    # Attention by windows too: there an image is several rows.
    choices = [(2, 0, 1), (0, 2, 1), (2, 2, 2)]
    found = [official.measure(choice) for choice in choices]
    assert len({values["naswot-official"] for values in found}) == 3
    assert None not in {values["naswot-official"] for values in found}
    again = OfficialNaswot(zoo, priced, probe, seed=0)
    assert [again.measure(choice) for choice in reversed(choices)] == found[::-1]
    assert OfficialNaswot(zoo, priced, probe, seed=1).measure(choices[0]) != found[0]


def test_the_global_generator_stays_where_it_was(zoo: Zoo, priced: Candidates, probe: Probe) -> None:
    state = torch.random.get_rng_state()
    OfficialNaswot(zoo, priced, probe, seed=0).measure((0, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
