"""A person's own zoo: which zoo is in use, and networks put into it or taken out.

Whatever is added has been built, loaded and cut before the zoo file is written, and the file is
written at once or not at all.
"""

import dataclasses
import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from timm.models import PretrainedCfg
from torch import Tensor, nn

from dery_core.errors import DeryError
from dery_core.files import atomic_path, check_writable, resolved, sha256, user_path
from dery_core.progress import ProgressFn, Ticker, silent
from dery_core.workspace import Workspace
from dery_core.zoo.architecture import build_architecture, check_architecture, timm_config
from dery_core.zoo.building import line_graph, zoo_line_graph
from dery_core.zoo.download import download_weights
from dery_core.zoo.line_graph import LineGraph
from dery_core.zoo.model import UNKNOWN_TASK, ZooModel
from dery_core.zoo.pretrained import pretrained_model
from dery_core.zoo.weights import load_tensors, read_tensors
from dery_core.zoo.zoo import EMBEDDED, EMBEDDED_ZOO, Zoo, build_pretrained, embedded_zoo, file_hash, load_zoo
from dery_core.zoo.zoo_file import add_entry, remove_entry

_STEM_BYTES = 150


def own_zoo_path(workspace: Workspace) -> Path:
    """The zoo file of the workspace, there once a network was added."""
    return workspace.zoo / "zoo.yaml"


def default_zoo(workspace: Workspace, chosen: str | Path | None = None) -> Zoo:
    """The zoo in use: the file `chosen`, or the one $DERY_ZOO names, or the workspace's own, or the
    embedded one."""
    named = chosen or os.environ.get("DERY_ZOO")
    if named:
        return load_zoo(named)
    own = own_zoo_path(workspace)
    return load_zoo(own) if own.exists() else embedded_zoo()


def add_target(workspace: Workspace, chosen: str | Path | None = None) -> Path:
    """The zoo file that a new network goes to: the one in use, or the workspace's own where that is
    the embedded one, which stays as it is."""
    named = chosen or os.environ.get("DERY_ZOO")
    path = user_path(named) if named else own_zoo_path(workspace)
    return own_zoo_path(workspace) if _is_embedded(path) else path


def check_zoo(zoo: Zoo, report: ProgressFn = silent) -> dict[str, str]:
    """What keeps each member from being used, in a sentence, "" where nothing does: each is
    downloaded if need be, built from its weight file and cut."""
    tick = Ticker("Checking", len(zoo.names), "networks", report)
    faults = {}
    for name in zoo.names:
        try:
            zoo.fetch(name, report)
            zoo_line_graph(zoo, name)
            faults[name] = ""
        except DeryError as error:
            faults[name] = str(error)
        tick()
    return faults


def template(architecture: str, name: str = "") -> ZooModel:
    """A zoo model of that architecture with the input, mean and std that timm's own weights take: to
    be changed where one's weights differ. It names no weights."""
    check_architecture(architecture, name or architecture)
    known = timm_config(architecture) or PretrainedCfg()
    size, mean, std = (tuple(values) for values in (known.input_size, known.mean, known.std))
    return ZooModel(name or architecture, architecture, "", UNKNOWN_TASK, size, mean, std)


