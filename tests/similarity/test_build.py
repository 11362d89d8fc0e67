import dataclasses
import resource
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dery_core.data import TARGET_TASK, Probe, preprocess, probe_images
from dery_core.errors import Cancelled, DeryError
from dery_core.progress import Progress
from dery_core.similarity import (
    Comparison,
    SimilarityTable,
    cut_features,
    similarity_matrix,
    similarity_table,
)
from dery_core.similarity.cache import CutRecord, computed_record
from dery_core.workspace import Workspace
from dery_core.zoo import Layout, LineGraph, Node, Zoo, ZooModel

PROBE = Probe(TARGET_TASK, 24)


def test_rows_are_every_models_cuts_in_order(zoo: Zoo, workspace: Workspace, built: list[str]) -> None:
    table = similarity_table(zoo, ["b", "a"], PROBE, workspace)
    assert table.models == ("b", "a")
    assert list(table.index.columns) == ["model", "cut", "node", "layout", "params", "macs", "weights"]
    for name in table.models:
        index = table.index.iloc[table.rows(name)]
        assert (index["model"] == name).all()
        assert list(index["cut"]) == list(range(len(index)))
        assert list(index["node"]) == ["input", *(f"n{i}" for i in range(len(index) - 1))]
        assert index["params"].iloc[0] == index["macs"].iloc[0] == 0
        assert index["macs"].is_monotonic_increasing
        assert index["macs"].dtype == index["params"].dtype == np.int64
    assert table.index["layout"].iloc[-1] == "1+8×8 tokens × 6"


def test_values_are_the_cka_of_the_features(
    zoo: Zoo, workspace: Workspace, built: list[str], graph_of: Callable[[str], LineGraph]
) -> None:
    table = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    features = [
        f for n in "ab" for f in cut_features(graph_of(n), zoo.model(n), probe_images(PROBE), batch_size=7)
    ]
    np.testing.assert_allclose(table.values, similarity_matrix(features), atol=1e-6)


def test_the_picture_is_the_same_cut_of_every_model(zoo: Zoo, workspace: Workspace, built: list[str]) -> None:
    table = similarity_table(zoo, zoo.names, PROBE, workspace)
    inputs = np.flatnonzero(table.index["cut"] == 0)
    assert (table.values[np.ix_(inputs, inputs)] == 1).all()
    assert (np.diagonal(table.values) == 1).all()
    assert (table.values == table.values.T).all()


def test_between_reads_one_models_rows_and_the_others_columns(
    zoo: Zoo, workspace: Workspace, built: list[str]
) -> None:
    table = similarity_table(zoo, zoo.names, PROBE, workspace)
    block = table.between("c", "a")
    assert block.shape == (len(table.rows("c")), len(table.rows("a")))
    assert block[3, 2] == table.values[table.rows("c")[3], table.rows("a")[2]]
    np.testing.assert_array_equal(block, table.between("a", "c").T)


def test_a_kept_table_builds_no_network(zoo: Zoo, workspace: Workspace, built: list[str]) -> None:
    first = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    assert sorted(built) == ["a", "b"]
    built.clear()
    again = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    assert built == []
    assert again.key == first.key
    np.testing.assert_array_equal(again.values, first.values)
    assert again.index.equals(first.index)


def test_adding_a_model_computes_one_model(zoo: Zoo, workspace: Workspace, built: list[str]) -> None:
    small = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    built.clear()
    large = similarity_table(zoo, ["a", "b", "c"], PROBE, workspace)
    assert built == ["c"]
    assert large.key != small.key
    np.testing.assert_allclose(large.between("a", "b"), small.between("a", "b"), atol=1e-12)


