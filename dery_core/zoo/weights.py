"""Weight files: safetensors, or torch files read as weights alone, and how they fit a network."""

import argparse
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dery_core.errors import DeryError

_NESTS = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "module", "net")
"""Where training programs put a network's weights in a checkpoint, averaged ones first, as timm does."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What wrappers put before every name: DataParallel, torch.compile, Lightning."""
_COUNTERS = {"n_averaged"}
"""What torch.optim.swa_utils.AveragedModel keeps beside the weights."""


def read_tensors(path: Path, where: str) -> dict[str, Tensor]:
    """A network's tensors by name, out of a safetensors file or a torch checkpoint.

    A checkpoint is read with `weights_only=True`, so that it can't run code; averaged weights (EMA)
    are taken where it has some. DeryError, which `where` begins, for anything else, and for a tensor
    that isn't dense, real and there.
    """
    tensors = _unwrapped(_safetensors(path, where) if _is_safetensors(path) else _checkpoint(path, where))
    for name, tensor in tensors.items():
        if kind := _unusable(tensor):
            raise DeryError(f"{where}: tensor '{name}' is {kind}: save it as a dense tensor of real numbers.")
    return tensors


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], where: str, architecture: str) -> None:
    """Copy the tensors in, cast to each parameter's type; DeryError names the first that doesn't fit
    and says how many more there are."""
    own = module.state_dict()
    missing = [name for name in own if name not in tensors]
    if missing:
        hint = ": it is probably of another architecture." if 2 * len(missing) > len(own) else "."
        raise DeryError(f"{where} lacks the tensor '{missing[0]}'{_more(missing)} of '{architecture}'{hint}")
    misshapen = [name for name, tensor in own.items() if tensors[name].shape != tensor.shape]
    for name in misshapen:
        raise DeryError(
            f"{where}: tensor '{name}' is {tuple(tensors[name].shape)} in the file, but "
            f"{tuple(own[name].shape)} in '{architecture}' as the zoo file describes it{_more(misshapen)}."
        )
    stray = [name for name in tensors if name not in own]
    if stray:
        raise DeryError(
            f"{where} holds a tensor '{stray[0]}'{_more(stray)} that '{architecture}' doesn't have."
        )
    for name, tensor in tensors.items():
        # a mask may hold infinities in the network itself
        if not torch.isfinite(tensor.float()).all() and torch.isfinite(own[name]).all():
            raise DeryError(f"{where}: tensor '{name}' holds NaN or infinity: the training has diverged.")
    module.load_state_dict(tensors)


def _unusable(tensor: Tensor) -> str:
    if tensor.is_meta:
        return "on the meta device, without numbers"
    if tensor.is_quantized:
        return "quantized"
    if tensor.is_nested or tensor.layout is not torch.strided:
        return "sparse or nested"
    return "complex" if tensor.is_complex() else ""


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _is_safetensors(path: Path) -> bool:
    """By its beginning, a length and a JSON object, or its name: names of checkpoints tell little."""
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{" or path.suffix == ".safetensors"
    except OSError as error:
        raise DeryError(f"{path} can't be read ({error.strerror or error}).") from error


def _safetensors(path: Path, where: str) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise DeryError(f"{where} is not a readable safetensors file ({error}).") from error


def _checkpoint(path: Path, where: str) -> Mapping[str, Any]:
    try:
        # timm's own training script keeps its arguments beside the weights; a Namespace runs no code
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch raise many kinds
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = (
            f"holds a {foreign[1]}, which could run code when it is read"
            if foreign
            else "is damaged, or neither safetensors nor a torch file of weights alone"
        )
        raise DeryError(
            f"{where} {what}: save the weights anew with torch.save(model.state_dict(), FILE) where the "
            "network was trained."
        ) from error
    found = _state_dict(content)
    if found is None:
        raise DeryError(
            f"{where} holds no weights by name, neither at its top nor as {', '.join(_NESTS[:-1])} or "
            f"{_NESTS[-1]}: save them with torch.save(model.state_dict(), FILE)."
        )
    return found


def _state_dict(content: Any) -> Mapping[str, Any] | None:
    """The first mapping that holds tensors, from the top down the usual keys."""
    if not isinstance(content, Mapping):
        return None
    if any(isinstance(value, Tensor) and value.ndim for value in content.values()):
        return content
    nested = (_state_dict(content[key]) for key in _NESTS if key in content)
    return next((found for found in nested if found is not None), None)


def _unwrapped(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors alone, without the prefixes that wrappers put before every name."""
    tensors = {
        str(name): value
        for name, value in content.items()
        if isinstance(value, Tensor) and name not in _COUNTERS
    }
    while prefix := _common_prefix(tensors):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _common_prefix(names: Iterable[str]) -> str:
    names = list(names)
    return next((p for p in _PREFIXES if names and all(name.startswith(p) for name in names)), "")
