"""Line graphs of small hand-made networks: what is special about each, and what can't be cut."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dery_core.errors import DeryError
from dery_core.zoo import Layout, Zoo, count_macs, line_graph, load_zoo, zoo_line_graph

SIZE = (3, 16, 16)


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


class Net(nn.Module):
    """Stem, two residual blocks, pooled head; the steps in between are for subclasses to change."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList([Block(channels), Block(channels)])
        self.fc = nn.Linear(channels, 4)

    def between(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.between(self.blocks[0](self.conv(x)))
        return self.fc(self.blocks[1](x).mean((2, 3)))


def _images(count: int) -> Tensor:
    return torch.randn(count, *SIZE, generator=torch.Generator().manual_seed(1))


def test_blocks_are_nodes_and_pooling_is_the_heads() -> None:
    graph = line_graph(Net(), SIZE, "net")
    assert [node.name for node in graph.nodes] == ["conv", "blocks.0", "blocks.1"]
    assert graph.head.params == 8 * 4 + 4
    assert graph.layouts == (Layout("map", 3, 16, 16), *[Layout("map", 8, 16, 16)] * 3)


def test_costs_are_those_counted_by_hand() -> None:
    graph = line_graph(Net(), SIZE)
    assert [node.params for node in graph.nodes] == [3 * 8 * 9 + 8, 2 * (8 * 8 * 9 + 8), 2 * (8 * 8 * 9 + 8)]
    assert [node.macs for node in graph.nodes] == [256 * 3 * 8 * 9, 2 * 256 * 8 * 8 * 9, 2 * 256 * 8 * 8 * 9]
    assert graph.head.macs == 8 * 4
    assert graph.cumulative("nodes") == [0, 1, 2, 3]


def test_costs_are_those_of_one_image_where_images_of_a_batch_mix() -> None:
    class Mixing(Net):
        def between(self, x: Tensor) -> Tensor:
            means = x.mean((2, 3))
            return x + (means @ means.T).sum()

    model = Mixing()
    assert line_graph(model, SIZE, "net").macs == count_macs(model.eval(), _images(1))


def test_as_many_channels_as_rows_is_still_a_map() -> None:
    graph = line_graph(Net(16), SIZE)
    assert {layout.kind for layout in graph.layouts} == {"map"}


def test_code_between_blocks_joins_the_node_before_it() -> None:
    class WithTanh(Net):
        def between(self, x: Tensor) -> Tensor:
            return torch.tanh(x) * 2

    graph = line_graph(WithTanh(), SIZE)
    assert [node.name for node in graph.nodes] == ["conv", "blocks.0", "blocks.1"]
    assert isinstance(graph.nodes[1].module, torch.fx.GraphModule)
    assert set(graph.nodes[1].module.state_dict()) == {
        f"blocks.0.{layer}.{kind}" for layer in ("first", "second") for kind in ("weight", "bias")
    }


def test_a_functional_dropout_between_blocks_follows_the_mode() -> None:
    class WithDropout(Net):
        def between(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.5, self.training)

    torch.manual_seed(0)
    model = WithDropout()
    modules = [module.train() for module in line_graph(model, SIZE).modules()]
    torch.manual_seed(1)
    expected = model.train()(_images(2))
    torch.manual_seed(1)
    composed = _images(2)
    for module in modules:
        composed = module(composed)
    assert torch.equal(composed, expected)
    assert not torch.equal(expected, model(_images(2)))


def test_no_cut_holds_a_tensor_that_the_next_node_overwrites() -> None:
    class Overwriting(Net):
        def between(self, x: Tensor) -> Tensor:
            return F.relu(x, inplace=True)

    graph = line_graph(Overwriting(), SIZE)
    tensor = _images(2)
    for module in graph.modules():
        before = tensor.clone()
        after = module(tensor)
        assert torch.equal(tensor, before)
        tensor = after


def test_shapes_written_with_the_batch_size_follow_it() -> None:
    class Reshaping(Net):
        def between(self, x: Tensor) -> Tensor:
            batch, channels = x.shape[:2]
            return x.reshape(batch * channels, -1).softmax(1).view(x.shape)

    model = Reshaping().eval()
    graph = line_graph(model, SIZE)
    for count in (1, 4, 7):
        assert torch.equal(graph(_images(count)), model(_images(count)))


def test_values_made_from_weights_alone_are_made_where_they_are_used() -> None:
    class Offset(Net):
        scale: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.offset = nn.Parameter(torch.randn(8, 1, 1))
            self.register_buffer("scale", torch.rand(8, 1, 1), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            offset = self.offset.exp() * self.scale
            x = self.blocks[0](self.conv(x)) + offset
            return self.fc((self.blocks[1](x) + offset).mean((2, 3)))

    model = Offset().eval()
    graph = line_graph(model, SIZE)
    assert torch.equal(graph(_images(2)), model(_images(2)))
    holders = [module for module in graph.modules() if "offset" in module.state_dict()]
    assert len(holders) == 2
    assert not any("scale" in module.state_dict() for module in holders)
    assert graph.params == sum(p.numel() for p in model.parameters())


def test_a_module_used_twice_is_two_nodes_and_counts_once() -> None:
    class Twice(Net):
        def forward(self, x: Tensor) -> Tensor:
            x = self.blocks[0](self.blocks[0](self.conv(x)))
            return self.fc(self.blocks[1](x).mean((2, 3)))

    model = Twice()
    graph = line_graph(model, SIZE)
    assert [node.name for node in graph.nodes] == ["conv", "blocks.0", "blocks.0#2", "blocks.1"]
    assert graph.nodes[2].params == 0
    assert graph.params == sum(p.numel() for p in model.parameters())
    assert graph.nodes[1].module is not graph.nodes[2].module


def test_plain_layers_are_nodes_where_there_are_no_blocks() -> None:
    def layer(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU())

    model = nn.Sequential(
        layer(3, 8), layer(8, 8), nn.MaxPool2d(2), layer(8, 12), nn.Flatten(), nn.Linear(768, 4)
    )
    graph = line_graph(model, SIZE)
    assert [str(layout) for layout in graph.layouts[1:]] == ["8 × 16×16", "8 × 8×8", "12 × 8×8"]


def test_a_downsampling_of_several_blocks_is_one_node() -> None:
    class Stage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.downsample = nn.Sequential(nn.MaxPool2d(2), Block(8), Block(8))
            self.blocks = nn.Sequential(*[Block(8) for _ in range(7)])

        def forward(self, x: Tensor) -> Tensor:
            return self.blocks(self.downsample(x))

    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Stage(), Stage(), nn.Flatten(), nn.Linear(8 * 16, 4))
    names = [node.name for node in line_graph(model, SIZE).nodes]
    assert names[1:3] == ["1.downsample", "1.blocks.0"]
    assert len(names) == 1 + 2 * 8


def test_a_row_of_layers_that_occurs_often_is_one_node() -> None:
    class Residual(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return x + super().forward(x)

    rows = [
        nn.Sequential(Residual(nn.Conv2d(8, 8, 3, padding=1), nn.GELU()), nn.Conv2d(8, 8, 1), nn.GELU())
        for _ in range(8)
    ]
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), *rows, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    assert [node.name for node in line_graph(model, SIZE).nodes] == list("012345678")


class Tokens(Net):
    """Works on tokens after the stem; `order` says in which order they lie."""

    def __init__(self, order: Tensor | None = None) -> None:
        super().__init__()
        self.order = order
        self.mixers = nn.ModuleList([TokenBlock(8), TokenBlock(8)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[0](self.conv(x)).flatten(2).transpose(1, 2)
        if self.order is not None:
            x = torch.stack([x[:, int(i)] for i in self.order], dim=1)
        return self.fc(self.mixers[1](self.mixers[0](x)).mean(1))


class TokenBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels, channels)
        self.second = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.gelu(self.first(x)))


def test_tokens_in_raster_order_are_cut() -> None:
    graph = line_graph(Tokens(), SIZE)
    assert graph.layouts[2:] == (Layout("tokens", 8, 16, 16),) * 3


def test_tokens_in_raster_order_by_a_way_unknown_are_found_by_the_probe() -> None:
    graph = line_graph(Tokens(torch.arange(256)), SIZE)
    assert graph.layouts[2:] == (Layout("tokens", 8, 16, 16),) * 3


def test_tokens_in_another_order_are_no_cuts() -> None:
    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    model = Tokens(order).eval()
    graph = line_graph(model, SIZE)
    # the last cut lies before the reordering; the blocks behind it are left to the head
    assert [node.name for node in graph.nodes] == ["conv", "blocks.0"]
    assert graph.head.params == sum(p.numel() for p in [*model.mixers.parameters(), *model.fc.parameters()])
    assert torch.equal(graph(_images(2)), model(_images(2)))


def test_an_input_that_is_not_square_keeps_its_aspect() -> None:
    graph = line_graph(Tokens(), (3, 12, 20))
    assert graph.layouts[-1] == Layout("tokens", 8, 12, 20)


def test_nodes_are_pickled_whole() -> None:
    class WithTanh(Net):
        def between(self, x: Tensor) -> Tensor:
            return torch.tanh(x).view(x.size(0), 8, 16, 16)

    node = line_graph(WithTanh(), SIZE).nodes[0].module
    images = _images(3)
    assert torch.equal(pickle.loads(pickle.dumps(node))(images), node(images))


# what can't be cut


class ManyStreams(Net):
    """Carries five maps from block to block."""

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.conv(x.roll(i, -1)) for i in range(5)]
        for block in self.blocks:
            mean = torch.stack(maps).mean()
            maps = [block(features) + mean for features in maps]
        return self.fc(torch.stack(maps).sum(0).mean((2, 3)))