def test_an_interrupted_table_goes_on_where_it_stopped(
    zoo: Zoo, workspace: Workspace, built: list[str]
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done > 2 * PROBE.count:
            raise Cancelled

    with pytest.raises(Cancelled):
        similarity_table(zoo, zoo.names, PROBE, workspace, report=stop)
    assert built == ["a", "b", "c"]
    built.clear()
    again = similarity_table(zoo, zoo.names, PROBE, workspace)
    assert built == ["c"]
    assert again.models == zoo.names


def test_progress_counts_the_images_of_models_that_must_run(
    zoo: Zoo, workspace: Workspace, built: list[str]
) -> None:
    seen: list[Progress] = []
    similarity_table(zoo, ["a", "b"], PROBE, workspace, report=seen.append)
    features = [p for p in seen if p.step == "Features"]
    assert [(p.done, p.total, p.unit) for p in features] == [(24 * i, 48, "images") for i in range(3)]
    seen.clear()
    similarity_table(zoo, zoo.names, PROBE, workspace, report=seen.append)
    features = [p for p in seen if p.step == "Features"]
    assert [(p.done, p.total) for p in features] == [(0, 24), (24, 24)]
    compared = [p for p in seen if p.step == "Comparison"]
    assert compared[-1].done == compared[-1].total


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 half of one"])
def test_damaged_files_are_computed_again(
    zoo: Zoo, workspace: Workspace, built: list[str], content: bytes
) -> None:
    first = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    for path in [*workspace.features.iterdir(), *workspace.tables.iterdir()]:
        path.write_bytes(content)
    built.clear()
    again = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    assert sorted(built) == ["a", "b"]
    np.testing.assert_array_equal(again.values, first.values)
    built.clear()
    similarity_table(zoo, ["a", "b"], PROBE, workspace)
    assert built == []


def test_features_that_vanish_while_they_are_compared_are_named(
    zoo: Zoo, workspace: Workspace, built: list[str]
) -> None:
    def vanish(progress: Progress) -> None:
        if progress.step == "Comparison":
            for path in workspace.features.iterdir():
                path.unlink()

    with pytest.raises(DeryError, match="can't be read any more: compare the networks again"):
        similarity_table(zoo, ["a", "b"], PROBE, workspace, report=vanish)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "timm:other"},
        {"sha256": "0" * 64},
        {"architecture": "resnet34"},
        {"model_kwargs": {"num_classes": 7}},
        {"mean": [0.0, 0.0, 0.0]},
        {"input_size": [3, 16, 16]},
    ],
)
def test_what_the_features_depend_on_makes_another_key(
    zoo: Zoo,
    workspace: Workspace,
    built: list[str],
    tiny_model: Callable[..., ZooModel],
    change: dict[str, object],
) -> None:
    first = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    built.clear()
    changed = dataclasses.replace(zoo, models=(tiny_model("a", **change), *zoo.models[1:]))
    again = similarity_table(changed, ["a", "b"], PROBE, workspace)
    assert built == ["a"]
    assert again.key != first.key


def test_weights_without_a_declared_hash_are_hashed(
    zoo: Zoo, workspace: Workspace, built: list[str], tiny_model: Callable[..., ZooModel]
) -> None:
    file = zoo.path.parent / "a.safetensors"
    zoo = dataclasses.replace(zoo, models=(tiny_model("a", weights=file.name), *zoo.models[1:]))
    for content, expected in ((b"one", ["a", "b"]), (b"one", []), (b"two", ["a"])):
        built.clear()
        file.write_bytes(content)
        similarity_table(zoo, ["a", "b"], PROBE, workspace)
        assert sorted(built) == expected


def test_another_measure_of_the_same_features_runs_no_network(
    zoo: Zoo, workspace: Workspace, built: list[str]
) -> None:
    plain = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    built.clear()
    for comparison in (
        Comparison(unbiased=True), Comparison("procrustes"), Comparison(unbiased=True, batch=8)
    ):  # fmt: skip
        other = similarity_table(zoo, ["a", "b"], PROBE, workspace, comparison)
        assert other.comparison == comparison
        assert other.key != plain.key
        assert not np.array_equal(other.values, plain.values)
        assert (np.diagonal(other.values) == 1).all()
    assert built == []


