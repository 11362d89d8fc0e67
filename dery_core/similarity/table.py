"""`SimilarityTable`: how similar any two cuts of any two networks are."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from dery_core.data import Probe
from dery_core.errors import DeryError
from dery_core.similarity.arrays import Arrays, load_arrays, save_arrays
from dery_core.similarity.comparison import Comparison
from dery_core.similarity.gram import Floats, Ints

_TEXT, _COUNT = "U", "iu"
_COLUMNS = {
    "model": _TEXT, "cut": _COUNT, "node": _TEXT, "layout": _TEXT, "params": _COUNT, "macs": _COUNT,
    "weights": _TEXT,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class SimilarityTable:
    """How similar all cuts of all models are, measured on one probe as `comparison` says.

    `values` (M, M) float64 in [0, 1], symmetric with unit diagonal; unbiased CKA may fall a little
    below 0. `index` (M rows) says what the rows are, with columns model; cut, 0 being the input
    image; node, the name of the node that ends at the cut; layout; params and macs, cumulative up
    to the cut; weights, the zoo's key of the model's weights. A model's rows are its cuts in order.
    `key` is made of all that the values depend on.
    """

    values: Floats
    index: pd.DataFrame
    probe: Probe
    key: str
    comparison: Comparison = Comparison()
    schema_version: ClassVar[int] = 2

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self._rows)

    @cached_property
    def _rows(self) -> dict[str, Ints]:
        groups = self.index.groupby("model", sort=False).indices
        return {str(name): np.asarray(rows, np.int64) for name, rows in groups.items()}

    def rows(self, model: str) -> Ints:
        """Row numbers of a model's cuts 0 to L, in order. DeryError when the table lacks the model."""
        if model not in self._rows:
            raise DeryError(f"The similarity table has no model {model}; it has {', '.join(self.models)}.")
        return self._rows[model]

    def between(self, model_a: str, model_b: str) -> Floats:
        """Values (L_a + 1, L_b + 1) of the cuts of one model with those of another."""
        return self.values[np.ix_(self.rows(model_a), self.rows(model_b))]

    def to_dict(self) -> dict[str, Any]:
        """The table in JSON's terms: `cuts` has what `index` says of each row of `values`."""
        return {
            "schema_version": self.schema_version,
            "key": self.key,
            "comparison": self.comparison.to_dict(),
            "probe": self.probe.to_dict(),
            "models": self.models,
            "cuts": self.index.to_dict("records"),
            "values": self.values.tolist(),
        }

    def save(self, path: Path) -> None:
        """Write the table to `path` as .npz, atomically, without pickle."""
        arrays: Arrays = {"values": self.values}
        for name, kinds in _COLUMNS.items():
            arrays[name] = self.index[name].to_numpy(str if kinds == _TEXT else np.int64)
        meta = {"probe": self.probe.to_dict(), "key": self.key, "comparison": self.comparison.to_dict()}
        save_arrays(path, "similarity table", self.schema_version, meta, arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a saved table; DeryError naming file and field when it isn't one."""
        meta, arrays = load_arrays(path, "similarity table", cls.schema_version)
        for name in ("values", *_COLUMNS):
            if name not in arrays:
                raise DeryError(f"{path}: field '{name}' of a similarity table is missing.")
        values = arrays["values"]
        rows = len(values)
        if values.shape != (rows, rows) or values.dtype != np.float64 or not np.isfinite(values).all():
            raise DeryError(f"{path}: field 'values' must be a finite square float64 matrix.")
        for name, kinds in _COLUMNS.items():
            if arrays[name].shape != (rows,) or arrays[name].dtype.kind not in kinds:
                raise DeryError(f"{path}: field '{name}' must have one entry for each of {rows} cuts.")
        index = pd.DataFrame({name: arrays[name] for name in _COLUMNS})
        probe = Probe.from_dict(meta.get("probe"), f"{path}: field 'probe'")
        comparison = Comparison.from_dict(meta.get("comparison"), f"{path}: field 'comparison'")
        return cls(values, index, probe, str(meta.get("key", "")), comparison)
