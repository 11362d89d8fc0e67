"""Any block after any block, over families that differ in layout: class token, windows that aren't in
raster order, channels last, several tensors at once. All of timm's families: benchmarks/any_to_any.py."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dery_core.zoo import LineGraph

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
def benchmark() -> Iterator[ModuleType]:
    path = Path(__file__).parents[2] / "benchmarks" / "any_to_any.py"
    spec = importlib.util.spec_from_file_location("any_to_any", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "any_to_any", module)
        spec.loader.exec_module(module)
        yield module


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
    trial = benchmark.tried(0, models, style, graphs)
    assert (trial.style, trial.fault) == (style, "")


def test_official_seams_work_or_are_refused_in_a_sentence(
    benchmark: ModuleType, graphs: dict[str, LineGraph]
) -> None:
    fits = benchmark.tried(
        0, ("resnet10t", "mobilenetv3_small_050", "resnet10t", "mambaout_femto"), "official", graphs
    )
    assert (fits.style, fits.fault, fits.refused) == ("official", "", "")
    unfit = benchmark.tried(0, ("resnet10t", "hiera_tiny_224", "resnet10t", "resnet10t"), "official", graphs)
    assert (unfit.style, unfit.fault) == ("default", "")
    assert unfit.refused.endswith("choose a seam style that resizes and keeps prefix tokens.")