def test_whole_activations_are_other_features_and_each_batch_size_has_its_own(
    zoo: Zoo, workspace: Workspace, built: list[str]
) -> None:
    similarity_table(zoo, ["a", "b"], PROBE, workspace)
    built.clear()
    for comparison in (
        Comparison(pooling="flatten"),
        Comparison(unbiased=True, pooling="flatten", batch=8),
        Comparison(unbiased=True, pooling="flatten", batch=12),
    ):
        similarity_table(zoo, ["a", "b"], PROBE, workspace, comparison)
        assert built == ["a", "b"]
        similarity_table(zoo, ["b", "a"], PROBE, workspace, comparison)
        assert built == ["a", "b"]
        built.clear()
    similarity_table(zoo, ["a", "b"], PROBE, workspace, Comparison("rbf-cka", pooling="flatten"))
    assert built == []


def test_whole_activations_say_what_their_cka_is(
    zoo: Zoo, workspace: Workspace, built: list[str], graph_of: Callable[[str], LineGraph]
) -> None:
    images, features = probe_images(PROBE), [probe_images(PROBE).flatten(1).numpy()]
    for name in "ab":
        if name == "b":
            features.append(features[0])
        x = preprocess(images, zoo.model(name))
        with torch.no_grad():
            for node in graph_of(name).nodes:
                x = node.module.eval()(x)
                features.append(x.flatten(1).numpy())
    for comparison in (
        Comparison(pooling="flatten"),
        Comparison(unbiased=True, pooling="flatten", batch=8),
        Comparison("rbf-cka", unbiased=True, pooling="flatten", batch=12),
        Comparison("procrustes", pooling="flatten"),
    ):
        table = similarity_table(zoo, ["a", "b"], PROBE, workspace, comparison)
        np.testing.assert_allclose(table.values, similarity_matrix(features, comparison), atol=1e-5)


def test_the_memory_it_may_take_changes_nothing(zoo: Zoo, workspace: Workspace, built: list[str]) -> None:
    plenty = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    workspace.table(plenty.key).unlink()
    little = similarity_table(zoo, ["a", "b"], PROBE, workspace, memory=40_000)
    assert little.key == plenty.key
    np.testing.assert_allclose(little.values, plenty.values, atol=1e-12)


def test_a_network_can_be_stopped_between_batches(zoo: Zoo, workspace: Workspace, built: list[str]) -> None:
    probe = Probe(TARGET_TASK, 100)

    def stop(progress: Progress) -> None:
        if progress.done == 164:
            raise Cancelled

    with pytest.raises(Cancelled):
        similarity_table(zoo, ["a", "b"], probe, workspace, report=stop)
    built.clear()
    similarity_table(zoo, ["a", "b"], probe, workspace)
    assert built == ["b"]


def test_a_table_says_which_weights_it_compared(
    zoo: Zoo, workspace: Workspace, built: list[str], tiny_model: Callable[..., ZooModel]
) -> None:
    zoo = dataclasses.replace(zoo, models=(tiny_model("a", sha256="1" * 64), *zoo.models[1:]))
    table = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    assert set(table.index["weights"].iloc[table.rows("a")]) == {"1" * 64}
    assert set(table.index["weights"].iloc[table.rows("b")]) == {zoo.weights_key("b")}


def test_another_probe_measures_anew(zoo: Zoo, workspace: Workspace, built: list[str]) -> None:
    first = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    other = similarity_table(zoo, ["a", "b"], Probe(TARGET_TASK, 24, seed=1), workspace)
    assert len(built) == 4
    assert not np.array_equal(first.values, other.values)


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"]])
def test_fewer_than_two_models_are_refused(
    zoo: Zoo, workspace: Workspace, built: list[str], names: list[str]
) -> None:
    with pytest.raises(DeryError, match="at least two models"):
        similarity_table(zoo, names, PROBE, workspace)


def test_a_model_the_zoo_lacks_is_named(zoo: Zoo, workspace: Workspace, built: list[str]) -> None:
    with pytest.raises(DeryError, match="'zz'"):
        similarity_table(zoo, ["a", "zz"], PROBE, workspace)


