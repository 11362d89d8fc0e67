"""`Hybrid`: blocks of several networks with seams between them and a new head."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from dery_core.errors import DeryError
from dery_core.files import atomic_path, digest
from dery_core.partition import Block
from dery_core.reassembly.candidates import BlockFacts
from dery_core.reassembly.flow import placed_blocks
from dery_core.reassembly.head import Head
from dery_core.reassembly.seam import Seam
from dery_core.reassembly.stem import Stem
from dery_core.reassembly.style import SeamStyle
from dery_core.reassembly.value import HybridSpec
from dery_core.zoo import LineGraph, Zoo, ZooModel, build_architecture, line_graph, zoo_line_graph

_SPEC_FILE = "hybrid.json"
_WEIGHTS_FILE = "hybrid.safetensors"


class Hybrid(nn.Module):
    """A reassembled network (the paper's section 3.3).

    `stages` are the reused blocks; `seams[k]` stands between stages k and k+1 (an Identity where
    two blocks adjoin in one model); `head` classifies. `stem` is an Identity unless the first block
    begins inside its model. Takes images preprocessed for the first block's model, gives logits
    (B, classes).
    """

    def __init__(
        self,
        stages: Sequence[nn.Sequential],
        seams: Sequence[nn.Module],
        head: nn.Module,
        stem: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.stem = nn.Identity() if stem is None else stem
        self.stages = nn.ModuleList(stages)
        self.seams = nn.ModuleList(seams)
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for module in self.chain():
            x = module(x)
        return x

    def chain(self) -> list[nn.Module]:
        """What an image passes, in order: stem, first block, seam, second block … head."""
        modules: list[nn.Module] = [self.stem]
        for stage, following in zip(self.stages, [*self.seams, self.head], strict=True):
            modules += [stage, following]
        return modules

    def reused_modules(self) -> list[nn.Module]:
        """The blocks taken from the zoo, in order."""
        return list(self.stages)

    def fresh_modules(self) -> list[nn.Module]:
        """What is new, in order: a stem, the seams, the head."""
        return [module for module in (self.stem, *self.seams, self.head) if type(module) is not nn.Identity]

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of what is new: what frozen-tuning trains."""
        for module in self.fresh_modules():
            yield from module.parameters()


def build_seam(k: int, left: BlockFacts, right: BlockFacts, style: SeamStyle, seed: int) -> Seam:
    """The seam after stage k. Its weights depend on its two blocks and `seed`, on nothing else,
    so candidates that share it share its weights too."""
    with _seeded("seam", seed, k, left.block, right.block):
        return Seam(left.output, right.input, style)


def build_head(last: BlockFacts, num_classes: int, style: SeamStyle, seed: int) -> Head:
    """The head behind the last block; its weights depend on that, the classes and `seed`."""
    with _seeded("head", seed, last.block, num_classes):
        return Head(last.output, num_classes, style.head_norm)


def build_hybrid(spec: HybridSpec, zoo: Zoo | None, seed: int = 0) -> Hybrid:
    """The hybrid of `spec` in eval mode, its blocks with the zoo's weights, or random ones without a zoo.

    Blocks are copies: no two share weights. Stem, seams and head are initialised from `seed`.
    DeryError when the zoo has no such model, other weights, or no such block, or when a block doesn't
    run on what a seam that doesn't resize gives it.
    """
    return assemble(spec, source_graphs(spec, zoo), seed)


def assemble(spec: HybridSpec, graphs: Mapping[str, LineGraph], seed: int = 0) -> Hybrid:
    """The hybrid of `spec` in eval mode from the line graphs of its networks by name: `build_hybrid`
    for who has them already."""
    facts = placed_blocks(spec, graphs)
    stages = [_stage(graphs[block.model], block) for block in spec.blocks]
    seams: list[nn.Module] = []
    for k, (left, right) in enumerate(zip(facts, facts[1:], strict=False)):
        if spec.seamless(k):
            seams.append(nn.Identity())
        else:
            seams.append(build_seam(k, left, right, spec.seam_at(k), seed))
    head = build_head(facts[-1], spec.num_classes, spec.seam, seed)
    return Hybrid(stages, seams, head, _build_stem(spec, facts[0], seed)).eval()


def _build_stem(spec: HybridSpec, first: BlockFacts, seed: int) -> Stem | None:
    if not spec.stem:
        return None
    with _seeded("stem", seed, first.block):
        return Stem(first.input, spec.seam)


def save_hybrid(hybrid: Hybrid, spec: HybridSpec, folder: Path) -> None:
    """Write spec and weights into `folder`: all that `load_hybrid` needs."""
    with atomic_path(folder / _WEIGHTS_FILE) as temporary:
        safetensors.torch.save_model(hybrid, str(temporary))
    spec.save(folder / _SPEC_FILE)


def load_hybrid(folder: Path) -> tuple[Hybrid, HybridSpec]:
    """The hybrid that `save_hybrid` wrote, in eval mode, and its spec; the zoo is not needed.

    DeryError when a file is missing, broken, or of another hybrid.
    """
    spec = HybridSpec.load(folder / _SPEC_FILE)
    path = folder / _WEIGHTS_FILE
    if not path.is_file():
        raise DeryError(f"{path} does not exist.")
    hybrid = build_hybrid(spec, zoo=None)
    try:
        safetensors.torch.load_model(hybrid, path)
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DeryError(f"{path} does not hold the weights of {folder / _SPEC_FILE} ({reason}).") from error
    return hybrid, spec


def source_graphs(spec: HybridSpec, zoo: Zoo | None) -> dict[str, LineGraph]:
    """Line graphs of the networks that give blocks, by name; random weights without a zoo.

    DeryError when the zoo holds another network under that name.
    """
    names = [block.model for block in spec.blocks]
    # Building a network draws its random weights, even if others replace them.
    with _seeded("architectures"):
        return {name: _source_graph(spec.model(name), zoo) for name in dict.fromkeys(names)}


def _source_graph(model: ZooModel, zoo: Zoo | None) -> LineGraph:
    if zoo is None:
        return line_graph(build_architecture(model), model.input_size, model.name)
    if _identity(zoo.model(model.name)) != _identity(model):
        raise DeryError(f"the zoo's {model.name} is not the network this hybrid was made from: use that zoo.")
    return zoo_line_graph(zoo, model.name)


def _identity(model: ZooModel) -> tuple[object, ...]:
    return model.architecture, model.model_kwargs, model.weights, model.sha256


def _stage(graph: LineGraph, block: Block) -> nn.Sequential:
    return copy.deepcopy(nn.Sequential(*(node.module for node in graph.nodes[block.start : block.end])))


@contextmanager
def _seeded(*parts: object) -> Iterator[None]:
    """Draw from a generator seeded by `parts`; the global one is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(digest(*parts), 16) >> 1)
        yield
