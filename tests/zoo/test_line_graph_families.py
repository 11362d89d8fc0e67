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
import torch.nn.functional as F
from timm.layers import GatedMlp
from timm.models.convmixer import ConvMixer
from timm.models.efficientformer import EfficientFormer
from timm.models.fastvit import FastVit
from timm.models.focalnet import FocalNet
from timm.models.hieradet_sam2 import HieraDet
from timm.models.maxxvit import MaxxVit, MaxxVitCfg, MaxxVitTransformerCfg
from timm.models.metaformer import Attention, LayerNorm2dNoBias, LayerNormNoBias, MetaFormer, Pooling, SepConv
from timm.models.mlp_mixer import Affine, MlpMixer, ResBlock, SpatialGatingBlock
from timm.models.mvitv2 import MultiScaleVit, MultiScaleVitCfg
from timm.models.nest import Nest
from timm.models.tiny_vit import TinyVit
from timm.models.vgg import VGG
from timm.models.vision_transformer_sam import VisionTransformerSAM
from timm.models.volo import VOLO
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dery_core.zoo import Layout, LineGraph, feature_map, line_graph

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
    # dense blocks keep many tensors alive: what came in, and what each layer added. The largest is opened
    "densenet": Case(
        _timm("densenet121", growth_rate=8, block_config=(1, 2, 2, 2), drop_rate=0.1),
        64,
        "stem",
        "features.denseblock4",
        _maps(
            (1, 16, 16), (1, 24, 16), (1, 12, 8), (1, 28, 8), (1, 14, 4), (1, 30, 4), (1, 15, 2), (1, 31, 2)
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
    # all but a stem, the last convolution, and blocks that take or give a second tensor
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


@dataclass(frozen=True)
class Known:
    """What the network's own code says of some of its cuts: name of the node that ends there -> layout."""

    build: Callable[[], nn.Module]
    size: int
    layouts: dict[str, Layout]


def _map(channels: int, side: int) -> Layout:
    return Layout("map", channels, side, side)


def _last(channels: int, side: int) -> Layout:
    return Layout("map_last", channels, side, side)


def _grid(channels: int, side: int, prefix: int = 0, **order: Any) -> Layout:
    return Layout("tokens", channels, side, side, prefix, **order)


def _maxxvit(*blocks: str) -> Callable[[], nn.Module]:
    attention = MaxxVitTransformerCfg(dim_head=8, window_size=(2, 2), grid_size=(2, 2))
    cfg = MaxxVitCfg((8, 16, 24, 32), (1, 1, 2, 1), blocks, 8, transformer_cfg=attention)
    return lambda: MaxxVit(cfg, img_size=64, num_classes=5)


def _mvit(**kwargs: Any) -> Callable[[], nn.Module]:
    cfg = MultiScaleVitCfg((1, 1, 2, 1), 16, **kwargs)
    return lambda: MultiScaleVit(cfg, img_size=(64, 64), num_classes=5)


_FOUR: dict[str, Any] = {"embed_dims": (8, 16, 24, 32), "depths": (1, 1, 2, 1), "num_heads": (1, 1, 1, 1)}
_SMALL: dict[str, Any] = {"img_size": 32, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}

# layouts read off the networks' own code (timm's files), not off what is found here
KNOWN: dict[str, Known] = {
    # unrolled three times (one for every later pooling): the offset within 2×2 units goes to the front,
    # finest first. A pooling takes the maximum over the first axis, so the finest offsets go
    "hiera": Known(
        _timm("hiera_tiny_224", img_size=(64, 64), embed_dim=16, num_heads=1, stages=(1, 1, 2, 1)),
        64,
        {
            "stem": _grid(
                16, 16, order=((2, 16), (2, 1), (2, 32), (2, 2), (2, 64), (2, 4), (2, 128), (2, 8))
            ),
            "blocks.1": _grid(32, 8, order=((2, 8), (2, 1), (2, 16), (2, 2), (2, 32), (2, 4))),
            "blocks.2": _grid(64, 4, order=((2, 4), (2, 1), (2, 8), (2, 2))),
            "blocks.3": _grid(64, 4, order=((2, 4), (2, 1), (2, 8), (2, 2))),
            "blocks.4": _grid(128, 2),
        },
    ),
    # (B, H, W, C) between blocks, windows only inside; the first block of a stage pools 2×2
    "hieradet": Known(
        lambda: HieraDet(
            num_classes=5, embed_dim=16, stages=(1, 1, 2, 1), window_spec=(4, 4, 2, 2), global_att_blocks=(3,)
        ),
        64,
        {
            "blocks.0": _last(16, 16),
            "blocks.1": _last(32, 8),
            "blocks.3": _last(64, 4),
            "blocks.4": _last(128, 2),
        },
    ),
    # every stage puts a class token before its tokens, and drops it before it makes a map for the next
    "coat": Known(
        _timm("coat_lite_tiny", img_size=64, embed_dims=(16, 24, 32, 48), serial_depths=(2, 1, 1, 1)),
        64,
        {
            "stem": _grid(16, 16, 1),
            "serial_blocks1.0": _grid(16, 16, 1),
            "serial_blocks1.1": _map(16, 16),
            "patch_embed3": _grid(32, 4, 1),
            "serial_blocks4.0": _grid(48, 2, 1),
        },
    ),
    # a convolutional stem of stride 16, then tokens; a downsampling keeps every second query
    "levit": Known(
        _timm(
            "levit_128s",
            img_size=128,
            embed_dim=(16, 24, 32),
            depth=(1, 1, 1),
            num_heads=(1, 2, 2),
            key_dim=8,
        ),
        128,
        {
            "stem": _grid(16, 8),
            "stages.0": _grid(16, 8),
            "stages.1.blocks.0": _grid(24, 4),
            "stages.2.blocks.0": _grid(32, 2),
        },
    ),
    # the same on maps: attention flattens and puts back
    "levit_conv": Known(
        _timm(
            "levit_conv_128s",
            img_size=128,
            embed_dim=(16, 24, 32),
            depth=(1, 1, 1),
            num_heads=(1, 2, 2),
            key_dim=8,
        ),
        128,
        {"stem": _map(16, 8), "stages.0": _map(16, 8), "stages.1.blocks.0": _map(24, 4)},
    ),
    # a stage downsamples a map, turns it channels last for its blocks, and back after them
    "tiny_vit": Known(
        lambda: TinyVit(num_classes=5, window_sizes=(4, 4, 4, 2), **_FOUR),
        64,
        {
            "stages.0.blocks.0": _map(8, 16),
            "stages.1.downsample": _last(16, 8),
            "stages.1.blocks.0": _map(16, 8),
            "stages.2.downsample": _last(24, 4),
            "stages.2.blocks.0": _last(24, 4),
            "stages.2.blocks.1": _map(24, 4),
        },
    ),
    # kernels of 9 pixels see the whole grid
    "convmixer": Known(
        lambda: ConvMixer(16, 2, patch_size=4, num_classes=5),
        32,
        {"stem": _map(16, 8), "blocks.1.1": _map(16, 8)},
    ),
    # (B, blocks, tokens in a block, C): 4×4, 2×2 and 1 block of 4×4 tokens; maps between levels
    "nest": Known(
        lambda: Nest(64, embed_dims=(8, 16, 24), num_heads=(1, 1, 1), depths=(2, 2, 2), num_classes=5),
        64,
        {
            "stem": _grid(8, 16, windows=16, order=((4, 64), (4, 4), (4, 16), (4, 1))),
            "levels.0.transformer_encoder.0": _grid(
                8, 16, windows=16, order=((4, 64), (4, 4), (4, 16), (4, 1))
            ),
            "levels.0.transformer_encoder.1": _map(8, 16),
            "levels.1.transformer_encoder.0": _grid(
                16, 8, windows=4, order=((2, 32), (2, 4), (4, 8), (4, 1))
            ),
            "levels.2.transformer_encoder.0": _grid(24, 4, windows=1),
        },
    ),
    # the class token joins after the last block with cross-covariance attention
    "xcit": Known(
        _timm("xcit_nano_12_p8_224", img_size=64, embed_dim=32, depth=2, num_heads=2),
        64,
        {"blocks.0": _grid(32, 8), "blocks.1": _grid(32, 8, 1), "cls_attn_blocks.0": _grid(32, 8, 1)},
    ),
    # tokens inside a stage, a map at its end; the last stage's norm is the head's, before the map
    "pvt_v2": Known(
        _timm("pvt_v2_b0", **_FOUR),
        64,
        {
            "stem": _grid(8, 16),
            "stages.0.blocks.0": _map(8, 16),
            "stages.2.blocks.0": _grid(24, 4),
            "stages.2.blocks.1": _map(24, 4),
            "stages.3.blocks.0": _grid(32, 2),
        },
    ),
    # the same; a position encoding by convolution after each stage's first block
    "twins": Known(
        _timm(
            "twins_svt_small",
            img_size=64,
            embed_dims=(8, 16, 24, 32),
            depths=(2, 2, 2, 2),
            num_heads=(1, 1, 1, 1),
            wss=(4, 4, 2, 2),
        ),
        64,
        {
            "blocks.0.0": _grid(8, 16),
            "blocks.0.1": _map(8, 16),
            "pos_block.2": _grid(24, 4),
            "blocks.3.1": _grid(32, 2),
        },
    ),
    "swinv2": Known(
        _timm(
            "swinv2_tiny_window8_256",
            img_size=32,
            patch_size=2,
            window_size=4,
            embed_dim=16,
            depths=(2, 2),
            num_heads=(2, 4),
        ),
        32,
        {"patch_embed": _last(16, 16), "layers.0.blocks.1": _last(16, 16), "layers.1.blocks.0": _last(32, 8)},
    ),
    # attention over channels and over windows, each flattening a map and putting it back
    "davit": Known(
        _timm("davit_tiny", window_size=2, **_FOUR),
        64,
        {
            "stages.0.blocks.0.0": _map(8, 16),
            "stages.0.blocks.0.1": _map(8, 16),
            "stages.2.blocks.0.1": _map(24, 4),
        },
    ),
    # pools queries by strides, tokens without a class token
    "mvitv2": Known(
        _mvit(),
        64,
        {
            "stages.0.blocks.0": _grid(16, 16),
            "stages.1.blocks.0": _grid(32, 8),
            "stages.2.blocks.1": _grid(64, 4),
            "stages.3.blocks.0": _grid(128, 2),
        },
    ),
    "mvitv2_class_token": Known(
        _mvit(use_cls_token=True),
        64,
        {"stages.0.blocks.0": _grid(16, 16, 1), "stages.1.blocks.0": _grid(32, 8, 1)},
    ),
    # recurrent layers along rows and columns of (B, H, W, C); patches of 7, then 2, then 1
    "sequencer": Known(
        _timm(
            "sequencer2d_s",
            img_size=56,
            embed_dims=(8, 16, 16, 16),
            layers=(1, 1, 2, 1),
            hidden_sizes=(4, 4, 4, 4),
        ),
        56,
        {"stages.1.blocks.0": _last(16, 4), "stages.2.blocks.0": _last(16, 4)},
    ),
    # (B, H, W, C) in the network, tokens with a class token in the two blocks after it
    "volo": Known(
        lambda: VOLO(
            [1, 1, 2, 1],
            64,
            stem_hidden_dim=8,
            embed_dims=[8, 16, 16, 16],
            num_heads=[1, 1, 1, 1],
            num_classes=5,
        ),
        64,
        {"patch_embed": _last(8, 8), "network.2.0": _last(16, 4), "post_network.0": _grid(16, 4, 1)},
    ),
    # maps throughout, channels turned last for single layers only
    "focalnet": Known(
        lambda: FocalNet(embed_dim=8, depths=(1, 1, 2, 1), num_classes=5),
        64,
        {"layers.0": _map(8, 16), "layers.2.blocks.0": _map(32, 4)},
    ),
    # windows and dilated grids are partitioned inside a block, channels last, and put back as a map
    "maxvit": Known(
        _maxxvit("M", "M", "M", "M"), 64, {"stages.0.blocks.0": _map(8, 16), "stages.2.blocks.0": _map(24, 4)}
    ),
    "coatnet": Known(
        _maxxvit("C", "C", "T", "T"), 64, {"stages.1.blocks.0": _map(16, 8), "stages.2.blocks.0": _map(24, 4)}
    ),
    # patches of 2×2 are unfolded inside a block
    "mobilevit": Known(_timm("mobilevit_xxs"), 64, {"stages.2.1": _map(48, 8), "stages.3.1": _map(64, 4)}),
    "edgenext": Known(
        _timm("edgenext_xx_small", dims=(8, 16, 24, 32), depths=(1, 2, 2, 2), heads=(1, 1, 1, 1)),
        64,
        {"stages.0": _map(8, 16), "stages.2.blocks.1": _map(24, 4)},
    ),
    # flattened between the last stage's convolutions and its attention
    "efficientformer": Known(
        lambda: EfficientFormer((1, 1, 1, 2), (8, 16, 24, 32), num_vit=1, num_classes=5),
        224,
        {
            "stages.2.blocks.0": _map(24, 14),
            "stages.3.blocks.0": _grid(32, 7),
            "stages.3.blocks.2": _grid(32, 7),
        },
    ),
    # the class token joins after the blocks with positional attention
    "convit": Known(
        _timm(
            "convit_tiny", img_size=32, patch_size=4, embed_dim=8, depth=3, num_heads=2, local_up_to_layer=2
        ),
        32,
        {"blocks.0": _grid(16, 8), "blocks.1": _grid(16, 8, 1), "blocks.2": _grid(16, 8, 1)},
    ),
    "visformer": Known(
        _timm("visformer_tiny", img_size=64, init_channels=8, embed_dim=32, depth=(1, 2, 1), num_heads=2),
        64,
        {"stage1.0": _map(16, 8), "stage2.0": _map(32, 4)},
    ),
    "fastvit": Known(
        lambda: FastVit(layers=(1, 1, 2, 1), embed_dims=(8, 16, 32, 64), num_classes=5),
        64,
        {"stages.0": _map(8, 16), "stages.2.blocks.0": _map(32, 4)},
    ),
    # the head begins with a convolution over all 7×7 positions
    "vgg": Known(
        lambda: VGG([8, "M", 8, "M", 16, "M"], num_classes=5, mlp_ratio=0.01),
        56,
        {"features": _map(16, 7), "pre_logits": _map(4096, 1)},
    ),
    # a stage joins the class token to its map's positions; patches of 8 at every 4 pixels, two heads of 8
    "pit": Known(
        _timm("pit_xs_224", img_size=64, patch_size=8, stride=4, base_dims=(8, 8, 8), depth=(2, 2, 2)),
        64,
        {"transformers.0.blocks.0": _grid(2 * 8, 15, 1)},
    ),
    # two branches of tokens, each with its class token; one sees the image at two thirds of its size
    "crossvit": Known(
        _timm(
            "crossvit_tiny_240",
            img_size=48,
            img_scale=(1.0, 2 / 3),
            embed_dim=(16, 24),
            depth=((1, 2, 0), (1, 2, 0)),
            num_heads=(2, 2),
            mlp_ratio=(2, 2, 1),
        ),
        48,
        {
            "patch_embed": Layout.of_parts([_grid(16, 4, 1), _grid(24, 2, 1)]),
            "blocks.0": Layout.of_parts([_grid(16, 4, 1), _grid(24, 2, 1)]),
        },
    ),
    # a token for each patch, and for each patch a 4×4 grid of tokens: what they say stands side by side
    "tnt": Known(
        _timm(
            "tnt_s_patch16_224",
            img_size=64,
            embed_dim=32,
            inner_dim=8,
            depth=2,
            num_heads_inner=2,
            num_heads_outer=2,
        ),
        64,
        {"blocks.0": Layout.of_parts([_grid(4 * 4 * 8, 4), _grid(32, 4, 1)])},
    ),
    # the parallel blocks need every resolution, each with its class token
    "coat_parallel": Known(
        _timm(
            "coat_tiny",
            img_size=64,
            embed_dims=(16, 16, 16, 16),
            serial_depths=(1, 1, 1, 1),
            parallel_depth=2,
        ),
        64,
        {"serial_blocks2.0": Layout.of_parts([_grid(16, 16, 1), _grid(16, 8, 1)])},
    ),
    "beit": Known(_timm("beit_base_patch16_224", **_SMALL), 32, {"blocks.0": _grid(24, 8, 1)}),
    # a class token and a distillation token
    "deit_distilled": Known(
        _timm("deit_tiny_distilled_patch16_224", **_SMALL),
        32,
        {"stem": _grid(24, 8, 2), "blocks.0": _grid(24, 8, 2)},
    ),
    # pads to windows inside a block; the neck turns (B, H, W, C) into a map
    "vit_sam": Known(
        lambda: VisionTransformerSAM(
            32, 4, embed_dim=24, depth=2, num_heads=2, window_size=3, neck_chans=16, num_classes=5
        ),
        32,
        {"blocks.0": _last(24, 8), "blocks.1": _map(24, 8)},
    ),
    "relpos": Known(_timm("vit_relpos_small_patch16_224", **_SMALL), 32, {"blocks.0": _grid(24, 8)}),
    # takes patches apart itself, before one linear layer
    "naflexvit": Known(
        _timm("naflexvit_base_patch16_gap", img_size=32, patch_size=4, embed_dim=24, depth=2, num_heads=2),
        32,
        {"stem": _grid(24, 8, 4), "blocks.0": _grid(24, 8, 4)},
    ),
}


@cache
def _known(name: str) -> LineGraph:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return line_graph(KNOWN[name].build(), (3, KNOWN[name].size, KNOWN[name].size), name)


def _behind(graph: LineGraph, path: str) -> Layout | None:
    """Layout behind the module `path`, or behind the last node that is a part of it."""
    parts = [i for i, node in enumerate(graph.nodes) if f"{node.name}.".startswith(f"{path}.")]
    return graph.layouts[parts[-1] + 1] if parts else None


def _parts(layout: Layout | None) -> list[str]:
    """The layout's fields, or those of its parts in whatever order they come."""
    return sorted(map(repr, layout.parts or (layout,))) if layout else []


@pytest.mark.parametrize("name", KNOWN)
def test_layouts_are_those_of_the_networks_own_code(name: str) -> None:
    graph, expected = _known(name), KNOWN[name].layouts
    found = {path: _parts(_behind(graph, path)) for path in expected}
    assert found == {path: _parts(layout) for path, layout in expected.items()}


# in these the way there isn't plain, and no layer spreads what it sees over the whole grid
@pytest.mark.parametrize(
    "name", ["hiera", "hieradet", "coat", "tiny_vit", "nest", "pvt_v2", "twins", "mvitv2", "volo", "convit"]
)
def test_what_changes_in_a_part_of_the_image_changes_that_part_of_every_map_most(name: str) -> None:
    graph, size = _known(name), KNOWN[name].size
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1)
    quarter = size // 4
    part = (slice(None), slice(quarter, 2 * quarter), slice(2 * quarter, 3 * quarter))
    images[1][part].neg_()
    compared = 0
    for node, layout in zip(graph.nodes, graph.layouts[1:], strict=True):
        with torch.no_grad():
            images = node.module(images)
        if layout.height >= 8:  # coarser, what lies beside it is in every kernel
            first, second = feature_map(images, layout)
            change = F.adaptive_avg_pool2d((second - first).square().sum(0, keepdim=True), 4)
            assert change.flatten().argmax() == 4 * 1 + 2, node.name
            compared += 1
    assert compared >= 2
