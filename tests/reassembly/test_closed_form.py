from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn
from torch.nn import functional

from dery_core.data import preprocess
from dery_core.errors import Cancelled, DeryError
from dery_core.modules import received
from dery_core.partition import Block
from dery_core.progress import Progress
from dery_core.reassembly import (
    SEAM_STYLES,
    Candidates,
    Hybrid,
    HybridSpec,
    Seam,
    SeamStyle,
    build_hybrid,
    closed_form,
)
from dery_core.reassembly.closed_form import ClosedForm, Feed, fit_closed_form
from dery_core.reassembly.least_squares import Moments, solve
from dery_core.reassembly.ridge_head import PENALTIES, fit_ridge_head
from dery_core.zoo import Zoo, feature_map, prefix_tokens, zoo_line_graph

CLASSES = 5
Stitched = Callable[..., tuple[HybridSpec, Hybrid]]


def pictures(count: int = 60) -> tuple[Tensor, Tensor]:
    """Coarse noise whose brightness leans to the class."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % CLASSES
    coarse = random.integers(0, 200, (count, 3, 4, 4)) + 10 * labels[:, None, None, None]
    images = coarse.repeat(4, axis=2).repeat(4, axis=3)
    return torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels)


def fitted(spec: HybridSpec, zoo: Zoo, **options: Any) -> tuple[Hybrid, ClosedForm]:
    hybrid = build_hybrid(spec, zoo)
    return hybrid, fit_closed_form(hybrid, spec, zoo, *pictures(), **options)


def same(left: nn.Module, right: nn.Module) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@torch.no_grad()
def at_cut(zoo: Zoo, name: str, cut: int) -> Tensor:
    """What a network holds at a cut for the pictures."""
    x = preprocess(pictures()[0], zoo.model(name))
    for node in zoo_line_graph(zoo, name).nodes[:cut]:
        x = node.module(x)
    return x


@torch.no_grad()
def into_stage(hybrid: Hybrid, spec: HybridSpec, k: int) -> Tensor:
    """What enters a hybrid's stage k for the pictures."""
    return received(hybrid, hybrid.stages[k], preprocess(pictures()[0], spec.source))


@pytest.fixture
def spec(zoo: Zoo, priced: Candidates) -> HybridSpec:
    """Blocks of all three networks: map, then tokens, then channels-last map."""
    return priced.spec(zoo, (0, 1, 2))


@pytest.fixture
def stitched(zoo: Zoo, priced: Candidates) -> Stitched:
    """A network cut in its middle, with a seam between its halves although they adjoin."""

    def made(name: str, style: SeamStyle) -> tuple[HybridSpec, Hybrid]:
        graph = zoo_line_graph(zoo, name)
        middle = len(graph.nodes) // 2
        blocks = (Block(name, 0, middle - 1), Block(name, middle, len(graph.nodes) - 1))
        spec = replace(priced.spec(zoo, (zoo.names.index(name),) * 3), blocks=blocks)
        hybrid = build_hybrid(spec, zoo)
        hybrid.seams[0] = Seam(graph.layouts[middle], graph.layouts[middle], style).eval()
        return spec, hybrid

    return made


@pytest.mark.parametrize("style", ["default", "plain"])
@pytest.mark.parametrize("name", ["map", "map_last"])
def test_a_network_stitched_to_itself_is_itself_again(
    zoo: Zoo, stitched: Stitched, name: str, style: str
) -> None:
    """A seam's normalisation is no hindrance: it is linear once its statistics are set."""
    spec, hybrid = stitched(name, SEAM_STYLES[style])
    before = into_stage(hybrid, spec, 1)
    closed = fit_closed_form(hybrid, spec, zoo, *pictures())
    own = at_cut(zoo, name, spec.blocks[1].start)
    assert (before - own).abs().max() > 0.5
    assert torch.allclose(into_stage(hybrid, spec, 1), own, atol=1e-3)
    assert closed.seams[0].r2 == pytest.approx(1, abs=1e-6)


def test_a_transformer_stitched_to_itself_gets_its_class_token_back_too(zoo: Zoo, stitched: Stitched) -> None:
    spec, hybrid = stitched("tokens", SEAM_STYLES["plain"])
    closed = fit_closed_form(hybrid, spec, zoo, *pictures())
    assert torch.allclose(into_stage(hybrid, spec, 1), at_cut(zoo, "tokens", spec.blocks[1].start), atol=1e-3)
    assert (closed.seams[0].r2, closed.seams[0].prefix_r2) == pytest.approx((1, 1), abs=1e-6)


