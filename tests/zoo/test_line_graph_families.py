"""Every claim about line graphs, over a table of small networks of many families.

Each row: how to build the network, its input size, and by hand the layouts of its cuts (the names
of the nodes that end there, and why). All are built with dropout and drop-path switched on.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import timm
import torch
from timm.layers import GatedMlp
from timm.models.metaformer import Attention, LayerNorm2dNoBias, LayerNormNoBias, MetaFormer, Pooling, SepConv
from timm.models.mlp_mixer import Affine, MlpMixer, ResBlock, SpatialGatingBlock
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dery_core.zoo import Layout, LineGraph, line_graph

Run = tuple[int, Layout]


@dataclass(frozen=True)
class Case:
    """`runs` are (number of consecutive cuts, their layout), the input left out."""

    build: Callable[[], nn.Module]
    size: int
    first: str
    last: str
    runs: tuple[Run, ...]


def _timm(architecture: str, **kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(architecture, num_classes=5, **kwargs)


def _mixer(**kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: MlpMixer(
        5, img_size=32, patch_size=4, num_blocks=2, embed_dim=24, drop_path_rate=0.3, **kwargs
    )


def _metaformer(*mixers: type[nn.Module]) -> Callable[[], nn.Module]:
    norms: list[type[nn.Module]] = [
        LayerNormNoBias if mixer is Attention else LayerNorm2dNoBias for mixer in mixers
    ]
    return lambda: MetaFormer(
        num_classes=5,
        depths=(1, 1, 2, 1),
        dims=(8, 16, 32, 64),
        token_mixers=list(mixers),
        norm_layers=norms,
        use_mlp_head=False,
        drop_path_rate=0.3,
    )


def _maps(*shapes: tuple[int, int, int], kind: Any = "map") -> tuple[Run, ...]:
    """Runs of (count, channels, side)."""
    return tuple((count, Layout(kind, channels, side, side)) for count, channels, side in shapes)


def _tokens(count: int, channels: int, side: int, prefix: int = 0) -> tuple[Run, ...]:
    return ((count, Layout("tokens", channels, side, side, prefix)),)


_VIT = {
    "img_size": 32,
    "patch_size": 4,
    "embed_dim": 24,
    "depth": 2,
    "num_heads": 2,
    "drop_path_rate": 0.3,
    "proj_drop_rate": 0.1,
    "drop_rate": 0.1,
}
_DROP = {"drop_path_rate": 0.3, "drop_rate": 0.1}

CASES: dict[str, Case] = {
    # stride 4 in the stem, then 8, 16, 32; one node a residual block
    "resnet": Case(
        _timm("resnet18", channels=[8, 16, 24, 32], layers=[1, 2, 1, 1], **_DROP),
        64,
        "stem",
        "layer4.0",
        _maps((1, 64, 16), (1, 8, 16), (2, 16, 8), (1, 24, 4), (1, 32, 2)),
    ),
    # a stem of three convolutions stays one node
    "resnet_deep_stem": Case(
        _timm("resnet10t", channels=[8, 8, 16, 16], stem_width=8, **_DROP),
        64,
        "stem",
        "layer4.0",
        _maps((1, 16, 16), (1, 8, 16), (1, 8, 8), (1, 16, 4), (1, 16, 2)),
    ),
    "regnet": Case(
        _timm("regnety_002", depth=6, w0=16, wa=16, wm=2.0, group_size=8, stem_width=16, **_DROP),
        64,
        "stem",
        "s4.b1",
        _maps((1, 16, 32), (1, 16, 16), (1, 32, 8), (3, 64, 4), (1, 128, 2)),
    ),
    # one node a separable convolution; at 32 pixels the last maps are genuine 1×1 maps
    "mobilenetv1": Case(
        _timm("mobilenetv1_100", **_DROP),
        32,
        "stem",
        "blocks.4.1",
        _maps((1, 32, 16), (1, 64, 16), (2, 128, 8), (2, 256, 4), (6, 512, 2), (2, 1024, 1)),
    ),
    # the last convolution before the pooling is a node, with its norm and activation
    "mobilenetv2": Case(
        _timm("mobilenetv2_035", **_DROP),
        64,
        "stem",
        "conv_head",
        _maps(
            (1, 16, 32), (1, 8, 32), (2, 8, 16), (3, 16, 8), (4, 24, 4), (3, 32, 4), (3, 56, 2), (1, 112, 2)
        )
        + _maps((1, 1280, 2)),
    ),
    # conv_head comes after the pooling here, so it is the head's
    "mobilenetv3": Case(
        _timm("mobilenetv3_small_050", **_DROP),
        64,
        "stem",
        "blocks.5.0",
        _maps((1, 16, 32), (1, 8, 16), (2, 16, 8), (3, 24, 4), (2, 24, 4), (3, 48, 2), (1, 288, 2)),
    ),
    "mnasnet": Case(
        _timm("mnasnet_small", **_DROP),
        64,
        "stem",
        "conv_head",
        _maps(
            (1, 8, 32), (1, 8, 32), (1, 16, 16), (2, 16, 8), (4, 32, 4), (3, 32, 4), (3, 88, 2), (1, 144, 2)
        )
        + _maps((1, 1280, 2)),
    ),
    "efficientnet": Case(
        _timm("efficientnet_b0", **_DROP),
        32,
        "stem",
        "conv_head",
        _maps((1, 32, 16), (1, 16, 16), (2, 24, 8), (2, 40, 4), (3, 80, 2), (3, 112, 2), (4, 192, 1))
        + _maps((1, 320, 1), (1, 1280, 1)),
    ),
    # every downsampling (norm + convolution) is a node of its own
    "convnext": Case(
        _timm("convnext_atto", depths=(1, 1, 2, 1), dims=(16, 24, 32, 48), **_DROP),
        64,
        "stem",
        "stages.3.blocks.0",
        _maps((2, 16, 16), (2, 24, 8), (3, 32, 4), (2, 48, 2)),
    ),
    "repvgg": Case(
        _timm("repvgg_a0", width_factor=0.25, stem_chs=16, **_DROP),
        64,
        "stem",
        "stages.3.0",
        _maps((1, 4, 32), (2, 16, 16), (4, 24, 8), (14, 48, 4), (1, 320, 2)),
    ),
    # dense blocks keep many tensors alive: cuts only around them
    "densenet": Case(
        _timm("densenet121", growth_rate=8, block_config=(2, 2, 2, 2), drop_rate=0.1),
        64,
        "stem",
        "features.denseblock4",
        _maps(
            (1, 16, 16), (1, 32, 16), (1, 16, 8), (1, 32, 8), (1, 16, 4), (1, 32, 4), (1, 16, 2), (1, 32, 2)
        ),
    ),
    "vit": Case(_timm("vit_tiny_patch16_224", **_VIT), 32, "stem", "blocks.1", _tokens(3, 24, 8, 1)),
    "vit_registers": Case(
        _timm("vit_tiny_patch16_224", reg_tokens=4, **_VIT), 32, "stem", "blocks.1", _tokens(3, 24, 8, 5)
    ),
    "vit_no_class_token": Case(
        _timm("vit_tiny_patch16_224", class_token=False, global_pool="avg", **_VIT),
        32,
        "stem",
        "blocks.1",
        _tokens(3, 24, 8),
    ),
    # the class token joins in two last blocks, between which it is not with the others
    "cait": Case(
        _timm("cait_xxs24_224", **_VIT),
        32,
        "stem",
        "blocks_token_only.0–1",
        _tokens(3, 24, 8) + _tokens(1, 24, 8, 1),
    ),
    # rotary position embeddings are computed from weights alone, node by node
    "eva": Case(_timm("eva02_tiny_patch14_224", **_VIT), 32, "stem", "blocks.1", _tokens(3, 24, 8, 1)),
    # channels last throughout; patch merging is a node of its own
    "swin": Case(
        _timm(
            "swin_tiny_patch4_window7_224",
            img_size=32,
            patch_size=2,
            window_size=4,
            embed_dim=32,
            depths=(2, 2, 2),
            num_heads=(2, 4, 8),
            **_DROP,
        ),
        32,
        "patch_embed",
        "layers.2.blocks.1",
        _maps((3, 32, 16), (3, 64, 8), (3, 128, 4), kind="map_last"),
    ),
    # the same with as many channels as rows and columns: shapes alone can't tell
    "swin_cubic": Case(
        _timm(
            "swin_tiny_patch4_window7_224",
            img_size=32,
            patch_size=2,
            window_size=4,
            embed_dim=16,
            depths=(2, 2),
            num_heads=(2, 4),
            **_DROP,
        ),
        32,
        "patch_embed",
        "layers.1.blocks.1",
        _maps((3, 16, 16), (3, 32, 8), kind="map_last"),
    ),
    "mixer": Case(_mixer(), 32, "stem", "blocks.1", _tokens(3, 24, 8)),
    "resmlp": Case(
        _mixer(block_layer=ResBlock, norm_layer=Affine, mlp_ratio=4),
        32,
        "stem",
        "blocks.1",
        _tokens(3, 24, 8),
    ),
    "gmlp": Case(
        _mixer(block_layer=SpatialGatingBlock, mlp_layer=GatedMlp, mlp_ratio=4),
        32,
        "stem",
        "blocks.1",
        _tokens(3, 24, 8),
    ),
    "poolformer": Case(
        _metaformer(Pooling, Pooling, Pooling, Pooling),
        64,
        "stem",
        "stages.3.blocks.0",
        _maps((2, 8, 16), (2, 16, 8), (3, 32, 4), (2, 64, 2)),
    ),
    # attention stages work on tokens, and give back a map before the next downsampling
    "caformer": Case(
        _metaformer(SepConv, SepConv, Attention, Attention),
        64,
        "stem",
        "stages.3.blocks.0",
        _maps((2, 8, 16), (2, 16, 8)) + _tokens(2, 32, 4) + _maps((1, 32, 4)) + _tokens(2, 64, 2),
    ),
}


@cache
def _model(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CASES[name].build().eval()
        with torch.no_grad():
            for parameter in model.parameters():  # some start as zeros, and give zero logits
                parameter.add_(0.05 * torch.randn_like(parameter))
        return model


@cache
def _graph(name: str) -> LineGraph:
    size = CASES[name].size
    return line_graph(_model(name), (3, size, size), name)


def _images(name: str, count: int) -> Tensor:
    size = CASES[name].size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(9))


every_case = pytest.mark.parametrize("name", CASES)


@every_case
def test_composed_nodes_equal_the_model_at_another_batch_size(name: str) -> None:
    images = _images(name, 5)
    with torch.no_grad():
        assert torch.equal(_graph(name)(images), _model(name)(images))


@every_case
def test_layouts_are_those_written_by_hand(name: str) -> None:
    graph, case = _graph(name), CASES[name]
    expected = [layout for count, layout in case.runs for _ in range(count)]
    assert list(graph.layouts) == [Layout("map", 3, case.size, case.size), *expected]
    assert (graph.nodes[0].name, graph.nodes[-1].name) == (case.first, case.last)


@every_case
def test_layouts_give_the_shape_of_every_tensor(name: str) -> None:
    tensor = _images(name, 2)
    for node, layout in zip(_graph(name).nodes, _graph(name).layouts[1:], strict=True):
        tensor = node.module(tensor)
        assert tensor.shape == (2, *layout.shape)


@every_case
def test_costs_sum_to_the_models(name: str) -> None:
    graph, model = _graph(name), _model(name)
    assert graph.params == sum(p.numel() for p in model.parameters())
    with FlopCounterMode(display=False) as counter:
        model(_images(name, 1))
    assert graph.macs == counter.get_total_flops() // 2


@every_case
def test_train_mode_draws_the_same_drops_as_the_model(name: str) -> None:
    images = _images(name, 4)
    model = copy.deepcopy(_model(name)).train()
    nodes = [copy.deepcopy(module).train() for module in _graph(name).modules()]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected = model(images)
        torch.manual_seed(3)
        for module in nodes:
            images = module(images)
    assert torch.equal(images, expected)
    with torch.no_grad():
        # the equality is worth nothing unless something was dropped
        assert not torch.equal(expected, model(_images(name, 4)))


@every_case
def test_gradients_reach_every_parameter_that_the_models_reach(name: str) -> None:
    model = copy.deepcopy(_model(name))
    nodes = [copy.deepcopy(module) for module in _graph(name).modules()]
    model(_images(name, 2)).sum().backward()
    tensor = _images(name, 2)
    for module in nodes:
        tensor = module(tensor)
    tensor.sum().backward()
    reached = [p.grad for module in nodes for p in module.parameters() if p.grad is not None]
    expected = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(reached) == len(expected)
    total = sum(float(g.double().square().sum()) for g in reached)
    assert total == pytest.approx(sum(float(g.double().square().sum()) for g in expected), rel=1e-6)


@every_case
def test_nodes_copy_and_reload_their_state(name: str) -> None:
    tensor = _images(name, 2)
    for module in _graph(name).modules():
        twin = copy.deepcopy(module)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.add_(1)
            expected = module(tensor)
            twin.load_state_dict(module.state_dict())
            assert torch.equal(twin(tensor), expected)
            tensor = expected


@every_case
def test_nodes_share_no_tensors(name: str) -> None:
    pointers = [
        {t.data_ptr() for t in [*module.parameters(), *module.buffers()] if t.numel()}
        for module in [*_graph(name).modules(), _model(name)]
    ]
    assert sum(map(len, pointers)) == len(set().union(*pointers))


@every_case
def test_nodes_named_after_a_module_are_that_module(name: str) -> None:
    modules = dict(_model(name).named_modules())
    whole = [node for node in _graph(name).nodes if type(node.module) is type(modules.get(node.name))]
    assert all(node.module.state_dict().keys() == modules[node.name].state_dict().keys() for node in whole)
    # all but a stem, the last convolution, and blocks that take a second argument
    apart = {"eva": 3, "caformer": 4}.get(name, 2)
    assert len(whole) >= len(_graph(name).nodes) - apart


def test_a_network_is_cut_without_touching_it() -> None:
    model = copy.deepcopy(_model("resnet")).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    line_graph(model, (3, 64, 64))
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_global_random_state_is_left_alone() -> None:
    model = _model("vit")
    before = torch.get_rng_state()
    line_graph(model, (3, 32, 32))
    assert torch.equal(before, torch.get_rng_state())
