from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dery_core.data import TARGET_TASK, Probe
from dery_core.errors import DeryError
from dery_core.similarity import SimilarityTable


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


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeryError, match="gone.npz does not exist"):
        SimilarityTable.load(tmp_path / "gone.npz")


def test_a_bare_array_is_no_table(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3))
    with pytest.raises(DeryError, match="a.npy is not a readable similarity table"):
        SimilarityTable.load(tmp_path / "a.npy")