def test_a_class_token_that_nothing_is_carried_to_is_its_mean(zoo: Zoo, spec: HybridSpec) -> None:
    hybrid, closed = fitted(spec, zoo)
    layout = zoo_line_graph(zoo, "tokens").layouts[spec.blocks[1].start]
    own = prefix_tokens(at_cut(zoo, "tokens", spec.blocks[1].start), layout)
    assert own.std(0).max() > 1e-3
    assert torch.allclose(hybrid.get_parameter("seams.0.prefix"), own.mean(0), atol=1e-5)
    assert closed.seams[0].prefix_r2 == pytest.approx(0, abs=0.2)


def test_a_fitted_seam_predicts_what_the_next_block_saw_better_than_its_mean(
    zoo: Zoo, spec: HybridSpec
) -> None:
    hybrid, closed = fitted(spec, zoo)
    for k, fit in enumerate(closed.seams, 1):
        block = spec.blocks[k]
        layout = zoo_line_graph(zoo, block.model).layouts[block.start]
        own = feature_map(at_cut(zoo, block.model, block.start), layout)
        given = feature_map(into_stage(hybrid, spec, k), layout)
        explained = (
            1 - (given - own).square().sum() / (own - own.mean((0, 2, 3), keepdim=True)).square().sum()
        )
        assert explained > 0.1
        assert fit.r2 == pytest.approx(float(explained), abs=0.15)


def test_batch_normalisation_gets_the_statistics_of_what_it_receives(zoo: Zoo, spec: HybridSpec) -> None:
    hybrid, _ = fitted(spec, zoo)
    norm = hybrid.get_submodule("seams.0.norm")
    with torch.no_grad():
        given = received(hybrid, norm, preprocess(pictures()[0], spec.source))
        assert torch.allclose(norm.get_buffer("running_mean"), given.mean((0, 2, 3)), atol=1e-5)
        out = norm(given)
    assert torch.allclose(out.var((0, 2, 3)), torch.ones(out.shape[1]), atol=0.05)


def test_blocks_and_adjoining_seams_stay_as_they_are(zoo: Zoo, priced: Candidates) -> None:
    spec = priced.spec(zoo, (0, 0, 1))
    hybrid, closed = fitted(spec, zoo)
    untouched = build_hybrid(spec, zoo)
    assert same(hybrid.stages, untouched.stages)
    assert type(hybrid.seams[0]) is nn.Identity
    assert closed.seams[0] == type(closed.seams[0])()
    assert not same(hybrid.seams[1], untouched.seams[1])


def test_modes_come_back_as_they_were(zoo: Zoo, spec: HybridSpec) -> None:
    hybrid = build_hybrid(spec, zoo)
    hybrid.seams.train()
    fit_closed_form(hybrid, spec, zoo, *pictures())
    assert hybrid.seams[0].training
    assert not hybrid.stages[0].training


def test_neither_the_images_order_nor_earlier_draws_change_a_bit(zoo: Zoo, spec: HybridSpec) -> None:
    images, labels = pictures()
    hybrids, fits = [], []
    for seed in range(2):
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        torch.manual_seed(seed)
        hybrids.append(build_hybrid(spec, zoo))
        fits.append(fit_closed_form(hybrids[-1], spec, zoo, images[order], labels[order]))
    assert same(*hybrids)
    assert fits[0] == fits[1]


def test_the_batch_size_matters_by_rounding_only(zoo: Zoo, spec: HybridSpec) -> None:
    (one, _), (other, _) = (fitted(spec, zoo, batch_size=size) for size in (7, 64))
    x = preprocess(pictures()[0], spec.source)
    with torch.no_grad():
        assert torch.allclose(one(x), other(x), atol=1e-3)


def test_what_is_not_kept_is_computed_again() -> None:
    calls: list[str] = []

    def double(x: Tensor) -> Tensor:
        calls.append("double")
        return x.mul_(2)

    results = []
    for kept_bytes in (0, 1 << 20):
        calls.clear()
        feed = Feed([torch.ones(3), torch.full((2,), 5.0)], kept_bytes)
        feed.then(double)
        feed.then(double)
        results.append([x.tolist() for _ in range(3) for x in feed])
        assert len(calls) > 4 if kept_bytes == 0 else len(calls) == 4
    assert results[0] == results[1] == [[4.0] * 3, [20.0] * 2] * 3


@pytest.mark.parametrize("kept_bytes", [0, 1 << 20])
def test_every_pass_over_the_images_is_counted_once(kept_bytes: int) -> None:
    """Also one that is given up, as its results are too large to be kept."""
    seen: list[int] = []
    feed = Feed([torch.ones(3), torch.ones(2)], kept_bytes, seen.append)
    feed.then(torch.neg)
    assert sum(seen) == 5
    feed.skip()
    assert sum(seen) == 10
    assert len(list(feed)) == 2
    assert sum(seen) == 15


