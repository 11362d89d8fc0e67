"""Nodes train as their network does, in families whose code has little in common.

Each is built small, with dropout and drop-path switched on where it has them.
"""

import copy
import io
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from dery_core.zoo import LineGraph, line_graph

_DROP = {"drop_rate": 0.2, "drop_path_rate": 0.3}


def _timm(architecture: str, size: int, **kwargs: Any) -> tuple[int, Callable[[], nn.Module]]:
    return size, lambda: timm.create_model(architecture, num_classes=5, **kwargs)


CASES = {
    # class token, dropout after every projection
    "vit": _timm(
        "vit_tiny_patch16_224",
        32,
        img_size=32,
        patch_size=8,
        depth=2,
        embed_dim=24,
        num_heads=2,
        proj_drop_rate=0.1,
        **_DROP,
    ),
    "resnet": _timm("resnet18", 64, channels=[8, 16, 24, 32], layers=[1, 1, 1, 1], **_DROP),
    "densenet": _timm("densenet121", 64, growth_rate=8, block_config=(2, 2, 2, 2), drop_rate=0.1),
    "swin": _timm(
        "swin_tiny_patch4_window7_224",
        32,
        img_size=32,
        patch_size=2,
        window_size=4,
        embed_dim=16,
        depths=(2, 2),
        num_heads=(2, 4),
        **_DROP,
    ),
    # tokens in unrolled order
    "hiera": _timm("hiera_tiny_224", 64, img_size=(64, 64), embed_dim=16, num_heads=1, **_DROP),
    # windows and grids, squeeze and excitation
    "maxvit": _timm("maxvit_rmlp_pico_rw_256", 64, img_size=64, **_DROP),
    # batch norm on tokens; what it keeps for eval mode mustn't reach train mode
    "levit": _timm("levit_128s", 224, drop_path_rate=0.3),
    # two streams from end to end
    "crossvit": _timm("crossvit_9_240", 240, embed_dim=(32, 64), depth=((1, 1, 0), (1, 1, 0)), **_DROP),
    # position modules shared by several blocks
    "coat": _timm("coat_tiny", 64, img_size=64, embed_dims=(32, 32, 32, 32), parallel_depth=2, **_DROP),
    # pixels within patches beside patches
    "tnt": _timm(
        "tnt_s_patch16_224", 64, img_size=64, embed_dim=48, inner_dim=12, depth=2, num_heads_inner=2, **_DROP
    ),
    # four resolutions side by side
    "hrnet": _timm("hrnet_w18_small", 64),
    # a feature gate over all positions
    "xcit": _timm("xcit_nano_12_p16_224", 64, img_size=64, depth=2, embed_dim=32, num_heads=2, **_DROP),
}


@cache
def _model(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: nn.Module = CASES[name][1]().eval()
        with torch.no_grad():
            for parameter in model.parameters():  # some start as zeros, and hide what is behind them
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@cache
def _graph(name: str) -> LineGraph:
    size = CASES[name][0]
    return line_graph(_model(name), (3, size, size), name)


@cache
def _step(name: str, cut: bool) -> tuple[Tensor, nn.Module]:
    """Output of one step in train mode, and the network or its nodes with the step's gradients."""
    size = CASES[name][0]
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(9))
    modules = nn.Sequential(*(copy.deepcopy(_graph(name).modules() if cut else [_model(name)]))).train()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        output = modules(images)
    output.square().mean().backward()
    return output.detach(), modules


def _by_value(modules: nn.Module) -> dict[tuple[float, ...], Tensor]:
    """Gradients by the shape and sum of their parameter; those of a parameter's copies added up."""
    gradients: dict[tuple[float, ...], Tensor] = {}
    for parameter in modules.parameters():
        if parameter.grad is not None:
            key = (*parameter.shape, float(parameter.detach().double().sum()))
            gradients[key] = gradients.get(key, 0) + parameter.grad
    return gradients


every_case = pytest.mark.parametrize("name", CASES)


@every_case
def test_a_step_in_train_mode_gives_the_networks_output(name: str) -> None:
    assert torch.equal(_step(name, True)[0], _step(name, False)[0])


@pytest.mark.parametrize("name", [name for name in CASES if name != "hrnet"])
def test_the_step_drops_something_at_random(name: str) -> None:
    """Without this the equality above says nothing about drops; hrnet has none by default."""
    size = CASES[name][0]
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(9))
    modules = nn.Sequential(*copy.deepcopy(_graph(name).modules())).train()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(4)
        assert not torch.equal(modules(images), _step(name, True)[0])


@every_case
def test_batch_normalisation_remembers_the_same(name: str) -> None:
    ours, theirs = (
        sorted(
            (key.rpartition(".")[2], tuple(buffer.flatten().tolist()))
            for key, buffer in _step(name, cut)[1].named_buffers()
            if "running_" in key
        )
        for cut in (True, False)
    )
    assert ours == theirs


@every_case
def test_every_parameter_gets_the_gradient_that_it_gets_in_the_network(name: str) -> None:
    ours, theirs = _by_value(_step(name, True)[1]), _by_value(_step(name, False)[1])
    assert ours.keys() == theirs.keys()
    largest = max(float(gradient.abs().max()) for gradient in theirs.values())
    for key, gradient in theirs.items():
        assert gradient.isfinite().all()
        torch.testing.assert_close(ours[key], gradient, rtol=1e-4, atol=1e-6 * largest)


@every_case
def test_trained_nodes_are_copied_and_saved_with_what_they_learned(name: str) -> None:
    size = CASES[name][0]
    tensor = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(10))
    trained = copy.deepcopy(_step(name, True)[1]).eval()
    for node, module in zip(trained.children(), _graph(name).modules(), strict=True):
        with torch.no_grad():
            for parameter in node.parameters():
                parameter.mul_(1.1)
            file = io.BytesIO()
            torch.save(node.state_dict(), file)
            file.seek(0)
            fresh = copy.deepcopy(module)
            fresh.load_state_dict(torch.load(file, weights_only=True))
            expected = node(tensor)
            assert torch.equal(fresh(tensor), expected)
            tensor = expected


@every_case
def test_a_node_that_is_a_module_of_the_network_keeps_its_keys(name: str) -> None:
    modules = dict(_model(name).named_modules())
    whole = [node for node in _graph(name).nodes if type(node.module) is type(modules.get(node.name))]
    assert all(node.module.state_dict().keys() == modules[node.name].state_dict().keys() for node in whole)
    keys = set(_model(name).state_dict())
    for node in _graph(name).nodes:
        if node not in whole:
            assert set(node.module.state_dict()) <= keys
