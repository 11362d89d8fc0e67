"""What a similarity table needs of one model, kept on disk so that it is computed once."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from dery_core.errors import DeryError
from dery_core.files import digest
from dery_core.similarity.arrays import load_arrays, save_arrays
from dery_core.similarity.features import Features, cut_features
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo, zoo_line_graph

_KIND, _VERSION = "features", 1
_POOLING = "mean"


@dataclass(frozen=True, eq=False)
class CutRecord:
    """One model at its L + 1 cuts: the node that ends there, the layout, the size so far; and the
    features (n, d) at cuts 1 to L. Cut 0, the pictures, is every model's and isn't kept here."""

    nodes: tuple[str, ...]
    layouts: tuple[str, ...]
    params: tuple[int, ...]
    macs: tuple[int, ...]
    features: tuple[Features, ...]

    def save(self, path: Path) -> None:
        meta = {
            "nodes": self.nodes,
            "layouts": self.layouts,
            "params": self.params,
            "macs": self.macs,
        }
        save_arrays(path, _KIND, _VERSION, meta, {str(c + 1): f for c, f in enumerate(self.features)})

    @classmethod
    def load(cls, path: Path, images: int) -> "CutRecord":
        """Read a record of that many images; DeryError when the file isn't one."""
        meta, arrays = load_arrays(path, _KIND, _VERSION)
        cuts = len(meta.get("nodes", ()))
        features = [arrays.get(str(cut)) for cut in range(1, cuts)]
        if cuts < 2 or any(f is None or f.ndim != 2 or len(f) != images for f in features):
            raise DeryError(f"{path}: the features at some cut are missing or of another probe.")
        columns = {}
        for name in ("nodes", "layouts", "params", "macs"):
            columns[name] = tuple(meta.get(name, ()))
            if len(columns[name]) != cuts:
                raise DeryError(f"{path}: field '{name}' must have one entry for each of {cuts} cuts.")
        return cls(**columns, features=tuple(f for f in features if f is not None))


def record_key(zoo: Zoo, name: str, probe_hash: str) -> str:
    """Key of all that a model's features depend on: weights, architecture, preprocessing, probe."""
    model = zoo.model(name)
    settings = (model.input_size, model.mean, model.std, json.dumps(model.model_kwargs, sort_keys=True))
    return digest(_KIND, _VERSION, _POOLING, zoo.weights_key(name), model.architecture, *settings, probe_hash)


def cut_record(zoo: Zoo, name: str, images: Tensor, key: str, workspace: Workspace) -> CutRecord:
    """The model's record from the workspace, or computed and kept there; a damaged file counts as none."""
    path = workspace.features / f"{key}.npz"
    if path.is_file():
        try:
            return CutRecord.load(path, len(images))
        except DeryError:
            pass  # a crash or a full disk may have damaged it; computing it again mends it
    graph = zoo_line_graph(zoo, name)
    record = CutRecord(
        nodes=("input", *(node.name for node in graph.nodes)),
        layouts=tuple(map(str, graph.layouts)),
        params=tuple(graph.cumulative("params")),
        macs=tuple(graph.cumulative("macs")),
        features=tuple(np.ascontiguousarray(f) for f in cut_features(graph, zoo.model(name), images)[1:]),
    )
    record.save(path)
    return record
