from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dery_core.zoo.layout import Layout
from dery_core.zoo.layout_rules import Found, found_layouts
from dery_core.zoo.recorder import Ref, merge_batches, record

SIZE = (3, 32, 32)
CONV = torch.zeros(6, 3, 4, 4)  # a map of 6 × 8×8
TOKEN = torch.zeros(1, 1, 6)


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(F.conv2d(images, CONV, stride=4))


def _found(
    function: Callable[[Tensor], Tensor], size: tuple[int, int, int] = SIZE, prefix: int = 0
) -> Found | None:
    """What is said of the function's result on a map of 6 × 8×8."""
    traces = [record(Function(function), torch.zeros(batch, *size)) for batch in (2, 1)]
    trace = merge_batches(*traces)
    assert isinstance(trace.output, Ref)
    return found_layouts(trace, prefix).get(trace.output.value)


def _tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def _windows(x: Tensor) -> Tensor:
    """(B, C, 8, 8) -> (B·4, 16, C)."""
    b, c, _, _ = x.shape
    return x.view(b, c, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).reshape(b * 4, 16, c)


def _whole(windows: Tensor) -> Tensor:
    """(B·4, 16, C) -> (B, 8, 8, C)."""
    return windows.view(-1, 2, 2, 4, 4, 6).transpose(2, 3).reshape(-1, 8, 8, 6)


def _class_token(x: Tensor) -> Tensor:
    tokens = _tokens(x)
    return torch.cat([TOKEN.expand(len(tokens), -1, -1), tokens], dim=1)


@pytest.mark.parametrize(
    ("function", "layout"),
    [
        (lambda x: x.permute(0, 2, 3, 1), Layout("map_last", 6, 8, 8)),
        (_tokens, Layout("tokens", 6, 8, 8)),
        (_class_token, Layout("tokens", 6, 8, 8, prefix=1)),
        (lambda x: _class_token(x)[:, 1:], Layout("tokens", 6, 8, 8)),
        (lambda x: _class_token(x).split([1, 64], dim=1)[1], Layout("tokens", 6, 8, 8)),
        (lambda x: _class_token(x)[:, 1:].mT.reshape(-1, 6, 8, 8), Layout("map", 6, 8, 8)),
        (lambda x: _whole(_windows(x)), Layout("map_last", 6, 8, 8)),
        (
            lambda x: _windows(x).view(-1, 64, 6),
            Layout("tokens", 6, 8, 8, order=((2, 32), (2, 4), (4, 8), (4, 1))),
        ),
        (
            lambda x: _windows(x).view(-1, 4, 16, 6),
            Layout("tokens", 6, 8, 8, order=((2, 32), (2, 4), (4, 8), (4, 1)), windows=4),
        ),
        # every second row and column
        (lambda x: x.permute(0, 2, 3, 1)[:, ::2, ::2].flatten(1, 2), Layout("tokens", 6, 4, 4)),
        # a 2×2 patch's pixels to channels
        (
            lambda x: F.linear(
                x.view(-1, 6, 4, 2, 4, 2).permute(0, 2, 4, 1, 3, 5).flatten(3), torch.zeros(10, 24)
            ),
            Layout("map_last", 10, 4, 4),
        ),
        # the greatest of each 2×2 unit, unrolled to the front
        (
            lambda x: x.view(-1, 6, 4, 2, 4, 2).permute(0, 3, 5, 2, 4, 1).reshape(-1, 4, 16, 6).amax(1),
            Layout("tokens", 6, 4, 4),
        ),
        (lambda x: F.fold(F.unfold(x, 3, padding=1), (8, 8), 3, padding=1), Layout("map", 6, 8, 8)),
        # attention: what comes out stands where the queries do
        (
            lambda x: F.scaled_dot_product_attention(_tokens(x)[:, :16], _class_token(x), _class_token(x)),
            None,
        ),
        (
            lambda x: F.scaled_dot_product_attention(_tokens(x), _class_token(x), _class_token(x)),
            Layout("tokens", 6, 8, 8),
        ),
        (
            lambda x: torch.einsum("bqc,bkc,bkd->bqd", _tokens(x), _class_token(x), _class_token(x)),
            Layout("tokens", 6, 8, 8),
        ),
        (
            (lambda x: (_class_token(x) @ _tokens(x).mT).softmax(-1) @ _tokens(x)),
            Layout("tokens", 6, 8, 8, prefix=1),
        ),
        # a residual tells where a branch has lost its positions
        (
            lambda x: _tokens(x) + F.linear(_tokens(x).mT, torch.zeros(64, 64)).mT,
            Layout("tokens", 6, 8, 8),
        ),
        (
            lambda x: x + _whole(_windows(x).roll(1, 1)).permute(0, 3, 1, 2),
            Layout("map", 6, 8, 8),
        ),
    ],
)
def test_layouts_follow_from_the_operations(
    function: Callable[[Tensor], Tensor], layout: Layout | None
) -> None:
    found = _found(function)
    assert found == (layout and Found((layout,), True))


def test_queries_that_no_image_gives_have_no_positions() -> None:
    queries = torch.zeros(1, 16, 6)

    def attend(x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(queries.expand(len(x), -1, -1), _tokens(x), _tokens(x))

    found = _found(attend)
    assert found is None or not found.sure


@pytest.mark.parametrize(
    "function",
    [
        lambda x: _tokens(x).roll(5, 1),
        lambda x: _tokens(x)[:, torch.arange(63, -1, -1)],
        lambda x: F.linear(_tokens(x).mT, torch.zeros(64, 64)).mT,
        lambda x: torch.stack([_tokens(x)[:, i] for i in range(64)], dim=1),
    ],
)
def test_positions_that_operations_lose_are_left_to_the_probe(function: Callable[[Tensor], Tensor]) -> None:
    assert _found(function) == Found((Layout("tokens", 6, 8, 8),), False)


def test_declared_prefix_tokens_count_where_operations_dont_tell() -> None:
    found = _found(lambda x: _class_token(x).roll(1, 1), prefix=1)
    assert found == Found((Layout("tokens", 6, 8, 8, prefix=1),), False)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.mean((2, 3)),
        lambda x: torch.cat([_tokens(x), _class_token(x)[:, :1]], dim=1),  # a token after the grid's
        lambda x: _class_token(x)[:, :5],
        lambda x: _windows(x),
        lambda x: x.transpose(2, 3),
    ],
)
def test_what_is_no_feature_map_of_the_whole_image_has_no_layout(
    function: Callable[[Tensor], Tensor],
) -> None:
    assert _found(function) is None


def test_a_wide_image_has_a_wide_grid() -> None:
    assert _found(_class_token, (3, 32, 64)) == Found((Layout("tokens", 6, 8, 16, prefix=1),), True)
