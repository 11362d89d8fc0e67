import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dery_core.data import TARGET_TASK, Probe
from dery_core.errors import DeryError
from dery_core.similarity import Comparison, SimilarityTable

_BAD_COMPARISON = (
    '{"kind": "similarity table", "schema_version": 2, "probe": {"task": "t", "count": 8},'
    ' "comparison": {"measure": "cca"}}'
)


@pytest.fixture
def table() -> SimilarityTable:
    index = pd.DataFrame(
        {
            "model": ["a", "a", "b", "b"],
            "cut": [0, 1, 0, 1],
            "node": ["input", "stem", "input", "stem"],
            "layout": ["3 × 8×8"] * 4,
            "params": [0, 5, 0, 2**40],
            "macs": [0, 50, 0, 60],
            "weights": ["wa", "wa", "wb", "wb"],
        }
    )
    return SimilarityTable(np.eye(4), index, Probe(TARGET_TASK, 8), "k")


def test_large_counts_survive(table: SimilarityTable, tmp_path: Path) -> None:
    table.save(tmp_path / "t.npz")
    assert SimilarityTable.load(tmp_path / "t.npz").index["params"].max() == 2**40


def test_unknown_model_is_named(table: SimilarityTable) -> None:
    with pytest.raises(DeryError, match="no model c; it has a, b"):
        table.rows("c")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"values": None}, "'values'"),
        ({"values": np.eye(4, 3)}, "'values'"),
        ({"values": np.full((4, 4), np.nan)}, "'values'"),
        ({"params": None}, "'params'"),
        ({"macs": np.arange(3)}, "'macs'"),
        ({"cut": np.array(list("abcd"))}, "'cut'"),
        ({"node": np.array(["x"] * 4, dtype=object)}, "readable"),
        ({"meta": np.array("{")}, "readable"),
        ({"meta": np.array("{}")}, "'meta'"),
        ({"meta": np.array('{"kind": "similarity table", "schema_version": 99}')}, "'schema_version' is 99"),
        ({"meta": np.array('{"kind": "similarity table", "schema_version": 2}')}, "'probe'"),
        ({"meta": np.array(_BAD_COMPARISON)}, "field 'comparison': field 'measure' is \"cca\""),
    ],
)
def test_what_does_not_fit_is_named_with_its_file(
    table: SimilarityTable, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "t.npz"
    table.save(path)
    with np.load(path) as file:
        arrays = {name: change.get(name, file[name]) for name in file.files}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DeryError, match=words) as error:
        SimilarityTable.load(path)
    assert str(path) in str(error.value)


def test_what_was_compared_survives(table: SimilarityTable, tmp_path: Path) -> None:
    comparison = Comparison("rbf-cka", unbiased=True)
    dataclasses.replace(table, comparison=comparison).save(tmp_path / "t.npz")
    loaded = SimilarityTable.load(tmp_path / "t.npz")
    assert loaded.comparison == comparison
    assert list(loaded.index["weights"]) == ["wa", "wa", "wb", "wb"]


def test_a_table_of_an_earlier_version_is_to_be_made_anew(tmp_path: Path) -> None:
    meta = '{"kind": "similarity table", "schema_version": 1}'
    np.savez(tmp_path / "t.npz", meta=np.array(meta), values=np.eye(2))
    with pytest.raises(DeryError, match="'schema_version' is 1, .* make it anew"):
        SimilarityTable.load(tmp_path / "t.npz")


def test_json_has_a_line_for_each_cut(table: SimilarityTable) -> None:
    found = json.loads(json.dumps(table.to_dict()))
    assert found["models"] == ["a", "b"]
    assert found["cuts"][3] == {
        "model": "b", "cut": 1, "node": "stem", "layout": "3 × 8×8",
        "params": 2**40, "macs": 60, "weights": "wb",
    }  # fmt: skip
    assert np.array_equal(found["values"], table.values)
    assert Comparison.from_dict(found["comparison"]) == table.comparison
    assert Probe.from_dict(found["probe"]) == table.probe


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeryError, match="gone.npz does not exist"):
        SimilarityTable.load(tmp_path / "gone.npz")


def test_a_bare_array_is_no_table(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3))
    with pytest.raises(DeryError, match="a.npy is not a readable similarity table"):
        SimilarityTable.load(tmp_path / "a.npy")
