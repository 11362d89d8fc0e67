"""Saved values: round trips, and one clear sentence for whatever doesn't fit."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

from dery_core.errors import DeryError
from dery_core.values import Value


@dataclass(frozen=True)
class Point(Value):
    x: float
    y: float = 0.0


@dataclass(frozen=True)
class Shape(Value):
    kind: Literal["line", "area"]
    points: tuple[Point, ...]
    size: tuple[int, int] = (1, 1)
    label: str | None = None
    closed: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


SHAPE = Shape("area", (Point(1.5, 2.0), Point(0.0)), (3, 4), "a", True, {"colour": [1, 2]})


def test_a_saved_value_loads_equal(tmp_path: Path) -> None:
    SHAPE.save(tmp_path / "deep" / "shape.json")
    assert Shape.load(tmp_path / "deep" / "shape.json") == SHAPE


def test_defaults_fill_missing_fields_and_whole_numbers_become_floats() -> None:
    point = Point.from_dict({"x": 1})
    assert point == Point(1.0, 0.0)
    assert isinstance(point.x, float)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "blob"}, ["'kind'", '"blob"', "line, area"]),
        ({"points": [{"x": "far"}]}, ["'points'[0]", "'x'", '"far"', "float"]),
        ({"points": [{}]}, ["'x'", "missing"]),
        ({"size": [1, 2, 3]}, ["'size'", "[1, 2, 3]"]),
        ({"closed": 1}, ["'closed'", "1", "bool"]),
        ({"colour": "red"}, ["unknown field 'colour'"]),
        ({"schema_version": 9}, ["'schema_version'", "9"]),
    ],
)
def test_what_does_not_fit_names_file_field_and_value(
    tmp_path: Path, change: dict[str, Any], words: list[str]
) -> None:
    path = tmp_path / "shape.json"
    path.write_text(json.dumps({**SHAPE.to_dict(), **change}))
    with pytest.raises(DeryError) as error:
        Shape.load(path)
    for word in [str(path), *words]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "not valid JSON"),
        ("[1]", "Shape object"),
        ("[" * 100_000, "can't be read"),
        ("9" * 5000, "can't be read"),
        (f'{{"kind": "line", "points": [{{"x": {"9" * 400}}}]}}', "more than a float holds"),
    ],
)
def test_a_file_that_is_no_value_is_refused(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(DeryError, match=word):
        Shape.load(tmp_path / "bad.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeryError, match="nowhere.json does not exist"):
        Shape.load(tmp_path / "nowhere.json")


class Side(NamedTuple):
    length: int
    unit: str


@dataclass(frozen=True)
class Square(Value):
    side: tuple[int, str]


def test_a_named_tuple_is_saved_as_a_tuple() -> None:
    square = Square(Side(3, "cm"))
    assert square.to_dict()["side"] == (3, "cm")
    assert Square.from_dict(square.to_dict()) == square
