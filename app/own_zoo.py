"""Networks that are added to the zoo: timm's catalogue and own checkpoints, as pages use them.

Beside `app.steps` the only way from a page to the engine.
"""

import shutil
import tempfile
import threading
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st
import timm

from app import work
from app.work import Work
from dery_core.errors import DeryError
from dery_core.progress import ProgressFn
from dery_core.workspace import Workspace
from dery_core.zoo import ZooModel, own, pretrained
from dery_core.zoo.pretrained import Pretrained

# Adding reads the zoo file, and writes it back longer.
_one_at_a_time = threading.Lock()


def target() -> Path:
    """The zoo file that networks are added to."""
    return own.add_target(Workspace.open())


def own_names() -> tuple[str, ...]:
    """Names of the networks that `target` lists itself: those that can be removed."""
    path = target()
    return own.default_zoo(Workspace.open(), str(path)).own if path.is_file() else ()


def remove(name: str) -> None:
    """Take a network out of the zoo file; DeryError while another is being added."""
    if not _one_at_a_time.acquire(blocking=False):
        raise DeryError(f"a network is being added just now: remove {name} after that.")
    try:
        own.remove(target(), name)
    finally:
        _one_at_a_time.release()


def catalogue() -> tuple[Pretrained, ...]:
    """Every pretrained network of timm, with the accuracies that are known here."""
    return pretrained.catalogue(Workspace.open())


def search(
    text: str, family: str, max_params: int | None, max_macs: int | None, min_top1: float | None
) -> tuple[Pretrained, ...]:
    """The catalogue's networks that keep to all of that."""
    return pretrained.search(text, family, max_params, max_macs, min_top1, Workspace.open())


def have_accuracies() -> bool:
    """Whether timm's table of accuracies is on this machine."""
    return pretrained.have_results(Workspace.open())


def fetch_accuracies() -> None:
    """Begin to download timm's table of accuracies."""
    workspace = Workspace.open()
    work.start(_accuracies_key(), lambda report: pretrained.fetch_results(workspace, report))


def fetching_accuracies() -> Work[Path] | None:
    """The work that downloads timm's table, None when nobody asked for it or its end was told."""
    return work.find(_accuracies_key())


def forget_accuracies() -> None:
    """The end of `fetching_accuracies` was told."""
    work.forget(_accuracies_key())


def _accuracies_key() -> Hashable:
    return "accuracies", str(Workspace.open().root)


def catalogue_frame(entries: Sequence[Pretrained]) -> pd.DataFrame:
    """One line a network: name, family, params, macs, size ("224×224"), top1, nodes, and cuttable
    ("yes", "no", "not tried")."""
    words = {True: "yes", False: "no", None: "not tried"}
    frame = pd.DataFrame(
        [
            (e.name, e.family, e.params, e.macs, "×".join(map(str, e.input_size[1:])), e.top1, e.nodes)
            + (words[e.cuttable],)
            for e in entries
        ],
        columns=["name", "family", "params", "macs", "size", "top1", "nodes", "cuttable"],
    )
    return frame.astype({"params": "Int64", "macs": "Int64", "nodes": "Int64", "top1": "Float64"})


def on_this_machine(name: str) -> bool:
    """Whether the weights of a pretrained network needn't be downloaded."""
    return pretrained.cached(name)


@st.cache_data(max_entries=1, show_spinner=False)
def architectures() -> list[str]:
    """Names of all that timm can build."""
    return timm.list_models()


@st.cache_data(max_entries=64, show_spinner=False)
def template(architecture: str) -> ZooModel:
    """A description of that architecture as timm configures it."""
    return own.template(architecture)


def add_pretrained(name: str) -> None:
    """Begin to add one of timm's pretrained networks; `adding` finds the work."""
    path = target()
    _begin(name, lambda report: own.add_pretrained(path, name, report))


def add_checkpoint(model: ZooModel, weights: bytes | memoryview, file_name: str) -> None:
    """Begin to add a network with the weights that a file of that name holds."""
    path = target()
    # The browser's upload is gone with its session; the work must not be.
    try:
        folder = Path(tempfile.mkdtemp(dir=Workspace.open().root, prefix="upload_"))
        (folder / Path(file_name).name).write_bytes(weights)
    except OSError as error:
        raise DeryError(f"the upload can't be kept ({error.strerror or error}): free some space.") from error

    def make(report: ProgressFn) -> ZooModel:
        try:
            return own.add_checkpoint(path, model, folder / Path(file_name).name, report)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    _begin(model.name, make)


def adding(name: str) -> Work[ZooModel] | None:
    """The work that adds the network `name`, None when this server doesn't know of any."""
    return work.find(_key(name))


def _begin(name: str, function: Callable[[ProgressFn], ZooModel]) -> None:
    def make(report: ProgressFn) -> ZooModel:
        with _one_at_a_time:
            return function(report)

    known = adding(name)
    if known is not None and known.finished:
        work.forget(_key(name))
    work.start(_key(name), make)


def _key(name: str) -> Hashable:
    return "add", str(target()), name