@pytest.mark.parametrize("style", ["default", "official"])
def test_a_start_reports_every_batch_of_its_longest_parts_and_ends_at_its_total(
    zoo: Zoo, spec: HybridSpec, style: str
) -> None:
    """ "Stop" is heard where progress is told: in the network's own blocks too, before any seam."""
    told: list[Progress] = []
    fitted(replace(spec, seam=SEAM_STYLES[style]), zoo, report=told.append)
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert done[-1] == told[-1].total == 9 * 60
    assert sum(number <= 2 * 60 for number in done) >= 4


def test_a_seam_of_too_many_inputs_is_left_random_and_says_so(
    zoo: Zoo, spec: HybridSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closed_form, "LARGEST_INPUTS", 1)
    hybrid, closed = fitted(spec, zoo)
    assert torch.equal(
        hybrid.get_parameter("seams.0.conv.weight"),
        build_hybrid(spec, zoo).get_parameter("seams.0.conv.weight"),
    )
    assert "inputs are more than 1" in closed.seams[0].remark


@pytest.mark.parametrize("intercept", [True, False])
def test_least_squares_finds_the_weight_behind_groups_of_rows(intercept: bool) -> None:
    random = np.random.default_rng(0)
    weight, biases = random.normal(size=(2, 4)), random.normal(size=(3, 2)) * intercept
    groups: dict[str, list[Moments]] = {"kept": [], "held": []}
    for moments in groups.values():
        for bias in biases:
            x = random.normal(size=(50, 4)) * [1, 1e-3, 1e3, 1] + 2
            moments.append(Moments())
            for part in np.split(x, [10, 30]):
                moments[-1].add(torch.from_numpy(part), torch.from_numpy(part @ weight.T + bias))
    found = solve(groups["kept"], groups["held"], (1e-12, 1.0), intercept)
    assert found.penalty == 1e-12
    assert np.allclose(found.weight, weight, atol=1e-4)
    assert np.allclose(torch.stack(found.biases), biases, atol=1e-4)
    assert found.r2 == pytest.approx(1)


