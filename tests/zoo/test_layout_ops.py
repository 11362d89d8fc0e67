import json
from typing import Any

import pytest
import torch
from torch import Tensor

from dery_core.errors import DeryError
from dery_core.zoo import Layout, channel_means, feature_map, from_feature_map, prefix_tokens

MAP = torch.arange(2 * 3 * 2 * 4, dtype=torch.float32).reshape(2, 3, 2, 4)
# 2×4 positions in two windows of 2×2
WINDOWS = ((2, 2), (2, 4), (2, 1))
LAYOUTS = [
    Layout("map", 3, 2, 4),
    Layout("map_last", 3, 2, 4),
    Layout("tokens", 3, 2, 4),
    Layout("tokens", 3, 2, 4, order=WINDOWS),
    Layout("tokens", 3, 2, 4, order=WINDOWS, windows=2),
    Layout("tokens", 3, 2, 4, prefix=2),
    Layout("tokens", 3, 2, 4, prefix=1, order=WINDOWS),
    Layout.of_parts([Layout("map", 1, 2, 4), Layout("tokens", 2, 2, 4, prefix=1)]),
]
# a map, coarser tokens with more prefix tokens, and a vector
MIXED = Layout.of_parts(
    [
        Layout("map", 2, 4, 4),
        Layout("tokens", 3, 2, 2, prefix=2),
        Layout("tokens", 1, 4, 4, prefix=1),
        Layout.vector(5),
    ]
)


def _mixed(batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, *part.shape, generator=generator) for part in MIXED.parts]


def _pack(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.flatten(1) for part in parts], dim=1)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_map_survives_the_way_there_and_back(layout: Layout) -> None:
    tensor = from_feature_map(MAP, layout)
    assert tensor.shape == (2, *layout.shape)
    assert torch.equal(feature_map(tensor, layout), MAP)


@pytest.mark.parametrize("layout", [*LAYOUTS, MIXED], ids=str)
def test_a_tensor_survives_the_way_there_and_back(layout: Layout) -> None:
    tensor = torch.randn(2, *layout.shape, generator=torch.Generator().manual_seed(0))
    back = from_feature_map(feature_map(tensor, layout), layout, prefix_tokens(tensor, layout))
    assert torch.allclose(back, tensor, atol=1e-6)


def test_tokens_run_along_rows() -> None:
    tokens = from_feature_map(MAP, Layout("tokens", 3, 2, 4))
    assert torch.equal(tokens[0, 5], MAP[0, :, 1, 1])  # token 5 of 4 columns: row 1, column 1


def test_tokens_in_windows_run_along_the_windows_rows() -> None:
    tokens = from_feature_map(MAP, Layout("tokens", 3, 2, 4, order=WINDOWS))
    assert torch.equal(tokens[0, 6], MAP[0, :, 1, 2])  # token 6: window 1, its row 1, its column 0


def test_windows_may_have_an_axis_of_their_own() -> None:
    windows = from_feature_map(MAP, Layout("tokens", 3, 2, 4, order=WINDOWS, windows=2))
    assert windows.shape == (2, 2, 4, 3)
    assert torch.equal(windows[0, 1, 2], MAP[0, :, 1, 2])


def test_tokens_split_finest_first_run_as_the_unrolling_does() -> None:
    # each unrolling takes the offset within 2×2 units to the front
    grid = torch.arange(16.0).reshape(1, 1, 4, 4)
    tokens = grid.reshape(1, 2, 2, 2, 2, 1).permute(0, 2, 4, 1, 3, 5).reshape(1, 16, 1)
    layout = Layout("tokens", 1, 4, 4, order=((2, 4), (2, 1), (2, 8), (2, 2)))
    assert torch.equal(feature_map(tokens, layout), grid)
    assert torch.equal(from_feature_map(grid, layout), tokens)


def test_prefix_tokens_come_first_and_are_dropped() -> None:
    layout = Layout("tokens", 3, 2, 4, prefix=2)
    learned = torch.full((1, 2, 3), -1.0)
    tokens = from_feature_map(MAP, layout, learned)
    assert torch.equal(tokens[:, :2], learned.expand(2, -1, -1))
    assert torch.equal(prefix_tokens(tokens, layout), tokens[:, :2])
    assert torch.equal(feature_map(tokens, layout), MAP)


def test_without_prefix_tokens_zeros_stand_in() -> None:
    tokens = from_feature_map(MAP, Layout("tokens", 3, 2, 4, prefix=1))
    assert tokens[:, 0].abs().sum() == 0


@pytest.mark.parametrize("layout", LAYOUTS[:5], ids=str)
def test_layouts_without_prefix_have_no_prefix_tokens(layout: Layout) -> None:
    assert prefix_tokens(from_feature_map(MAP, layout), layout).shape == (2, 0, 3)


def test_streams_stand_side_by_side_on_the_finest_grid() -> None:
    assert (MIXED.channels, MIXED.height, MIXED.width, MIXED.prefix) == (11, 4, 4, 2)
    fine, coarse, tokens, vector = parts = _mixed()
    features = feature_map(_pack(parts), MIXED)
    assert torch.equal(features[:, :2], fine)
    # row 3, column 1 of four lies in row 1, column 0 of two: token 2, after two prefix tokens
    assert torch.equal(features[:, 2:5, 3, 1], coarse[:, 4])
    assert torch.equal(features[:, 5, 3, 1], tokens[:, 14, 0])
    assert torch.equal(features[:, 6:], vector[:, :, None, None].expand(-1, -1, 4, 4))