def test_a_dead_cut_is_named(
    zoo: Zoo, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tiny_graph: Callable[..., LineGraph]
) -> None:
    graph = tiny_graph(0)
    for parameter in graph.nodes[1].module.parameters():
        parameter.data.zero_()
    monkeypatch.setattr("dery_core.similarity.cache.zoo_line_graph", lambda zoo, name: graph)
    with pytest.raises(DeryError, match="a after n1 is the same for every image"):
        similarity_table(zoo, ["a", "b"], PROBE, workspace)


def test_a_saved_table_comes_back(zoo: Zoo, workspace: Workspace, built: list[str], tmp_path: Path) -> None:
    table = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    table.save(tmp_path / "copy.npz")
    copy = SimilarityTable.load(tmp_path / "copy.npz")
    assert (copy.probe, copy.key, copy.models) == (PROBE, table.key, table.models)
    assert copy.index.equals(table.index)
    np.testing.assert_array_equal(copy.values, table.values)


@pytest.fixture
def deep() -> LineGraph:
    """A hundred nodes of 256 channels each."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = nn.Conv2d(3, 256, 8)
    nodes = tuple(Node(f"n{i}", module, 1, 1) for i, module in enumerate([first, *[nn.Softsign()] * 99]))
    layouts = (Layout("map", 3, 8, 8), *[Layout("map", 256, 1, 1)] * 100)
    return LineGraph("deep", (3, 8, 8), nodes, Node("head", nn.Identity(), 0, 0), layouts)


@pytest.mark.parametrize(
    "comparison",
    [
        Comparison(),
        Comparison(pooling="flatten"),
        Comparison("procrustes", pooling="flatten"),
        Comparison(unbiased=True, pooling="flatten", batch=64),
    ],
    ids=lambda comparison: comparison.title,
)
def test_features_are_not_held_while_a_network_runs(
    zoo: Zoo,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    deep: LineGraph,
    comparison: Comparison,
) -> None:
    monkeypatch.setattr("dery_core.similarity.cache.zoo_line_graph", lambda zoo, name: deep)
    images = torch.randint(0, 256, (128, 3, 8, 8), dtype=torch.uint8)
    # all 100 factors take 6.5 MB, of minibatches 3.3 MB, all 100 pooled features 13 MB
    memory = 3_000_000

    def record() -> CutRecord:
        return computed_record(zoo, "a", images, "key", workspace, comparison, memory, lambda images: None)

    record()  # what is imported on the way
    tracemalloc.start()
    try:
        found = record()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < memory
    expected = cut_features(deep, zoo.model("a"), images, comparison=comparison, memory=memory)[1:]
    for stored, feature in zip(found.features, expected, strict=True):
        np.testing.assert_array_equal(stored[0:128], feature)


def test_a_disk_that_fills_while_a_network_runs_is_one_sentence_and_leaves_nothing(
    zoo: Zoo, workspace: Workspace, built: list[str]
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(DeryError, match=r"can't be written \(.*\): free some space"):
            similarity_table(zoo, ["a", "b"], PROBE, workspace)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(workspace.features.iterdir()) == []


def test_a_network_stopped_half_way_leaves_no_features(
    zoo: Zoo, workspace: Workspace, built: list[str]
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done:
            raise Cancelled

    with pytest.raises(Cancelled):
        similarity_table(zoo, ["a", "b"], Probe(TARGET_TASK, 100), workspace, report=stop)
    assert list(workspace.features.iterdir()) == []


def test_a_record_cut_short_is_computed_again(zoo: Zoo, workspace: Workspace, built: list[str]) -> None:
    first = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    workspace.table(first.key).unlink()
    for path in workspace.features.iterdir():
        path.write_bytes(path.read_bytes()[:-4])
    built.clear()
    again = similarity_table(zoo, ["a", "b"], PROBE, workspace)
    assert built == ["a", "b"]
    np.testing.assert_array_equal(again.values, first.values)
