import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dery_core.errors import DeryError
from dery_core.partition import Block, Partition, block_similarity, block_table, solve_arrays, solve_partition
from dery_core.similarity import SimilarityTable


def test_partition_says_what_it_was_made_from(table: SimilarityTable) -> None:
    found = solve_partition(table, k=3, epsilon=0.5, size="macs")
    assert (found.k, found.epsilon, found.size, found.table) == (3, 0.5, "macs", table.key)
    assert found.models == table.models
    assert 0 <= found.gap < 1e-6


def test_answer_is_that_of_the_bare_arrays(table: SimilarityTable, arrays: Callable[..., Any]) -> None:
    made = arrays((6, 7, 8, 9))
    bare = solve_arrays(made.similarity, made.model, made.cut, made.size, made.names, 4, 0.2)
    found = solve_partition(table)
    assert (found.blocks, found.anchors, found.objective) == (bare.blocks, bare.anchors, bare.objective)


@pytest.mark.parametrize("size", ["params", "macs", "nodes"])
def test_blocks_keep_the_limit_of_the_size_that_was_asked_for(table: SimilarityTable, size: Any) -> None:
    found = solve_partition(table, k=3, epsilon=0.9, size=size)
    column = table.index["cut" if size == "nodes" else size].to_numpy()
    assert found.widened == ()
    for row in found.blocks:
        sizes = column[table.rows(row[0].model)]
        assert all(sizes[b.end] - sizes[b.start] < 1.9 * sizes[-1] / 3 for b in row)


def test_size_measure_matters(table: SimilarityTable) -> None:
    assert solve_partition(table, size="params").blocks != solve_partition(table, size="macs").blocks


def test_chosen_models_are_solved_as_if_alone(table: SimilarityTable) -> None:
    found = solve_partition(table, k=3, models=["m3", "m1"])
    other = solve_partition(table, k=3, models=["m1", "m3"])
    assert found.models == ("m3", "m1")
    assert [row[0].model for row in found.blocks] == ["m3", "m1"]
    assert found.objective == pytest.approx(other.objective)


def test_similarity_to_the_anchor_is_block_similarity(table: SimilarityTable) -> None:
    found = solve_partition(table, k=3)
    for blocks, similarities in zip(found.blocks, found.similarity, strict=True):
        for block, anchor, value in zip(blocks, found.anchors, similarities, strict=True):
            assert block_similarity(table, block, anchor) == pytest.approx(value)


def test_block_similarity_compares_what_enters_and_what_leaves(table: SimilarityTable) -> None:
    one, other = Block("m0", 1, 3), Block("m2", 2, 2)
    between = table.between("m0", "m2")
    assert block_similarity(table, one, other) == between[1, 2] + between[4, 3]
    assert block_similarity(table, one, one) == 2