def test_streams_take_the_mean_over_their_own_grid() -> None:
    features = torch.randn(2, 11, 4, 4)
    tensor = from_feature_map(features, MIXED)
    coarse = features[:, 2:5].reshape(2, 3, 2, 2, 2, 2).mean((3, 5)).flatten(2).transpose(1, 2)
    start = 2 * 16 + 2 * 3  # the map, and two prefix tokens that are zero
    assert torch.allclose(tensor[:, start : start + 12], coarse.flatten(1), atol=1e-6)
    assert tensor[:, 2 * 16 : start].abs().sum() == 0
    assert torch.allclose(tensor[:, -5:], features[:, 6:].mean((2, 3)), atol=1e-6)


def test_streams_keep_their_prefix_tokens_apart() -> None:
    _, coarse, tokens, _ = parts = _mixed()
    prefix = prefix_tokens(_pack(parts), MIXED)
    assert prefix.shape == (2, 2, 11)
    assert torch.equal(prefix[:, :, 2:5], coarse[:, :2])
    assert torch.equal(prefix[:, 0, 5:6], tokens[:, 0])
    assert prefix[:, 1, 5:].abs().sum() == prefix[:, :, :2].abs().sum() == 0


@pytest.mark.parametrize("layout", LAYOUTS[:5], ids=str)
def test_means_are_over_the_whole_grid(layout: Layout) -> None:
    assert torch.allclose(channel_means(from_feature_map(MAP, layout), layout), MAP.mean((2, 3)))


def test_means_are_over_the_class_token_too() -> None:
    layout = Layout("tokens", 3, 2, 4, prefix=1)
    means = channel_means(from_feature_map(MAP, layout, torch.full((1, 1, 3), 9.0)), layout)
    assert torch.allclose(means, (MAP.sum((2, 3)) + 9) / 9)


def test_means_of_streams_are_each_ones_own() -> None:
    fine, coarse, tokens, vector = parts = _mixed()
    expected = torch.cat([fine.mean((2, 3)), coarse.mean(1), tokens.mean(1), vector], dim=1)
    assert torch.allclose(channel_means(_pack(parts), MIXED), expected)


def test_a_tensor_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, 2, 4\)"):
        feature_map(torch.zeros(2, 3, 4, 2), Layout("map", 3, 2, 4))
    with pytest.raises(ValueError, match=r"\(B, 3, 2, 4\)"):
        from_feature_map(torch.zeros(2, 4, 2, 4), Layout("tokens", 3, 2, 4))


@pytest.mark.parametrize("layout", [*LAYOUTS, MIXED], ids=str)
def test_layouts_survive_json(layout: Layout) -> None:
    assert Layout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


def test_an_order_that_misses_tokens_is_refused() -> None:
    with pytest.raises(DeryError, match="2×4 tokens"):
        Layout("tokens", 3, 2, 4, order=((2, 4), (2, 1)))


def test_windows_of_tokens_with_a_class_token_are_refused() -> None:
    with pytest.raises(DeryError, match="class"):
        Layout("tokens", 3, 2, 4, prefix=1, windows=2)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"channels": 0}, "channels"),
        ({"height": -2, "width": -4}, "height"),
        ({"windows": 3}, "windows"),
        ({"prefix": -1}, "prefix"),
        ({"kind": "map", "prefix": 1}, "prefix"),
        ({"kind": "map_last", "order": WINDOWS}, "order"),
        ({"order": ((-2, 1), (-4, -2))}, "order"),
        ({"kind": "vector"}, "height"),
        ({"kind": "streams", "parts": (Layout("map", 2, 2, 4),)}, "channels"),
        ({"kind": "streams", "parts": (Layout("map", 3, 2, 2),)}, "width"),
        ({"kind": "streams", "parts": (Layout("tokens", 3, 2, 4, 1),)}, "prefix"),
    ],
    ids=str,
)
def test_a_saved_layout_that_contradicts_itself_is_refused_by_its_field(
    fields: dict[str, Any], named: str
) -> None:
    settings: dict[str, Any] = {"kind": "tokens", "channels": 3, "height": 2, "width": 4} | fields
    with pytest.raises(DeryError, match=named):
        Layout(**settings)


def test_parts_belong_to_streams_only() -> None:
    with pytest.raises(DeryError, match="streams"):
        Layout("map", 3, 2, 4, parts=(Layout.vector(3),))


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        (Layout("map", 8, 4, 6), "8 × 4×6"),
        (Layout("map_last", 8, 4, 6), "4×6 × 8"),
        (Layout("tokens", 8, 4, 6), "4×6 tokens × 8"),
        (Layout("tokens", 8, 4, 6, prefix=1), "1+4×6 tokens × 8"),
        (Layout("tokens", 8, 2, 4, order=WINDOWS), "2×4 unrolled tokens × 8"),
        (Layout("tokens", 8, 2, 4, order=WINDOWS, windows=2), "2×4 tokens in 2 windows × 8"),
        (
            Layout.of_parts([Layout("tokens", 96, 16, 16, prefix=1), Layout.vector(4)]),
            "2 streams: 1+16×16 tokens × 96 | vector of 4",
        ),
        (Layout.of_parts([Layout("tokens", 96, 16, 16)]), "1 stream: 16×16 tokens × 96"),
    ],
    ids=str,
)
def test_layouts_read_in_the_order_of_their_axes(layout: Layout, text: str) -> None:
    assert str(layout) == text