class OneBlock(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).mean((2, 3)))


class PairOfLogits(Net):
    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits, logits  # type: ignore[return-value]


class BatchBranch(Net):
    def between(self, x: Tensor) -> Tensor:
        return x.tanh() if len(x) > 2 else x


class HeavyHead(Net):
    """Works most behind a global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("fc", nn.Sequential(nn.Linear(8, 4096), nn.Linear(4096, 512), nn.Linear(512, 4)))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (ManyStreams(), "in one to 4 tensors"),
        (OneBlock(), "only one block before its head"),
        (PairOfLogits(), "returns a tuple"),
        (BatchBranch(), "other operations at another batch size"),
        (HeavyHead(), "most of its work"),
    ],
)
def test_what_cannot_be_cut_is_refused_by_name_with_the_reason(model: nn.Module, reason: str) -> None:
    with pytest.raises(DeryError, match=f"^mynet can't be cut: .*{reason}.*\\.$"):
        line_graph(model, SIZE, "mynet")


def test_without_check_everything_is_the_same_but_the_numbers() -> None:
    class Caching(Net):
        """Makes a tensor from weights at the first call, and keeps it."""

        kept: Tensor | None = None

        def between(self, x: Tensor) -> Tensor:
            if self.kept is None:
                bias = self.get_parameter("blocks.0.first.bias")
                self.kept = torch.arange(8.0)[:, None, None] * bias[0].detach()
            return x + self.kept

    model = Caching()
    real, drawn = line_graph(model, SIZE), line_graph(model, SIZE, check=False)
    assert drawn.layouts == real.layouts
    for node, other in zip([*real.nodes, real.head], [*drawn.nodes, drawn.head], strict=True):
        assert (node.name, node.params, node.macs) == (other.name, other.params, other.macs)
        assert all(parameter.is_meta for parameter in other.module.parameters())
    assert torch.equal(real(_images(2)), model.eval()(_images(2)))


def test_a_network_without_numbers_is_cut_without_check() -> None:
    with torch.device("meta"):
        graph = line_graph(Net(), SIZE)
    assert [node.name for node in graph.nodes] == ["conv", "blocks.0", "blocks.1"]


class ByNumbers(Net):
    """What it does depends on the numbers that it is given."""

    def between(self, x: Tensor) -> Tensor:
        return x.tanh() if bool(self.fc.weight.sum() < 1e9) else x


def test_a_network_that_needs_real_numbers_is_run_on_them() -> None:
    model = ByNumbers().eval()
    graph = line_graph(model, SIZE)
    assert torch.equal(graph(_images(2)), model(_images(2)))


def test_a_network_that_needs_real_numbers_is_refused_without_check() -> None:
    with pytest.raises(DeryError, match="^mynet can't be cut without running it on real numbers: .*\\.$"):
        line_graph(ByNumbers(), SIZE, "mynet", check=False)


def test_what_a_network_computes_from_weights_counts_once_however_many_nodes_read_it() -> None:
    class Biased(Net):
        def forward(self, x: Tensor) -> Tensor:
            bias = torch.eye(8) @ self.fc.weight.T
            x = self.blocks[0](self.conv(x)) + bias.mean()
            return self.fc((self.blocks[1](x) + bias.amax()).mean((2, 3)))

    model = Biased()
    plain = line_graph(Net(), SIZE)
    graph = line_graph(model, SIZE)
    assert graph.macs == plain.macs + 8 * 8 * 4


def test_an_input_that_does_not_fit_is_told() -> None:
    with pytest.raises(DeryError, match="mynet doesn't run on an input of 1×16×16"):
        line_graph(Net(), (1, 16, 16), "mynet")


def test_a_network_without_a_name_goes_by_its_class() -> None:
    assert line_graph(Net(), SIZE).name == "Net"


def test_a_chain_that_is_not_the_network_is_refused() -> None:
    class Hidden(Net):
        """Counts its calls in Python, behind the recorder's back."""

        calls: ClassVar[list[int]] = []

        def forward(self, x: Tensor) -> Tensor:
            self.calls.append(1)
            return super().forward(x) + len(self.calls)

    with pytest.raises(DeryError, match="^hidden can't be cut"):
        line_graph(Hidden(), SIZE, "hidden")


