"""Copies of a network that cost little: one without numbers, one that shares the weights."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


def sketch(model: nn.Module) -> tuple[nn.Module, dict[int, Tensor]]:
    """A copy on the meta device, which has shapes but no numbers; with it the model's tensor that
    each of the copy's stands for, by id."""
    pairs = {id(tensor): (tensor, _on_meta(tensor)) for tensor in _tensors(model)}
    drawn = copy.deepcopy(model, {key: meta for key, (_, meta) in pairs.items()})
    return drawn, {id(meta): tensor for tensor, meta in pairs.values()}


def twin(model: nn.Module) -> nn.Module:
    """A copy that shares the parameters: what the model keeps for later calls, it keeps for itself."""
    return copy.deepcopy(model, {id(p): p for p in model.parameters()})


def device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        for leaf in tree_leaves(vars(module)):
            if isinstance(leaf, Tensor):
                yield leaf


def _on_meta(tensor: Tensor) -> Tensor:
    meta = torch.empty_like(tensor, device="meta", requires_grad=False)
    return nn.Parameter(meta, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else meta
