import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dery_core.errors import DeryError
from dery_core.reassembly import SEAM_STYLES, Seam, SeamStyle, seam_cost
from dery_core.zoo import Layout, feature_map, prefix_tokens

# One of each layout, with and without prefix tokens, on different grids.
LAYOUTS = [
    Layout("map", 6, 8, 8),
    Layout("map", 10, 4, 4),
    Layout("map_last", 7, 4, 4),
    Layout("map_last", 5, 2, 6),
    Layout("tokens", 8, 4, 4),
    Layout("tokens", 9, 4, 4, prefix=1),
    Layout("tokens", 4, 8, 8, prefix=3),
    Layout("tokens", 3, 4, 4, order=((2, 8), (2, 2), (2, 4), (2, 1))),
    Layout.of_parts([Layout("tokens", 3, 4, 4, prefix=1), Layout("tokens", 5, 2, 2, prefix=1)]),
    Layout.of_parts([Layout("map", 4, 4, 4), Layout.vector(3), Layout("map", 2, 8, 8)]),
]
PAIRS = list(itertools.product(LAYOUTS, LAYOUTS))
STYLES = {
    "default": SEAM_STYLES["default"],
    "plain": SEAM_STYLES["plain"],
    "layer-gelu": SeamStyle(norm="layer", activation="gelu", bias=False),
    "tokens-relu-stride": SeamStyle(token_norm="layer", activation="relu", stride=2),
}


def image(layout: Layout, batch: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, *layout.shape, generator=generator, requires_grad=True)


def measured(seam: Seam) -> tuple[int, int]:
    with FlopCounterMode(display=False) as counter:
        seam.eval()(image(seam.source, batch=1))
    return sum(p.numel() for p in seam.parameters()), counter.get_total_flops() // 2


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
    assert (feature_map(x.grad, source) != 0).flatten(2).any(2).all()
    carried = min(source.prefix, target.prefix)
    touched = prefix_tokens(x.grad, source).abs().sum((0, 2)) > 0
    assert touched.tolist() == [place < carried for place in range(source.prefix)]


@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
@pytest.mark.parametrize(("source", "target"), PAIRS, ids=str)
def test_cost_is_what_the_built_seam_measures(source: Layout, target: Layout, style: SeamStyle) -> None:
    assert seam_cost(source, target, style) == measured(Seam(source, target, style))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("source", [layout for layout in LAYOUTS if not layout.prefix], ids=str)
def test_cost_of_the_official_style_is_what_the_built_seam_measures(source: Layout, stride: int) -> None:
    style = SeamStyle.from_dict({**SEAM_STYLES["official"].to_dict(), "stride": stride})
    for kind in ("map", "map_last", "tokens"):
        target = Layout(kind, 12, source.height // stride, source.width // stride)
        assert seam_cost(source, target, style) == measured(Seam(source, target, style))


def test_official_seams_are_the_adapters_of_the_official_code() -> None:
    style = SEAM_STYLES["official"]
    fully_connected = Seam(Layout("tokens", 6, 4, 4), Layout("map_last", 5, 4, 4), style).eval()
    x = image(fully_connected.source)
    normed = torch.nn.functional.layer_norm(x, (6,))
    expected = torch.nn.functional.leaky_relu(normed @ fully_connected.conv.weight[:, :, 0, 0].T, 0.1)
    assert torch.allclose(fully_connected(x), expected.reshape(3, 4, 4, 5), atol=1e-6)

    convolutional = Seam(Layout("map", 6, 4, 4), Layout("tokens", 5, 4, 4), style)
    kinds = [type(module).__name__ for module in convolutional.children()]
    assert kinds == ["BatchNorm2d", "Conv2d", "LeakyReLU"]
    assert convolutional.conv.bias is None


def test_a_style_that_does_not_resize_refuses_another_grid() -> None:
    with pytest.raises(DeryError, match="choose a seam style that resizes"):
        Seam(Layout("map", 6, 8, 8), Layout("map", 6, 4, 4), SEAM_STYLES["official"])


def test_a_style_is_read_by_name_and_kept_in_full() -> None:
    assert SeamStyle.from_dict("official") == SEAM_STYLES["official"]
    assert SeamStyle.from_dict(SeamStyle(stride=3).to_dict()) == SeamStyle(stride=3)
    assert (str(SEAM_STYLES["plain"]), str(SeamStyle(stride=3))) == ("plain", "own")
    with pytest.raises(DeryError, match="must be one of default, plain, official"):
        SeamStyle.from_dict("fancy")
    with pytest.raises(DeryError, match="must be 1 or more"):
        SeamStyle(stride=0)


def test_equal_grids_are_not_resized() -> None:
    source, target = Layout("map", 6, 4, 4), Layout("map_last", 6, 4, 4)
    seam = Seam(source, target, SEAM_STYLES["plain"])
    with torch.no_grad():
        seam.conv.weight.copy_(torch.eye(6)[:, :, None, None])
    x = image(source)
    assert torch.equal(feature_map(seam(x), target), x)


def test_shrinking_averages_all_pixels() -> None:
    # A plain bilinear resize to half size would miss half the rows of this picture.
    source, target = Layout("map", 1, 8, 8), Layout("map", 1, 1, 1)
    seam = Seam(source, target, SEAM_STYLES["plain"])
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
