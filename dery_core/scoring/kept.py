"""What was measured, kept: one file a family of scores and a key of all that it depends on."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dery_core.errors import DeryError
from dery_core.files import locked
from dery_core.scoring.trie import Measurer, Values
from dery_core.values import Value

Choice = tuple[int, ...]
_SAVE_EVERY = 5.0


@dataclass(frozen=True)
class _File(Value):
    """`values[name][s]` is a score of `choices[s]`, None where the hybrid can't be scored."""

    choices: tuple[Choice, ...]
    values: dict[str, tuple[float | None, ...]]

    def __post_init__(self) -> None:
        if any(len(column) != len(self.choices) for column in self.values.values()):
            raise DeryError("there isn't one value for every choice; delete the file to measure anew.")


class Kept:
    """The measurements in one file. Several processes may add to it: none loses what others found."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new: dict[Choice, Values] = {}
        self._known = self._read()
        self._saved = time.monotonic()

    def __getitem__(self, choice: Choice) -> Values:
        return self._known[choice]

    def missing(self, choices: Iterable[Choice]) -> list[Choice]:
        """Those of `choices` not measured yet, each once, in sorted order."""
        return sorted(set(choices) - self._known.keys())

    def column(self, name: str) -> list[tuple[Choice, float | None]]:
        """All measured choices, sorted, with their value of one score."""
        return [(choice, self._known[choice][name]) for choice in sorted(self._known)]

    def measure(self, choices: Sequence[Choice], measurer: Measurer, tick: Callable[[], None]) -> None:
        """Measure `choices` in their order, `tick` after each; written every few seconds, and in any
        case when it ends, be it by an error."""
        try:
            for choice in choices:
                self._new[choice] = self._known[choice] = measurer.measure(choice)
                if time.monotonic() - self._saved > _SAVE_EVERY:
                    self._save()
                tick()
        finally:
            self._save()

    def _read(self) -> dict[Choice, Values]:
        if not self._path.exists():
            return {}
        file = _File.load(self._path)
        rows = zip(*file.values.values(), strict=True)
        return {
            choice: dict(zip(file.values, row, strict=True))
            for choice, row in zip(file.choices, rows, strict=True)
        }

    def _save(self) -> None:
        if self._new:
            with locked(self._path):
                self._known = self._read() | self._known
                rows = [self._known[choice] for choice in sorted(self._known)]
                columns = {name: tuple(row[name] for row in rows) for name in rows[0]}
                _File(tuple(sorted(self._known)), columns).save(self._path)
            self._new = {}
        self._saved = time.monotonic()
