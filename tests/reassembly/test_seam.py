import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dery_core.reassembly import Seam, seam_cost
from dery_core.zoo import Layout, feature_map

# One of each layout, with and without prefix tokens, on different grids.
LAYOUTS = [
    Layout("map", 6, 8, 8),
    Layout("map", 10, 4, 4),
    Layout("map_last", 7, 4, 4),
    Layout("map_last", 5, 2, 6),
    Layout("tokens", 8, 4, 4),
    Layout("tokens", 9, 4, 4, prefix=1),
    Layout("tokens", 4, 8, 8, prefix=3),
]
PAIRS = list(itertools.product(LAYOUTS, LAYOUTS))


def image(layout: Layout, batch: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, *layout.shape, generator=generator, requires_grad=True)


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=str)
def test_any_layout_reaches_any_other_forward_and_backward(source: Layout, target: Layout) -> None:
    seam = Seam(source, target)
    x = image(source)
    y = seam(x)
    assert y.shape == (3, *target.shape)
    y.square().sum().backward()
    assert x.grad is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in seam.parameters() if p.numel() > 1)
    # Every pixel and channel of the source matters, its prefix only where the target has one too.
    reached = x.grad.abs().flatten(1).sum(1) > 0
    assert reached.all()
    if source.prefix:
        carried = min(source.prefix, target.prefix)
        touched = x.grad[:, : source.prefix].abs().sum((0, 2)) > 0
        assert touched.tolist() == [p < carried for p in range(source.prefix)]


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(("source", "target"), PAIRS, ids=str)
def test_cost_is_what_the_built_seam_measures(source: Layout, target: Layout, norm: bool) -> None:
    seam = Seam(source, target, norm).eval()
    with FlopCounterMode(display=False) as counter:
        seam(image(source, batch=1))
    measured = sum(p.numel() for p in seam.parameters()), counter.get_total_flops() // 2
    assert seam_cost(source, target, norm) == measured


def test_equal_grids_are_not_resized() -> None:
    source, target = Layout("map", 6, 4, 4), Layout("map_last", 6, 4, 4)
    seam = Seam(source, target, norm=False)
    with torch.no_grad():
        seam.conv.weight.copy_(torch.eye(6)[:, :, None, None])
    x = image(source)
    assert torch.equal(feature_map(seam(x), target), x)


def test_shrinking_averages_all_pixels() -> None:
    # A plain bilinear resize to half size would miss half the rows of this picture.
    source, target = Layout("map", 1, 8, 8), Layout("map", 1, 1, 1)
    seam = Seam(source, target, norm=False)
    x = torch.zeros(1, 1, 8, 8, requires_grad=True)
    seam(x).sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).all()


def test_a_bare_map_gets_the_learned_prefix() -> None:
    target = Layout("tokens", 4, 2, 2, prefix=2)
    seam = Seam(Layout("map", 3, 2, 2), target)
    assert seam.prefix is not None
    tokens = seam(image(seam.source))[:, :2]
    assert torch.equal(tokens, seam.prefix.detach().expand(3, -1, -1))
