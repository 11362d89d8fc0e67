import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dery_core.errors import DeryError
from dery_core.partition import Block, Partition, block_similarity, solve_arrays, solve_partition
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
        ({"k": 1}, "K is 1"),
        ({"epsilon": -1}, "ε is -1"),
        ({"size": "bytes"}, "'bytes'.*params, macs, nodes"),
        ({"models": ["m1"]}, "at least two models"),
        ({"models": ["m1", "m1"]}, "at least two models"),
        ({"models": []}, "at least two models"),
        ({"models": ["m1", "zz"]}, "no model zz"),
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
