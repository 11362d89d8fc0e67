"""A zoo of three tiny networks, one a layout, cut into K = 3; and random programs with known prices."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from dery_core.data import Probe
from dery_core.files import sha256
from dery_core.partition import Block, Partition
from dery_core.reassembly import BlockFacts, Candidates
from dery_core.reassembly.candidates import candidates as price
from dery_core.search import LinearScore
from dery_core.zoo import Layout, LineGraph, Zoo, ZooModel, zoo_line_graph

K = 3
_ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "map": ("resnet18", {"channels": [8, 8, 12, 16], "layers": [1, 1, 2, 1], "stem_width": 8}),
    "tokens": (
        "vit_tiny_patch16_224",
        {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 4, "num_heads": 2},
    ),
    "map_last": (
        "swin_tiny_patch4_window7_224",
        {
            "img_size": 16,
            "patch_size": 2,
            "window_size": 4,
            "embed_dim": 8,
            "depths": [2, 2],
            "num_heads": [2, 2],
        },
    ),
}


@pytest.fixture(scope="session", autouse=True)
def cut_once() -> Iterator[None]:
    """Cut each network once: blocks are copied or read, so every test may share the line graphs."""
    with pytest.MonkeyPatch.context() as patch:
        known: dict[tuple[Path, str, str], LineGraph] = {}

        def once(zoo: Zoo, name: str) -> LineGraph:
            key = (zoo.path, name, zoo.model(name).sha256)
            if key not in known:
                known[key] = zoo_line_graph(zoo, name)
            return known[key]

        for user in ("reassembly.candidates", "reassembly.hybrid", "scoring.parts", "similarity.cache"):
            patch.setattr(importlib.import_module(f"dery_core.{user}"), "zoo_line_graph", once)
        yield


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    folder = tmp_path_factory.mktemp("zoo")
    models = []
    for seed, (name, (architecture, kwargs)) in enumerate(_ARCHITECTURES.items()):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = timm.create_model(architecture, num_classes=4, **kwargs)
            module(torch.randn(32, 3, 16, 16))  # gives batch normalisation statistics worth keeping
        weights = folder / f"{name}.safetensors"
        save_file(module.state_dict(), weights)
        models.append(
            ZooModel(
                name,
                architecture,
                weights.name,
                source_task="none",
                input_size=(3, 16, 16),
                mean=(0.5, 0.4 + seed / 10, 0.5),
                std=(0.5, 0.5, 0.5),
                model_kwargs={**kwargs, "num_classes": 4},
                sha256=sha256(weights),
            )
        )
    return Zoo(folder / "zoo.json", tuple(models))


@pytest.fixture(scope="module")
def benchmark(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The script of benchmarks/ that the test's module names in BENCHMARK."""
    name = request.module.BENCHMARK
    spec = importlib.util.spec_from_file_location(
        name, Path(__file__).parents[1] / "benchmarks" / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        yield module


@pytest.fixture(scope="session")
def partition(zoo: Zoo) -> Partition:
    """Every network cut into K blocks of about as many nodes; stage k is set k."""
    blocks = []
    for name in zoo.names:
        cuts = np.linspace(0, len(zoo_line_graph(zoo, name).nodes), K + 1).round().astype(int).tolist()
        blocks.append(tuple(Block(name, a, b - 1) for a, b in zip(cuts, cuts[1:], strict=False)))
    n = len(zoo.names)
    return Partition(
        k=K,
        epsilon=0.2,
        size="nodes",
        models=zoo.names,
        blocks=tuple(blocks),
        sets=(tuple(range(K)),) * n,
        similarity=((1.0,) * K,) * n,
        anchors=blocks[0],
        objective=float(n * K),
        upper_bound=float(n * K),
    )


@pytest.fixture(scope="session")
def priced(zoo: Zoo, partition: Partition) -> Candidates:
    return price(zoo, partition, num_classes=5)


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """64 images of noise: two batches."""
    random = np.random.default_rng(0)
    path: Path = tmp_path_factory.mktemp("task") / "noise.npz"
    np.savez(path, x=random.integers(0, 256, (100, 16, 16, 3), np.uint8), y=np.arange(100) % 4)
    return Probe(f"npz:{path}", 64)


@pytest.fixture(scope="session")
def random_candidates() -> Callable[..., Candidates]:
    """Candidates of n models in k stages with random prices and layouts; sets shuffled on request."""

    def made(seed: int, n: int = 5, k: int = 3, shuffled: bool = False) -> Candidates:
        random = np.random.default_rng(seed)
        blocks, sets = [], []
        for i in range(n):
            layouts = [_layout(random, cut, k) for cut in range(k + 1)]
            blocks.append(
                tuple(
                    BlockFacts(
                        Block(f"m{i}", stage, stage),
                        f"n{stage}",
                        f"n{stage}",
                        params=int(random.integers(1_000, 60_000)),
                        macs=int(random.integers(100_000, 5_000_000)),
                        input=layouts[stage],
                        output=layouts[stage + 1],
                    )
                    for stage in range(k)
                )
            )
            sets.append(tuple(random.permutation(k).tolist() if shuffled else range(k)))
        return Candidates(tuple(f"m{i}" for i in range(n)), tuple(blocks), tuple(sets), num_classes=10)

    return made


def _layout(random: np.random.Generator, cut: int, k: int) -> Layout:
    kind = random.choice(["map", "map_last", "tokens"])
    side = 2 ** (k + 1 - cut)
    prefix = int(random.integers(3)) if kind == "tokens" else 0
    return Layout(kind, int(random.integers(8, 65)), side, side, prefix)


@pytest.fixture(scope="session")
def random_linear() -> Callable[..., LinearScore]:
    """A linear score with random terms; `coarse` ones are whole numbers, so that many scores tie."""

    def made(seed: int, n: int = 5, k: int = 3, coarse: bool = False) -> LinearScore:
        random = np.random.default_rng(seed + 1000)
        block, pair = random.normal(size=(k, n)) * 5, random.normal(size=(k - 1, n, n))
        quantum = 1.0 if coarse else 1e-4
        if coarse:
            block, pair = block / 5, pair / 5
        return LinearScore(300.0, _nested(block, quantum), _nested(pair, quantum), quantum)

    return made


def _nested(array: NDArray, quantum: float) -> tuple:
    return tuple(_nested(a, quantum) if a.ndim else float(np.rint(a / quantum) * quantum) for a in array)
