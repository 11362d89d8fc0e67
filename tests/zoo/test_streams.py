"""Cuts where several tensors are alive, and finer cuts where a node holds too much."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from dery_core.errors import DeryError
from dery_core.zoo import Layout, LineGraph, feature_map, from_feature_map, line_graph, prefix_tokens

SIZE = (3, 16, 16)


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.second(torch.relu(self.first(x))))


class TwoResolutions(nn.Module):
    """Maps of 16×16 and 8×8 side by side, from the first convolution to the head."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 6, 3, padding=1)
        self.coarse = nn.Conv2d(3, 10, 3, stride=2, padding=1)
        self.pairs = nn.ModuleList([Pair(6, 10) for _ in range(depth)])
        self.fc = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.fine(x), self.coarse(x)]
        for pair in self.pairs:
            maps = self.between(pair(maps))
        return self.fc(torch.cat([features.mean((2, 3)) for features in maps], dim=1))

    def between(self, maps: list[Tensor]) -> list[Tensor]:
        return maps


class Pair(nn.Module):
    """A block for each resolution, then each adds the other's mean."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(fine), Block(coarse)])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        fine, coarse = (block(features) for block, features in zip(self.blocks, maps, strict=True))
        means = fine.mean((1, 2, 3), keepdim=True), coarse.mean((1, 2, 3), keepdim=True)
        return [fine + means[1], coarse + means[0]]


def _images(count: int) -> Tensor:
    return torch.randn(count, *SIZE, generator=torch.Generator().manual_seed(1))


def _run(modules: list[nn.Module], tensor: Tensor) -> Tensor:
    for module in modules:
        tensor = module(tensor)
    return tensor


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return TwoResolutions().eval()


@pytest.fixture(scope="module")
def graph(model: nn.Module) -> LineGraph:
    return line_graph(model, SIZE, "two")


def test_two_maps_are_packed_into_one_tensor_with_the_layout_of_both(graph: LineGraph) -> None:
    both = Layout.of_parts([Layout("map", 6, 16, 16), Layout("map", 10, 8, 8)])
    assert graph.layouts[-1] == both
    tensor = _run([node.module for node in graph.nodes], _images(2))
    assert tensor.shape == (2, 6 * 256 + 10 * 64)


def test_packed_cuts_compose_to_the_network_at_any_batch_size(model: nn.Module, graph: LineGraph) -> None:
    for count in (1, 3, 4):
        assert torch.equal(graph(_images(count)), model(_images(count)))


def test_costs_sum_to_the_networks(model: nn.Module, graph: LineGraph) -> None:
    assert graph.params == sum(p.numel() for p in model.parameters())
    layers = [(256, 3 * 6), (64, 3 * 10), *[(256, 6 * 6)] * 6, *[(64, 10 * 10)] * 6]
    assert graph.macs == sum(9 * positions * weights for positions, weights in layers) + 16 * 4


def test_train_mode_draws_the_same_drops_through_packed_cuts(model: nn.Module, graph: LineGraph) -> None:
    twin = copy.deepcopy(model).train()
    nodes = [copy.deepcopy(module).train() for module in graph.modules()]
    torch.manual_seed(3)
    expected = twin(_images(4))
    torch.manual_seed(3)
    assert torch.equal(_run(nodes, _images(4)), expected)
    assert not torch.equal(expected, twin(_images(4)))


def test_gradients_flow_through_packed_cuts(model: nn.Module, graph: LineGraph) -> None:
    twin, nodes = copy.deepcopy(model), [copy.deepcopy(module) for module in graph.modules()]
    twin(_images(2)).sum().backward()
    _run(nodes, _images(2)).sum().backward()
    expected = sorted(float(p.grad.abs().sum()) for p in twin.parameters() if p.grad is not None)
    reached = [float(p.grad.abs().sum()) for node in nodes for p in node.parameters() if p.grad is not None]
    assert sorted(reached) == pytest.approx(expected, rel=1e-4)


def test_packed_nodes_are_copied_and_saved_whole(graph: LineGraph) -> None:
    tensor = _images(2)
    for module in graph.modules():
        expected = module(tensor)
        assert torch.equal(copy.deepcopy(module)(tensor), expected)
        assert torch.equal(pickle.loads(pickle.dumps(module))(tensor), expected)
        tensor = expected


def test_a_packed_tensor_goes_to_the_canonical_map_and_back(graph: LineGraph) -> None:
    layout = graph.layouts[-1]
    tensor = _run([node.module for node in graph.nodes], _images(2))
    maps = feature_map(tensor, layout)
    assert maps.shape == (2, 16, 16, 16)
    back = from_feature_map(maps, layout, prefix_tokens(tensor, layout))
    assert torch.allclose(back, tensor, atol=1e-6)


def test_a_map_held_channels_last_is_unpacked_so() -> None:
    class ChannelsLast(TwoResolutions):
        def between(self, maps: list[Tensor]) -> list[Tensor]:
            last = maps[0].to(memory_format=torch.channels_last)
            # fails on any other order in memory
            return [last.permute(0, 2, 3, 1).view(-1, 6).view(-1, 16, 16, 6).permute(0, 3, 1, 2), maps[1]]

    model = ChannelsLast().eval()
    graph = line_graph(model, SIZE)
    assert any(layout.kind == "streams" for layout in graph.layouts)
    assert torch.equal(graph(_images(3)), model(_images(3)))


def test_windows_folded_into_the_batch_are_tokens_of_the_grid_they_tile() -> None:
    class Windows(nn.Module):
        """Each 4×4 window's 16 positions through linear layers, beside a map of window means."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, padding=1)
            self.inner = nn.ModuleList([Mixer(8) for _ in range(3)])
            self.outer = nn.ModuleList([Mixer(8) for _ in range(3)])
            self.fc = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            batch = x.shape[0]
            inner = x.view(batch, 8, 4, 4, 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(batch * 16, 16, 8)
            outer = inner.mean(1).reshape(batch, 16, 8)
            for within, across in zip(self.inner, self.outer, strict=True):
                inner = within(inner)
                outer = across(outer + inner.mean(1).reshape(batch, 16, 8))
            return self.fc(outer.mean(1)) + self.fc(inner.reshape(batch, -1, 8).mean(1))

    model = Windows().eval()
    graph = line_graph(model, SIZE)
    assert torch.equal(graph(_images(3)), model(_images(3)))
    packed = next(layout for layout in graph.layouts if layout.kind == "streams")
    windows = Layout("tokens", 8, 16, 16, order=((4, 64), (4, 4), (4, 16), (4, 1)))
    assert windows in packed.parts


class Mixer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels, 4 * channels)
        self.second = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(x)))


