from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dery_core.errors import DeryError
from dery_core.partition import bare_table, is_bare_table
from dery_core.similarity import SimilarityTable


def fields(made: Any) -> dict[str, Any]:
    return {
        "cka": made.similarity,
        "model": made.model.astype(np.int32),
        "cut": made.cut.astype(np.int32),
        "cum_size": made.size,
        "names": np.array(made.names),
    }


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_arrays_come_back_in_double_precision(arrays: Callable[..., Any], tmp_path: Path, kind: Any) -> None:
    made = arrays((5, 6))
    np.savez(tmp_path / "t.npz", **{**fields(made), "cka": made.similarity.astype(kind)})
    table = bare_table(tmp_path / "t.npz")
    assert table.similarity.dtype == np.float64
    np.testing.assert_allclose(table.similarity, made.similarity, atol=2 * np.finfo(kind).eps)
    np.testing.assert_array_equal(table.similarity, table.similarity.T)
    np.testing.assert_array_equal(table.cut, made.cut)
    assert table.names == made.names


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_the_next_number_above_1_is_rounding(arrays: Callable[..., Any], tmp_path: Path, kind: Any) -> None:
    cka = np.maximum(arrays((5, 6)).similarity, 0).astype(kind)
    cka[0, 6] = cka[6, 0] = cka[2, 2] = np.nextafter(kind(1), kind(2))
    np.savez(tmp_path / "t.npz", **{**fields(arrays((5, 6))), "cka": cka})
    similarity = bare_table(tmp_path / "t.npz").similarity
    assert similarity.max() == 1
    np.testing.assert_array_equal(np.diagonal(similarity), 1)


@pytest.mark.parametrize(
    ("field", "change", "words"),
    [
        ("cka", None, "'cka' is missing"),
        ("names", None, "'names' is missing"),
        ("cka", lambda x: x[:-1], "'cka' must be a square matrix"),
        ("cka", lambda x: x.astype(int), "'cka' must be a square matrix of floats, not int64"),
        ("cka", lambda x: x * np.nan, "must be finite"),
        ("cka", lambda x: x[:0, :0], "'cka' must be a square matrix"),
        ("model", lambda x: x.astype(float), "'model' must be 13 whole numbers"),
        ("cut", lambda x: x[1:], "'cut' must be 13 whole numbers"),
        ("cum_size", lambda x: x.astype(str), "'cum_size' must be 13 real numbers"),
        ("names", lambda x: x[:1], "'names' must be 2 different names"),
        ("names", lambda x: np.array(["a", "a"]), "'names' must be 2 different names"),
        ("names", lambda x: x.astype(object), "no objects"),
    ],
)
def test_arrays_that_do_not_fit_get_a_sentence(
    arrays: Callable[..., Any], tmp_path: Path, field: str, change: Any, words: str
) -> None:
    made = fields(arrays((5, 6)))
    value = made.pop(field)
    if change is not None:
        made[field] = change(value)
    np.savez(tmp_path / "t.npz", **made)
    with pytest.raises(DeryError, match=words) as error:
        bare_table(tmp_path / "t.npz")
    assert "\n" not in str(error.value)


def test_files_that_are_none_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeryError, match="does not exist"):
        bare_table(tmp_path / "no.npz")
    (tmp_path / "text.npz").write_text("no table")
    with pytest.raises(DeryError, match="can't be read"):
        bare_table(tmp_path / "text.npz")


def test_own_tables_are_told_from_bare_ones(
    arrays: Callable[..., Any], table: SimilarityTable, tmp_path: Path
) -> None:
    np.savez(tmp_path / "bare.npz", **fields(arrays((5, 6))))
    table.save(tmp_path / "own.npz")
    assert is_bare_table(tmp_path / "bare.npz")
    assert not is_bare_table(tmp_path / "own.npz")
    assert not is_bare_table(tmp_path / "none.npz")