def untrained(name: str) -> tuple[nn.Module, tuple[int, int, int]]:
    """The network of that name, an architecture or a tag of timm, with random weights in eval mode, the
    same ones every time, and the input it takes. DeryError when timm has none."""
    _, _, tag = name.partition(".")
    model = pretrained_model(name) if tag else template(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # by the whole name: a tag may have another number of classes or input size
        module = build_architecture(model, tag=tag)
    return module.eval(), model.input_size


def add_pretrained(path: Path, name: str, report: ProgressFn = silent, called: str = "") -> ZooModel:
    """Add timm's weights `name`, e.g. "resnet18.a1_in1k", to the zoo file, as `called` if given.

    Downloads them if need be. A new file extends the embedded zoo. DeryError, with nothing written,
    where the name is taken, the weights can't be had or the network can't be cut.
    """
    known = pretrained_model(name)
    model = dataclasses.replace(known, name=called or known.name)
    _check_free(path, model.name)
    check_writable(path.parent)
    weights = download_weights(known.name, report)
    tick = Ticker(f"Checking {model.name}", 2, "steps", report)
    model = dataclasses.replace(model, sha256=file_hash(weights))
    module = build_pretrained(model, weights)
    tick()
    model = _with_costs(model, line_graph(module, model.input_size, model.name))
    tick()
    entry: dict[str, Any] = {"timm": known.name}
    if model.name != known.name:
        entry["name"] = model.name
    _write_entry(path, entry | {"sha256": model.sha256, "params": model.params, "macs": model.macs})
    return model


def add_checkpoint(path: Path, model: ZooModel, weights_file: Path, report: ProgressFn = silent) -> ZooModel:
    """Add a network of one's own to the zoo file, with the weights of a safetensors file or of a
    torch checkpoint (see `weights.read_tensors`).

    `model.weights` and its hash are found here; without `num_classes` among its model_kwargs the
    number is that of the checkpoint's classifier, and an architecture that is built for one image size
    is built for the model's. The weights are kept beside the zoo file as
    safetensors. DeryError, with nothing written, where the name is taken, the weights don't fit or
    the network can't be cut.
    """
    _check_free(path, model.name)
    source = user_path(weights_file)
    if os.path.isdir(source):
        raise DeryError(f"the weights {source} are a folder: name the weight file in it.")
    if not os.path.isfile(source):
        raise DeryError(f"the weight file {source} does not exist.")
    check_writable(path.parent)
    tick = Ticker(f"Checking {model.name}", 3, "steps", report)
    tensors = read_tensors(source, f"the weight file {source}")
    model = _at_its_size(_with_classes(model, tensors))
    tick()
    module = build_architecture(model).eval()
    _check_classes(model, module, tensors, source.name)
    load_tensors(module, tensors, f"'{model.name}': {source.name}", model.architecture)
    tick()
    model = _with_costs(model, line_graph(module, model.input_size, model.name))
    tick()
    weights = _reserved(path.parent, model.name)
    try:
        with atomic_path(weights) as temporary:
            save_file(_apart(tensors), temporary)
        provenance = {**model.provenance, "weights from": source.name, "timm": timm.__version__}
        kept: dict[str, Any] = {"weights": weights.name, "sha256": sha256(weights), "provenance": provenance}
        model = dataclasses.replace(model, **kept)
        told = {key: value for key, value in model.to_dict().items() if value not in (None, {}, "")}
        _write_entry(path, {key: value for key, value in told.items() if key != "schema_version"})
    except BaseException:
        weights.unlink(missing_ok=True)
        raise
    return model


def remove(path: Path, name: str) -> None:
    """Take the network out of the zoo file; its weights stay where they are. DeryError for one that
    the file doesn't list itself."""
    path = user_path(path)
    if _is_embedded(path):
        raise DeryError(f"'{name}' ships with DeRy Studio: the embedded zoo stays as it is.")
    remove_entry(path, lambda: _removable(path, name))


def _removable(path: Path, name: str) -> int:
    """The row of the network in its zoo file; DeryError when it can't be taken out of it."""
    zoo = load_zoo(path)
    zoo.model(name)
    if name not in zoo.own:
        lister = next(file for file in zoo.files if name in load_zoo(file).own)
        raise DeryError(f"'{name}' is in {path} because that extends {lister}: it can't be removed alone.")
    if len(zoo.models) == 1:
        raise DeryError(f"'{name}' is the only network of {path}: delete the file instead.")
    return zoo.own.index(name)


def _is_embedded(path: Path) -> bool:
    return resolved(path) == EMBEDDED_ZOO.resolve()


def _check_free(path: Path, name: str) -> None:
    if _is_embedded(path):
        raise DeryError("the embedded zoo stays as it is: add the network to another zoo file.")
    if not name.strip() or not name.isprintable() or len(name) > 100:
        raise DeryError(f"'{name}' is no name for a network: give it 1 to 100 letters.")
    zoo = load_zoo(path) if path.exists() else embedded_zoo()
    if name in zoo.names:
        raise DeryError(f"{path} has a model '{name}' already: give the new one another name.")


def _write_entry(path: Path, entry: dict[str, Any]) -> None:
    # once more: another process may have taken the name while the network was being checked
    name = str(entry.get("name", entry.get("timm")))
    add_entry(path, entry, EMBEDDED, check=lambda: _check_free(path, name))


def _with_costs(model: ZooModel, graph: LineGraph) -> ZooModel:
    return dataclasses.replace(model, params=graph.params, macs=graph.macs)


def _with_classes(model: ZooModel, tensors: dict[str, Tensor]) -> ZooModel:
    """The model with as many classes as the checkpoint's classifier gives, unless it says how many."""
    check_architecture(model.architecture, model.name)
    weight = _classifier_weight(model, tensors)
    if "num_classes" in model.model_kwargs or weight is None or not weight.ndim:
        return model
    settings = {**model.model_kwargs, "num_classes": weight.shape[0]}
    return dataclasses.replace(model, model_kwargs=settings)


def _check_classes(model: ZooModel, module: nn.Module, tensors: dict[str, Tensor], file: str) -> None:
    """DeryError where the weights fit all but the classifier, which has another number of outputs."""
    own = module.state_dict()
    given, wanted = (_classifier_weight(model, weights) for weights in (tensors, own))
    if given is None or wanted is None or not given.ndim or given.shape[0] == wanted.shape[0]:
        return
    fitting = {
        name for name, tensor in own.items() if name in tensors and tensors[name].shape == tensor.shape
    }
    if all(name.rpartition(".")[0] in _classifiers(model) for name in own.keys() - fitting):
        raise DeryError(
            f"'{model.name}': the head in {file} has {given.shape[0]} outputs, not {wanted.shape[0]}: give "
            f"{given.shape[0]} classes (--classes {given.shape[0]}), or none, and they are read off the file."
        )


def _classifier_weight(model: ZooModel, tensors: Mapping[str, Tensor]) -> Tensor | None:
    return next((tensors.get(f"{name}.weight") for name in _classifiers(model)), None)


def _classifiers(model: ZooModel) -> tuple[str, ...]:
    """What timm calls the layers that give the logits, the one of the trained head first."""
    names = getattr(timm_config(model.architecture), "classifier", None) or ()
    return tuple(names) if isinstance(names, tuple | list) else (names,)


def _reserved(folder: Path, name: str) -> Path:
    """A new, still empty file for the weights of that network; another of that name stays as it is."""
    stem = re.sub(r"[^\w.+-]+", "_", name).lstrip(".") or "weights"
    # a file's name may take 255 bytes, and a letter up to four of them
    stem = stem.encode()[:_STEM_BYTES].decode(errors="ignore")
    for count in itertools.count(1):
        path = folder / f"{stem if count == 1 else f'{stem}-{count}'}.safetensors"
        try:
            path.touch(exist_ok=False)
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise DeryError(f"{path} can't be written ({error.strerror or error}).") from error
    return path


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, copied where several share their memory: a safetensors file can't hold such."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone().contiguous() if place in seen else tensor.contiguous()
        seen.add(place)
    return apart


def _at_its_size(model: ZooModel) -> ZooModel:
    """The model with its input size and timm's setting `img_size` in agreement, where it has that
    setting: transformers are built for one image size."""
    if model.input_size == template(model.architecture).input_size:
        side = model.model_kwargs.get("img_size")
        sides = [side, side] if isinstance(side, int) else side
        if isinstance(sides, list | tuple) and len(sides) == 2:
            return dataclasses.replace(model, input_size=(3, *sides))
        return model
    if "img_size" in model.model_kwargs:
        return model
    settings = {**model.model_kwargs, "img_size": list(model.input_size[1:])}
    sized = dataclasses.replace(model, model_kwargs=settings)
    try:
        build_architecture(sized)
    except DeryError:
        return model
    return sized