def test_tensors_of_two_types_are_not_packed() -> None:
    class Mixed(TwoResolutions):
        def between(self, maps: list[Tensor]) -> list[Tensor]:
            return [maps[0], maps[1].double().sin().float()]

    model = Mixed().eval()
    graph = line_graph(model, SIZE)
    tensor = _images(2)
    for module in graph.modules():
        tensor = module(tensor)
        assert tensor.dtype == torch.float32
    assert torch.equal(tensor, model(_images(2)))


class Fork(nn.Module):
    """Blocks between a shortcut's two ends, as in MobileViT."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[Block(channels) for _ in range(depth)])
        self.fuse = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fuse(torch.cat([x, self.blocks(x)], dim=1))


class Unbalanced(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(*[Block(8) for _ in range(4)], Fork(8, 8))
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.conv(x)).mean((2, 3)))


def test_a_node_with_most_of_the_work_is_opened_between_its_blocks() -> None:
    model = Unbalanced().eval()
    graph = line_graph(model, SIZE)
    assert max(node.macs for node in graph.nodes) <= graph.macs / 4
    kinds = [layout.kind for layout in graph.layouts]
    # one map as far as possible, two only inside the fork
    assert kinds[:6] == ["map"] * 6
    assert "streams" in kinds[6:-1]
    assert kinds[-1] == "map"
    assert torch.equal(graph(_images(3)), model(_images(3)))


def test_a_residual_block_is_never_opened() -> None:
    class Few(Unbalanced):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(Block(8), Block(8))

    graph = line_graph(Few(), SIZE)
    assert [node.name for node in graph.nodes] == ["conv", "blocks.0", "blocks.1"]


def test_without_check_a_network_of_streams_has_the_same_nodes(model: nn.Module, graph: LineGraph) -> None:
    drawn = line_graph(model, SIZE, "two", check=False)
    assert drawn.layouts == graph.layouts
    assert [(n.name, n.params, n.macs) for n in drawn.nodes] == [
        (n.name, n.params, n.macs) for n in graph.nodes
    ]


def test_streams_in_another_order_are_no_cuts() -> None:
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))

    class Reordered(TwoResolutions):
        """The coarse stream's positions as tokens in an order of their own."""

        def __init__(self) -> None:
            super().__init__()
            self.first = nn.ModuleList([Block(6) for _ in range(3)])
            self.second = nn.ModuleList([Mixer(10) for _ in range(3)])

        def forward(self, x: Tensor) -> Tensor:
            fine, coarse = self.fine(x), self.coarse(x).flatten(2).transpose(1, 2)
            coarse = torch.stack([coarse[:, int(i)] for i in order], dim=1)
            for first, second in zip(self.first, self.second, strict=True):
                fine, coarse = first(fine), second(coarse)
                fine, coarse = fine + coarse.mean(), coarse + fine.mean()
            return self.fc(torch.cat([fine.mean((2, 3)), coarse.mean(1)], dim=1))

    with pytest.raises(DeryError, match="can't be cut"):
        line_graph(Reordered(), SIZE)


def test_a_networks_own_pack_and_unpack_are_kept() -> None:
    class Named(TwoResolutions):
        def __init__(self) -> None:
            super().__init__()
            self.pack, self.unpack = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)

        def forward(self, x: Tensor) -> Tensor:
            maps = [self.pack(self.fine(x)), self.coarse(x)]
            for pair in self.pairs:
                maps = pair(maps)
                maps = [self.pack(self.unpack(maps[0])), maps[1]]
            return self.fc(torch.cat([features.mean((2, 3)) for features in maps], dim=1))

    model = Named().eval()
    graph = line_graph(model, SIZE)
    assert any(layout.kind == "streams" for layout in graph.layouts)
    assert torch.equal(graph(_images(3)), model(_images(3)))
