import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dery_core.data import Probe, preprocess, probe_batch
from dery_core.reassembly import Candidates, build_hybrid
from dery_core.scoring.gradient import GradientMeasure, grad_norm, synflow
from dery_core.zoo import Zoo

SIZE = (3, 8, 8)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def chain(depth: int = 4) -> nn.Sequential:
    """Convolutions without bias, whose answer to c·x is c times that to x once normalisation is bypassed."""
    stages = [
        nn.Sequential(nn.Conv2d(3 if k == 0 else 5, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU())
        for k in range(min(depth, 3))
    ]
    stages += [
        nn.Sequential(nn.Conv2d(5, 5, 3, padding=1, bias=False), nn.ReLU())
        for _ in range(depth - len(stages))
    ]
    return nn.Sequential(*stages).eval()


def by_definition(nodes: nn.Sequential) -> float:
    """R for an image of ones and absolute weights, times the convolutions: each passes on all of R."""
    x, count = torch.ones(1, *SIZE, dtype=torch.float64), 0
    for part in nodes.modules():
        if isinstance(part, nn.Conv2d):
            x = F.conv2d(x, part.weight.detach().abs().double(), padding=part.padding)
            count += 1
    return math.log(float(x.sum())) + math.log(count)


def test_synflow_equals_the_definition_on_convolutions() -> None:
    nodes = chain()
    assert synflow(nodes, SIZE) == pytest.approx(by_definition(nodes), rel=1e-5)


@pytest.mark.parametrize("factor", [1e-3, 7.0, -7.0])
def test_synflow_grows_by_the_factor_of_a_layers_weights_whatever_their_sign(factor: float) -> None:
    nodes = chain()
    before = synflow(nodes, SIZE)
    nodes.get_parameter("1.0.weight").data.mul_(factor)
    assert synflow(nodes, SIZE) == pytest.approx(before + math.log(abs(factor)), abs=1e-4)


def test_synflow_of_a_chain_too_deep_for_any_float_is_a_number() -> None:
    nodes = chain(depth=40)
    with torch.no_grad():
        for part in nodes.modules():
            if isinstance(part, nn.Conv2d):
                part.weight.mul_(1e10)
    assert synflow(nodes, SIZE) > math.log(torch.finfo(torch.float64).max)


def test_where_nothing_flows_both_are_minus_infinity() -> None:
    nodes = chain()
    nodes.get_parameter("1.0.weight").data.zero_()
    assert synflow(nodes, SIZE) == -math.inf
    dead = nn.Sequential(nn.Flatten(), nn.Linear(192, 2), nn.Hardtanh(5, 6))
    assert grad_norm(dead, [(torch.ones(2, *SIZE), torch.tensor([0, 1]))]) == -math.inf


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(5), nn.GroupNorm(1, 5), nn.InstanceNorm2d(5)])
def test_synflow_does_not_see_normalisations(norm: nn.Module) -> None:
    nodes = chain()
    norm.eval()
    assert synflow([*nodes, norm], SIZE) == pytest.approx(synflow(nodes, SIZE))


def labelled(count: int = 12) -> tuple[Tensor, Tensor]:
    return torch.randn(count, *SIZE), torch.arange(count) % 3


def test_gradient_norm_is_that_of_a_backward_pass() -> None:
    module = nn.Sequential(chain(), nn.Flatten(), nn.LazyLinear(3))
    x, labels = labelled()
    module(x)
    F.cross_entropy(module(x), labels).backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in module.parameters() if p.grad is not None))
    assert grad_norm(module, [(x, labels)]) == pytest.approx(math.log(norm))
    parts = [(x[:5], labels[:5]), (x[5:], labels[5:])]
    assert grad_norm(module, parts) == pytest.approx(math.log(norm))


@pytest.mark.parametrize("choice", [(0, 1, 2), (1, 1, 1), (2, 0, 1)])
def test_a_candidate_scores_as_the_hybrid_built_of_it(
    zoo: Zoo, priced: Candidates, probe: Probe, choice: tuple[int, ...]
) -> None:
    spec = priced.spec(zoo, choice)
    hybrid = build_hybrid(spec, zoo, seed=3)
    nodes = [hybrid.stem]
    for stage, following in zip(hybrid.stages, [*hybrid.seams, hybrid.head], strict=True):
        assert isinstance(stage, nn.Sequential)
        nodes += [*stage, following]
    images = probe_batch(probe)
    expected = {
        "synflow": synflow(nodes, spec.source.input_size),
        "grad-norm": grad_norm(hybrid, [(preprocess(images.images, spec.source), images.labels)]),
    }
    assert GradientMeasure(zoo, priced, probe, seed=3).measure(choice) == expected
    assert all(map(math.isfinite, expected.values()))


def test_measuring_leaves_the_networks_as_they_were(zoo: Zoo, priced: Candidates, probe: Probe) -> None:
    hybrid = build_hybrid(priced.spec(zoo, (0, 1, 2)), zoo).train()
    before = {name: tensor.clone() for name, tensor in hybrid.state_dict().items()}
    images = probe_batch(probe)
    grad_norm(hybrid, [(preprocess(images.images, zoo.model("map")), images.labels)])
    synflow(hybrid.chain(), (3, 16, 16))
    assert all(part.training for part in hybrid.modules())
    assert all(parameter.grad is None for parameter in hybrid.parameters())
    after = hybrid.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_neither_earlier_candidates_nor_earlier_draws_change_a_bit(
    zoo: Zoo, priced: Candidates, probe: Probe
) -> None:
    measurer = GradientMeasure(zoo, priced, probe)
    first = [measurer.measure(choice) for choice in ((0, 1, 2), (2, 1, 0))]
    torch.manual_seed(5)
    again = [measurer.measure(choice) for choice in ((2, 1, 0), (0, 1, 2))]
    assert first == again[::-1]