def test_partition_survives_a_file(table: SimilarityTable, tmp_path: Path) -> None:
    found = solve_partition(table)
    found.save(tmp_path / "p.json")
    assert Partition.load(tmp_path / "p.json") == found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"k": 7}, "m0 has only 6 nodes.*smaller K or leave it out"),
        ({"k": 8, "models": ["m3", "m1"]}, "m1 has only 7 nodes"),
        ({"k": 13}, "K is 13: choose 2 to 12"),
        ({"variant": "loose"}, "'loose'.*staged, free"),
        ({"k": 1}, "K is 1"),
        ({"epsilon": -1}, "ε is -1"),
        ({"size": "bytes"}, "'bytes'.*params, macs, nodes"),
        ({"models": ["m1"]}, "at least two models"),
        ({"models": ["m1", "m1"]}, "at least two models"),
        ({"models": []}, "at least two models"),
        ({"models": ["m1", "zz"]}, "no model zz"),
        ({"max_seconds": float("nan")}, "time limit is nan seconds: give a number from 0 on"),
        ({"max_seconds": float("inf")}, "time limit is inf"),
        ({"max_seconds": -1}, "time limit is -1"),
    ],
)
def test_impossible_wishes_get_a_sentence(
    table: SimilarityTable, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(DeryError, match=words) as error:
        solve_partition(table, **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"models": []}, "one row for each of 'models'"),
        ({"blocks": []}, "one row for each of 'models'"),
        ({"k": 9}, "9 blocks"),
        ({"anchors": []}, "as 'k' says"),
        ({"weights": ["x"]}, "one entry for each of 'models'"),
        ({"limits": [1.0]}, "one entry for each of 'models'"),
        ({"sets": [[0, 1, 3]] * 4}, "every set must be one of 0 to 2"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    table: SimilarityTable, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "partition.json"
    path.write_text(json.dumps({**solve_partition(table, k=3).to_dict(), **change}))
    with pytest.raises(DeryError, match=words) as error:
        Partition.load(path)
    assert str(path) in str(error.value)


def test_blocks_that_do_not_adjoin_are_refused(table: SimilarityTable) -> None:
    data = solve_partition(table, k=3).to_dict()
    data["blocks"][1][2]["first_node"] -= 1
    with pytest.raises(DeryError, match="the blocks of m1 must adjoin"):
        Partition.from_dict(data)


def test_models_carry_the_key_of_their_weights(table: SimilarityTable) -> None:
    models = ["m2", "m0"]
    known = dict(zip(table.index["model"], table.index["weights"], strict=True))
    assert solve_partition(table, k=3, models=models).weights == tuple(known[m] for m in models)
    assert len(set(known.values())) == len(known)  # else any order would do
    bare = replace(table, index=table.index.drop(columns="weights"))
    assert solve_partition(bare, k=3).weights == ("",) * 4


def test_limit_is_told_for_every_model_and_is_wider_where_it_had_to_be(table: SimilarityTable) -> None:
    found = solve_partition(table, k=4, epsilon=0.4)
    assert 0 < len(found.widened) < len(found.models)
    for model, blocks, limit in zip(found.models, found.blocks, found.limits, strict=True):
        sizes = table.index["params"].to_numpy()[table.rows(model)]
        largest = max(sizes[b.end] - sizes[b.start] for b in blocks)
        assert largest < limit * sizes[-1] / 4
        if model in found.widened:
            assert limit > 1.4
            assert largest == pytest.approx(limit * sizes[-1] / 4)
        else:
            assert limit == 1.4


@pytest.mark.parametrize("variant", ["staged", "free"])
def test_table_of_blocks_is_ordered_by_set_then_model(table: SimilarityTable, variant: Any) -> None:
    found = solve_partition(table, k=3, variant=variant)
    blocks = block_table(found, table)
    assert blocks.values.shape == (12, 12)
    assert list(blocks.sets) == sorted(blocks.sets)
    order = [
        (j, found.models.index(b.model), b.start) for j, b in zip(blocks.sets, blocks.blocks, strict=True)
    ]
    assert order == sorted(order)
    assert set(blocks.blocks) == {block for row in found.blocks for block in row}
    for at, one in enumerate(blocks.blocks):
        for other_at, other in enumerate(blocks.blocks):
            assert blocks.values[at, other_at] == pytest.approx(block_similarity(table, one, other))


def test_similarity_below_nothing_counts_as_none(table: SimilarityTable) -> None:
    values = table.values - 0.6
    np.fill_diagonal(values, 1)
    below = replace(table, values=values)
    found = solve_partition(below, k=3)
    none = solve_partition(replace(table, values=np.maximum(values, 0)), k=3)
    assert (values < 0).any()
    assert found.blocks == none.blocks
    assert block_table(found, below).values.min() == 0
    assert block_similarity(below, Block("m0", 0, 0), Block("m1", 6, 6)) >= 0


def test_a_file_of_an_earlier_version_still_loads(table: SimilarityTable) -> None:
    data = solve_partition(table, k=3).to_dict()
    for field in ("variant", "limits", "weights", "trace"):
        del data[field]
    old = Partition.from_dict(data)
    assert (old.variant, old.limits, old.weights, old.trace) == ("staged", (), ("",) * 4, ())