def test_a_zoo_model_is_built_with_its_weights_and_cut(toy_zoo_path: Path) -> None:
    zoo: Zoo = load_zoo(toy_zoo_path)
    graph = zoo_line_graph(zoo, "toy_vit")
    assert (graph.name, graph.input_size) == ("toy_vit", (3, 16, 16))
    images = _images(2)
    assert torch.equal(graph(images), zoo.build("toy_vit")(images))


def test_a_real_network_is_cut_into_its_published_blocks() -> None:
    path = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "real_zoo" / "zoo.json"
    if not path.exists():
        pytest.skip(f"needs the real zoo at {path}")
    zoo = load_zoo(path)
    model = zoo.build("mobilenetv2_100.imagenet")
    graph = line_graph(model, (3, 96, 96), "mobilenetv2")
    # a stem, 17 inverted residuals and the last convolution (Sandler et al. 2018, table 2)
    assert len(graph.nodes) == 19
    assert graph.params == sum(p.numel() for p in model.parameters())


def test_nodes_keep_nothing_precomputed_from_the_weights_they_were_cut_with() -> None:
    class Caching(Block):
        cache: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.cache is None:
                self.cache = self.first.weight.detach() * 2
            return x + F.conv2d(F.relu(self.first(x)), self.cache, padding=1)

    model = Net()
    model.blocks[1] = Caching(8)
    node = line_graph(model, SIZE).nodes[-1].module
    with torch.no_grad():
        for parameter in node.parameters():
            parameter.zero_()
    features = torch.randn(2, 8, 16, 16)
    assert torch.equal(node(features), features)


