import pytest
import torch

from dery_core.zoo import Layout, feature_map, from_feature_map, prefix_tokens

MAP = torch.arange(2 * 3 * 2 * 4, dtype=torch.float32).reshape(2, 3, 2, 4)
LAYOUTS = [
    Layout("map", 3, 2, 4),
    Layout("map_last", 3, 2, 4),
    Layout("tokens", 3, 2, 4),
    Layout("tokens", 3, 2, 4, prefix=2),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_a_map_survives_the_way_there_and_back(layout: Layout) -> None:
    tensor = from_feature_map(MAP, layout)
    assert tensor.shape == (2, *layout.shape)
    assert torch.equal(feature_map(tensor, layout), MAP)


def test_tokens_run_along_rows() -> None:
    tokens = from_feature_map(MAP, Layout("tokens", 3, 2, 4))
    assert torch.equal(tokens[0, 5], MAP[0, :, 1, 1])  # token 5 of 4 columns: row 1, column 1


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


@pytest.mark.parametrize("layout", LAYOUTS[:3], ids=str)
def test_layouts_without_prefix_have_no_prefix_tokens(layout: Layout) -> None:
    assert prefix_tokens(from_feature_map(MAP, layout), layout).shape == (2, 0, 3)


def test_a_tensor_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, 2, 4\)"):
        feature_map(torch.zeros(2, 3, 4, 2), Layout("map", 3, 2, 4))
    with pytest.raises(ValueError, match=r"\(B, 3, 2, 4\)"):
        from_feature_map(torch.zeros(2, 4, 2, 4), Layout("tokens", 3, 2, 4))


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        (Layout("map", 8, 4, 6), "8 × 4×6"),
        (Layout("map_last", 8, 4, 6), "4×6 × 8"),
        (Layout("tokens", 8, 4, 6), "4×6 tokens × 8"),
        (Layout("tokens", 8, 4, 6, prefix=1), "1+4×6 tokens × 8"),
    ],
)
def test_layouts_read_in_the_order_of_their_axes(layout: Layout, text: str) -> None:
    assert str(layout) == text
