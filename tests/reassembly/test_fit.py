"""What the fit report says, from layouts alone: no network is built."""

import dataclasses

import pytest

from dery_core.errors import DeryError
from dery_core.partition import Block
from dery_core.reassembly import (
    SEAM_STYLES,
    BlockFacts,
    Candidates,
    Fit,
    HybridSpec,
    SeamStyle,
    build_hybrid,
    fit_report,
    seam_cost,
)
from dery_core.zoo import Layout, Zoo, ZooModel

MAP = Layout("map", 64, 56, 56)
TOKENS = Layout("tokens", 192, 14, 14, prefix=1)


def record(name: str) -> ZooModel:
    return ZooModel(name, "resnet18", "w", "t", (3, 224, 224), (0.5,) * 3, (0.5,) * 3)


def fit(source: Layout, target: Layout, style: SeamStyle = SEAM_STYLES["default"]) -> Fit:
    """The fit between a block of network a that gives `source` and one of b that takes `target`."""
    image = Layout("map", 3, 224, 224)

    def facts(name: str, node: int, layouts: tuple[Layout, Layout]) -> BlockFacts:
        return BlockFacts(Block(name, node, node), "n", "n", 1, 1, *layouts)

    a = (facts("a", 0, (image, source)), facts("a", 1, (source, source)))
    b = (facts("b", 0, (image, target)), facts("b", 1, (target, target)))
    known = Candidates(("a", "b"), (a, b), ((0, 1), (0, 1)), 10, style)
    spec = HybridSpec((a[0].block, b[1].block), (record("a"), record("b")), 10, 0, 0, style)
    (found,) = fit_report(spec, known)
    return found


def test_a_seam_that_changes_only_the_layout_loses_nothing() -> None:
    found = fit(Layout("map", 64, 14, 14), Layout("map_last", 96, 14, 14))
    assert (found.remarks, found.summary, found.resize) == ((), "14×14 → 14×14", (1.0, 1.0))


def test_shrinking_is_told_as_lost_detail_with_factor_and_strides() -> None:
    found = fit(MAP, TOKENS)
    assert found.summary == "56×56 → 14×14 (÷4), class token learned"
    assert found.strides == ((4.0, 4.0), (16.0, 16.0))
    assert found.resize == (0.25, 0.25)
    assert "detail is lost: 16 positions are averaged into one" in found.remarks
    assert "class token learned anew: the same for every image" in found.remarks
    assert (found.params, found.macs) == seam_cost(MAP, TOKENS)


def test_growing_is_told_as_no_gain_and_a_dropped_token_as_lost() -> None:
    found = fit(TOKENS, MAP)
    assert found.summary == "14×14 → 56×56 (×4), class token dropped"
    assert found.remarks == (
        "no detail is gained: one position is spread over 16",
        "192 channels are projected onto 64",
        "class token dropped: what the source kept there is lost",
    )


def test_tokens_of_both_sides_are_carried_as_far_as_they_go() -> None:
    found = fit(TOKENS, Layout("tokens", 192, 14, 14, prefix=5))
    assert (found.carried, found.learned, found.dropped) == (1, 4, 0)
    assert found.summary == "14×14 → 14×14, class token carried, 4 class and register tokens learned"


def test_another_aspect_and_another_order_are_in_the_summary() -> None:
    unrolled = Layout("tokens", 64, 4, 4, order=((2, 8), (2, 2), (2, 4), (2, 1)))
    assert (
        fit(Layout("map", 64, 8, 4), unrolled).summary == "8×4 → 4×4 (÷2 down, ×1 across), tokens reordered"
    )


def test_streams_fed_from_one_map_are_told() -> None:
    streams = Layout.of_parts([Layout("map", 32, 14, 14), Layout.vector(40)])
    assert fit(Layout("map", 72, 14, 14), streams).remarks == (
        "what the next block takes without positions is the mean of a map",
        "the 2 tensors that the next block takes are all made from one map",
    )
    assert fit(streams, streams).remarks == (
        "what the next block takes without positions is the mean of a map",
    )


def test_a_stride_is_the_convolutions_and_no_resizing() -> None:
    style = SeamStyle(stride=2)
    found = fit(MAP, Layout("map", 64, 28, 28), style)
    assert (found.resize, found.remarks) == ((1.0, 1.0), ())


def test_adjoining_blocks_have_no_fit(zoo: Zoo, priced: Candidates) -> None:
    assert [found.stage for found in fit_report(priced.spec(zoo, (1, 1, 0)), priced)] == [1]


def test_candidates_that_do_not_hold_the_hybrid_are_a_sentence(zoo: Zoo, priced: Candidates) -> None:
    spec = priced.spec(zoo, (0, 1, 2))
    with pytest.raises(DeryError, match="give its line graphs"):
        fit_report(dataclasses.replace(spec, blocks=(Block("map", 0, 0), *spec.blocks[1:])), priced)


def test_the_fit_of_every_seam_is_what_the_built_hybrid_has(zoo: Zoo, priced: Candidates) -> None:
    spec = priced.spec(zoo, (2, 1, 0))
    seams = build_hybrid(spec, zoo).seams
    for found, seam in zip(fit_report(spec, priced), seams, strict=True):
        assert (found.source, found.target) == (seam.source, seam.target)
        assert found.params == sum(p.numel() for p in seam.parameters())
