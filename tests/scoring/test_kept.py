from collections.abc import Sequence
from pathlib import Path

import pytest

from dery_core.errors import DeryError
from dery_core.scoring.kept import Kept
from dery_core.scoring.trie import Values


class Sums:
    """Measures the sum of a choice; no 7 can be scored."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def measure(self, choice: Sequence[int]) -> Values:
        self.asked.append(tuple(choice))
        return {"sum": None if 7 in choice else float(sum(choice)), "half": sum(choice) / 2}


def nothing() -> None:
    pass


def test_what_was_measured_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "scores" / "kept.json"
    Kept(path).measure([(1, 2), (0, 7)], Sums(), nothing)
    again = Kept(path)
    assert again.missing([(2, 2), (1, 2), (0, 0), (2, 2)]) == [(0, 0), (2, 2)]
    assert again[(1, 2)] == {"sum": 3.0, "half": 1.5}
    assert again.column("sum") == [((0, 7), None), ((1, 2), 3.0)]


def test_two_that_write_one_file_lose_nothing(tmp_path: Path) -> None:
    one, two = Kept(tmp_path / "kept.json"), Kept(tmp_path / "kept.json")
    one.measure([(0, 1)], Sums(), nothing)
    two.measure([(0, 2)], Sums(), nothing)
    one.measure([(0, 3)], Sums(), nothing)
    assert Kept(tmp_path / "kept.json").missing([(0, 1), (0, 2), (0, 3), (0, 4)]) == [(0, 4)]


def test_what_was_measured_before_an_error_is_kept(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Kept(tmp_path / "kept.json").measure([(0, 1), (0, 2)], Sums(), stop)
    assert Kept(tmp_path / "kept.json").missing([(0, 1), (0, 2)]) == [(0, 2)]


def test_a_broken_file_is_named_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_text('{"choices": [[0, 1]], "values": {"sum": []}}')
    with pytest.raises(DeryError, match="kept.json.*delete the file") as error:
        Kept(path)
    assert "\n" not in str(error.value)
