"""Any block after any block, over families that differ in layout: class token, windows that aren't in
raster order, channels last, several tensors at once. All of timm's families: benchmarks/any_to_any.py."""

import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dery_core.zoo import LineGraph

BENCHMARK = "any_to_any"

# Beside families of the benchmark, made smaller.
MEMBERS: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("resnet10t", 32, {"channels": [8, 8, 16, 16], "stem_width": 8}),
    ("mobilenetv3_small_050", 32, {}),
    (
        "deit_tiny_patch16_224",
        32,
        {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 4, "num_heads": 2},
    ),
    ("hiera_tiny_224", 64, {"img_size": 64, "embed_dim": 16, "num_heads": 1, "stages": [1, 1, 2, 1]}),
    # its blocks share the network that makes their position bias, which each of them runs for itself
    (
        "vit_srelpos_small_patch16_224",
        32,
        {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 4, "num_heads": 2},
    ),
    ("mambaout_femto", 32, {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}),
    ("efficientvim_m1", 64, {"embed_dim": [16, 24, 32]}),
)
CHAINS = (
    ("resnet10t", "deit_tiny_patch16_224", "hiera_tiny_224", "mambaout_femto"),
    ("deit_tiny_patch16_224", "hiera_tiny_224", "mambaout_femto", "efficientvim_m1"),
    ("efficientvim_m1", "efficientvim_m1", "mobilenetv3_small_050", "deit_tiny_patch16_224"),
    ("hiera_tiny_224", "mambaout_femto", "efficientvim_m1", "resnet10t"),
    ("mambaout_femto", "mobilenetv3_small_050", "deit_tiny_patch16_224", "hiera_tiny_224"),
    ("vit_srelpos_small_patch16_224", "mambaout_femto", "vit_srelpos_small_patch16_224", "resnet10t"),
)


@pytest.fixture(scope="module")
def graphs(benchmark: ModuleType) -> dict[str, LineGraph]:
    return {member[0]: benchmark.cut(member) for member in MEMBERS}


def test_the_families_have_every_kind_of_layout_inside(graphs: dict[str, LineGraph]) -> None:
    layouts = [layout for graph in graphs.values() for layout in graph.layouts]
    assert {layout.kind for layout in layouts} >= {"map", "map_last", "tokens", "streams"}
    assert any(layout.order for layout in layouts)
    assert any(layout.prefix for layout in layouts)


@pytest.mark.parametrize("style", ["default", "plain"])
@pytest.mark.parametrize("models", CHAINS, ids=" ".join)
def test_any_block_follows_any_other(
    benchmark: ModuleType, graphs: dict[str, LineGraph], models: tuple[str, ...], style: str
) -> None:
    # Finite output and gradients, and costs in closed form equal to what the built hybrid shows.
    trial = benchmark.tried(0, models, style, graphs, MEMBERS)
    assert (trial.style, trial.fault) == (style, "")


def test_official_seams_work_or_are_refused_in_a_sentence(
    benchmark: ModuleType, graphs: dict[str, LineGraph]
) -> None:
    fits = benchmark.tried(
        0, ("resnet10t", "mobilenetv3_small_050", "resnet10t", "mambaout_femto"), "official", graphs, MEMBERS
    )
    assert (fits.style, fits.fault, fits.refused) == ("official", "", "")
    unfit = benchmark.tried(
        0, ("resnet10t", "hiera_tiny_224", "resnet10t", "resnet10t"), "official", graphs, MEMBERS
    )
    assert (unfit.style, unfit.fault) == ("default", "")
    assert unfit.refused.endswith("choose a seam style that resizes and keeps prefix tokens.")


def test_what_was_kept_of_other_code_or_of_none_named_is_tried_again(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = benchmark.Trial(0, ("resnet10t",) * 4, "default", 0.1, 1, 1, "")
    lines = [
        asdict(trial),
        {"code": "of old", **asdict(trial)},
        {"code": "of now", **asdict(trial), "index": 7},
    ]
    (tmp_path / "kept.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert benchmark._read(tmp_path / "kept.jsonl") == []
    monkeypatch.setattr(benchmark, "code", lambda: "of now")
    assert [each.index for each in benchmark._read(tmp_path / "kept.jsonl")] == [7]


def test_a_hybrids_members_are_those_its_graphs_are_of(
    benchmark: ModuleType, graphs: dict[str, LineGraph]
) -> None:
    """With the settings that make them small: who has the specification can build it again."""
    records = {member[0]: benchmark.record(member) for member in MEMBERS}
    spec = benchmark.specified(CHAINS[0], "default", graphs, records)
    assert {model.name: dict(model.model_kwargs) for model in spec.models} == {
        name: settings for name, _, settings in MEMBERS if name in CHAINS[0]
    }
