"""From a zoo and a probe to a `SimilarityTable`, computing only what isn't on disk yet."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from dery_core.data import Probe, probe_images
from dery_core.errors import DeryError
from dery_core.files import digest
from dery_core.progress import ProgressFn, Ticker, silent
from dery_core.similarity.cache import CutRecord, cut_record, record_key
from dery_core.similarity.cka import cka_matrix
from dery_core.similarity.comparison import Comparison
from dery_core.similarity.features import pixel_features
from dery_core.similarity.table import SimilarityTable
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo

MEMORY = 2**30
"""Bytes a comparison may take unless told otherwise."""

_PLAIN = Comparison()


def similarity_table(
    zoo: Zoo,
    names: Sequence[str],
    probe: Probe,
    workspace: Workspace,
    comparison: Comparison = _PLAIN,
    memory: int = MEMORY,
    report: ProgressFn = silent,
) -> SimilarityTable:
    """Linear CKA between all cuts of the named models, on the probe's images.

    Each model's features are kept in the workspace, so a model added to a table costs one pass over
    that model, and an interrupted table goes on where it stopped. The table is kept as well: asked
    for again, it is read and no network is built.

    Raises DeryError for fewer than two models, for one the zoo doesn't have or that can't be cut,
    and for a network that says the same of every image at some cut.
    """
    if comparison != _PLAIN:
        raise DeryError(f"{comparison.title} is not built yet.")
    names = list(dict.fromkeys(names))
    if len(names) < 2:
        raise DeryError("A similarity table compares at least two models: choose another one.")
    images = probe_images(probe)
    probe_hash = _image_hash(images)
    keys = [record_key(zoo, name, probe_hash) for name in names]
    key = digest("table", SimilarityTable.schema_version, probe, comparison, *names, *keys)
    path = workspace.tables / f"{key}.npz"
    if path.is_file():
        try:
            return SimilarityTable.load(path)
        except DeryError:
            pass  # damaged: measured again below
    tick = Ticker("Features", len(names), "models", report)
    records = []
    for name, record in zip(names, keys, strict=True):
        records.append(cut_record(zoo, name, images, record, workspace))
        tick()
    weights = [zoo.weights_key(name) for name in names]
    table = _table(names, weights, records, images, probe, comparison, key)
    table.save(path)
    return table


def _table(
    names: Sequence[str],
    weights: Sequence[str],
    records: Sequence[CutRecord],
    images: Tensor,
    probe: Probe,
    comparison: Comparison,
    key: str,
) -> SimilarityTable:
    # Cut 0 is the same picture for every model, so it is compared once and its row repeated.
    features, labels, rows = [pixel_features(images)], ["the probe's pictures"], []
    for name, record in zip(names, records, strict=True):
        rows.append(0)
        for node, feature in zip(record.nodes[1:], record.features, strict=True):
            rows.append(len(features))
            features.append(feature)
            labels.append(f"{name} after {node}")
    values = cka_matrix(features, labels)[np.ix_(rows, rows)]
    index = pd.concat(
        [
            pd.DataFrame(
                {
                    "model": name,
                    "cut": np.arange(len(record.nodes)),
                    "node": record.nodes,
                    "layout": record.layouts,
                    "params": np.asarray(record.params, np.int64),
                    "macs": np.asarray(record.macs, np.int64),
                    "weights": weight,
                }
            )
            for name, weight, record in zip(names, weights, records, strict=True)
        ],
        ignore_index=True,
    )
    return SimilarityTable(values, index, probe, key, comparison)


def _image_hash(images: Tensor) -> str:
    """Hash of the pictures themselves: a dataset that changes under the same name is another probe."""
    return digest(tuple(images.shape), hashlib.sha256(images.numpy().tobytes()).hexdigest())