class SquareOfBatch(Net):
    """Linear through any two batch sizes, but not elsewhere."""

    def between(self, x: Tensor) -> Tensor:
        return x + x.new_ones(x.shape[0] ** 2).sum()


class HalfOfBatch(Net):
    def between(self, x: Tensor) -> Tensor:
        return x + x.new_ones(max(x.shape[0] // 2, 1)).sum()


class CubicFromThree(Net):
    """What a line through the recorded batch sizes, and one image, agree with."""

    def between(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        return x + x.new_ones(batch + (batch - 1) * (batch - 2) * (batch - 5) * -1).sum()


@pytest.mark.parametrize("model", [SquareOfBatch(), HalfOfBatch(), CubicFromThree()])
def test_what_follows_the_batch_size_in_no_linear_way_is_refused(model: nn.Module) -> None:
    with pytest.raises(DeryError, match="^mynet can't be cut: .*batch.*\\.$"):
        line_graph(model, SIZE, "mynet")


def test_a_node_does_not_overwrite_what_it_takes_through_a_view() -> None:
    class OverwritingBlock(Block):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flatten(2).relu_().unflatten(2, (16, 16)))

    class Overwriting(Net):
        def __init__(self) -> None:
            super().__init__()
            self.blocks[1] = OverwritingBlock(8)

    graph = line_graph(Overwriting(), SIZE)
    tensor = _images(2)
    for module in graph.modules():
        before = tensor.clone()
        after = module(tensor)
        assert torch.equal(tensor, before)
        tensor = after


@pytest.mark.parametrize(
    ("size", "words"),
    [((3, 2**20, 2**20), "needs .*GiB of memory"), ((3, 2**40, 2**40), "more memory than there is")],
)
def test_an_input_that_memory_does_not_hold_is_told(size: tuple[int, int, int], words: str) -> None:
    class Shrinking(Tokens):
        """Leaves its layout to the probe, without which nothing would be made of that size."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.adaptive_avg_pool2d(x, 16))

    with pytest.raises(DeryError, match=f"^mynet can't be cut: .*{words}.*\\.$"):
        line_graph(Shrinking(torch.arange(256)), size, "mynet")


def test_a_network_that_cannot_be_copied_is_told() -> None:
    model = Net()
    model.conv.kept = model.conv.weight * 2
    with pytest.raises(DeryError, match="^mynet can't be cut: it can't be copied"):
        line_graph(model, SIZE, "mynet")


def test_a_network_is_cut_within_inference_mode() -> None:
    with torch.inference_mode():
        graph = line_graph(Net(), SIZE)
    assert [node.name for node in graph.nodes] == ["conv", "blocks.0", "blocks.1"]
    graph(_images(2)).sum().backward()
    assert all(p.grad is not None for module in graph.modules() for p in module.parameters())


def test_whatever_a_network_raises_becomes_one_sentence() -> None:
    class Stubborn(Net):
        def train(self, mode: bool = True) -> "Stubborn":
            raise AttributeError("no train mode here\nsecond line")

    with pytest.raises(DeryError, match="^mynet can't be cut: no train mode here\\.$"):
        line_graph(Stubborn(), SIZE, "mynet")


def test_tokens_whose_order_left_one_cut_are_not_called_one_block() -> None:
    class NoBlocks(Tokens):
        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).flatten(2).transpose(1, 2)
            assert self.order is not None
            x = torch.stack([x[:, int(i)] for i in self.order], dim=1)
            return self.fc(self.mixers[1](self.mixers[0](x)).mean(1))

    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    with pytest.raises(DeryError, match="positions are in another order"):
        line_graph(NoBlocks(order), SIZE)


@pytest.mark.parametrize("dropout", [F.dropout3d, F.feature_alpha_dropout])
def test_other_functional_dropouts_follow_the_mode(dropout: Callable[..., Tensor]) -> None:
    class WithDropout(Net):
        def between(self, x: Tensor) -> Tensor:
            return dropout(x[:, None], 0.5, self.training)[:, 0]

    model = WithDropout()
    modules = [module.train() for module in line_graph(model, SIZE).modules()]
    torch.manual_seed(1)
    expected = model.train()(_images(8))
    torch.manual_seed(1)
    composed = _images(8)
    for module in modules:
        composed = module(composed)
    assert torch.equal(composed, expected)


def test_a_batch_norm_that_would_not_follow_the_mode_is_refused() -> None:
    class Functional(Net):
        mean: Tensor
        variance: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(8))
            self.register_buffer("variance", torch.ones(8))

        def between(self, x: Tensor) -> Tensor:
            return F.batch_norm(x, self.mean, self.variance, training=self.training)

    with pytest.raises(DeryError, match="^mynet can't be cut: a batch_norm .* train mode.*\\.$"):
        line_graph(Functional(), SIZE, "mynet")