@pytest.mark.parametrize("value", [0.0, 0.7, -31.3])
def test_a_feature_that_never_changes_gets_no_weight(value: float) -> None:
    """Dead channels: the rounding left of their variance must not be divided by."""
    random = np.random.default_rng(0)
    constants = value * random.normal(size=7)
    groups: list[Moments] = [Moments(), Moments()]
    for each in groups:
        x = random.normal(size=(500, 9)).astype(np.float32)
        y = torch.from_numpy(x[:, :1] + 0.1 * random.normal(size=(500, 1)))
        x[:, 2:] = constants
        for part, wanted in zip(torch.from_numpy(x).split(27), y.split(27), strict=True):
            each.add(part, wanted)
    found = solve(groups[:1], groups[1:], (1e-8, 1e-2))
    assert not found.weight[0, 2:].any()
    assert found.weight[0, 0] == pytest.approx(1, abs=0.05)
    assert found.r2 == pytest.approx(0.99, abs=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_a_class_token_that_is_equal_in_all_images_explains_nothing(seed: int) -> None:
    """Right behind a ViT's embedding it is: what is wanted of it is then its mean."""
    random = torch.Generator().manual_seed(seed)
    token = functional.layer_norm(torch.randn(192, generator=random), (192,))
    kept, held = Moments(), Moments()
    for _ in range(32):
        for each, count in ((kept, 25), (held, 7)):  # powers of two wouldn't round
            each.add(token.expand(count, 192), torch.randn(count, 192, generator=random))
    found = solve([kept], [held], (1e-8, 1e-2, 1.0))
    assert not found.weight.any()
    assert abs(found.r2) < 0.1
    assert found.biases[0].abs().max() < 0.3


def test_the_penalty_grows_where_there_is_nothing_to_find() -> None:
    """40 rows of 30 features that tell nothing: the smallest penalty would fit noise."""
    random = np.random.default_rng(0)
    moments = [Moments(), Moments()]
    for each in moments:
        each.add(
            torch.from_numpy(random.normal(size=(40, 30))), torch.from_numpy(random.normal(size=(40, 2)))
        )
    found = solve(moments[:1], moments[1:], (1e-6, 1e-2, 10.0))
    assert found.penalty == 10.0
    assert found.r2 < 0.1


def test_the_head_is_scikit_learns_ridge_scaled() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = random.normal(size=(90, 8)) + np.eye(8)[labels]
    found = fit_ridge_head(torch.from_numpy(features), torch.from_numpy(labels), 3)
    alphas = PENALTIES * 90 * features.var(axis=0).mean()
    expected = RidgeCV(alphas=alphas).fit(features, np.eye(3)[labels])
    assert found.penalty == pytest.approx(expected.alpha_)
    scale = found.weight[0, 0] / expected.coef_[0, 0]
    assert np.allclose(found.weight, scale * expected.coef_)
    assert np.allclose(found.bias, scale * expected.intercept_)
    left_out = [
        RidgeCV(alphas=[expected.alpha_])
        .fit(features[rest], np.eye(3)[labels[rest]])
        .predict(features[i : i + 1])
        for i, rest in enumerate(np.flatnonzero(np.arange(90) != i) for i in range(90))
    ]
    scores = torch.from_numpy(np.concatenate(left_out))
    assert found.top1 == pytest.approx(100 * float((scores.argmax(1).numpy() == labels).mean()))

    def loss(factor: float) -> float:
        return float(functional.cross_entropy(factor * scores, torch.from_numpy(labels)))

    assert loss(scale) < min(loss(1.0), loss(0.8 * scale), loss(1.25 * scale))


def test_the_hybrids_own_head_gives_what_the_fit_promises(zoo: Zoo, spec: HybridSpec) -> None:
    hybrid, closed = fitted(spec, zoo)
    images, labels = pictures()
    with torch.no_grad():
        right = (hybrid(preprocess(images, spec.source)).argmax(1) == labels).float().mean()
    assert 100 * float(right) >= closed.head_top1 > 100 / CLASSES
    assert closed.images == len(images)


def test_a_seam_with_an_activation_and_without_bias_is_fitted_too(zoo: Zoo, spec: HybridSpec) -> None:
    spec = replace(spec, seam=SEAM_STYLES["official"])
    hybrid, closed = fitted(spec, zoo)
    random = build_hybrid(spec, zoo)
    for k, block in enumerate(spec.blocks[1:], 1):
        own = at_cut(zoo, block.model, block.start)
        layout = zoo_line_graph(zoo, block.model).layouts[block.start]
        own = feature_map(own, layout)
        errors = []
        for each in (hybrid, random):
            seam = each.seams[k - 1]
            assert isinstance(seam, Seam)
            given = feature_map(into_stage(each, spec, k), seam.target)
            errors.append(float((given - own).square().sum()))
        assert errors[0] < 0.7 * errors[1]
    assert all(fit.r2 is not None and fit.r2 > 0 for fit in closed.seams)


def test_a_seam_on_another_grid_than_the_next_blocks_own_is_left_as_it_was(
    zoo: Zoo, priced: Candidates
) -> None:
    spec = replace(priced.spec(zoo, (0, 1, 1)), seam=SEAM_STYLES["official"], strides=(2, 1))
    hybrid, closed = fitted(spec, zoo)
    untouched = build_hybrid(spec, zoo)
    for fit, seam, before in zip(closed.seams, hybrid.seams, untouched.seams, strict=True):
        assert fit.r2 is None
        assert torch.equal(seam.get_parameter("conv.weight"), before.get_parameter("conv.weight"))
    assert str(closed).count("left random") == 2


def test_a_report_may_stop_the_fit(zoo: Zoo, spec: HybridSpec) -> None:
    def stop(progress: Progress) -> None:
        if progress.done:
            raise Cancelled

    with pytest.raises(Cancelled):
        fitted(spec, zoo, report=stop)


@pytest.mark.parametrize(
    ("count", "labels", "match"),
    [
        (4, [0, 1, 2, 3], "4 images are too few .* 5 classes"),
        (6, [0, 1, 2, 3, 4], "5 labels for 6 images"),
        (6, [0, 1, 2, 3, 4, -1], "labels go from -1 to 4"),
        (6, [0, 1, 2, 3, 4, 5], "labels go from 0 to 5"),
    ],
)
def test_images_that_cant_be_fitted_to_are_refused(
    zoo: Zoo, spec: HybridSpec, count: int, labels: list[int], match: str
) -> None:
    with pytest.raises(DeryError, match=match):
        fit_closed_form(build_hybrid(spec, zoo), spec, zoo, pictures(count)[0], torch.tensor(labels))


@pytest.mark.parametrize("broken", [float("inf"), float("nan")])
def test_values_that_are_no_numbers_end_the_fit_with_a_sentence(broken: float) -> None:
    x = torch.ones(10, 3)
    x[4, 1] = broken
    moments = Moments()
    moments.add(x, torch.ones(10, 2))
    with pytest.raises(DeryError, match="infinite or not a number"):
        solve([moments], [moments], (1.0,))
    with pytest.raises(DeryError, match="infinite or not a number"):
        fit_ridge_head(x, torch.arange(10) % 2, 2)
