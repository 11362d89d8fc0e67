"""`Subject`: the network a run trains, and which of its modules are frozen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dery_core.data import load_task
from dery_core.errors import DeryError
from dery_core.reassembly import Hybrid, build_hybrid
from dery_core.training.seeds import epoch_seed, seeded
from dery_core.training.spec import Protocol, RunSpec
from dery_core.zoo import ZooModel, load_zoo


@dataclass(frozen=True, eq=False)
class Subject:
    """The network a run trains, from images (B, 3, H, W) to logits (B, classes).

    `source` is the zoo model whose preprocessing applies. `prefix`, then `tail`, is the whole
    `module`: under the frozen protocol the prefix holds nothing that is trained, so what it gives
    for an image is constant. `fresh` are the newly made modules: a hybrid's stem, stitching layers
    and head, a member's classifier.
    """

    module: nn.Module
    source: ZooModel
    prefix: nn.Module
    tail: nn.Module
    fresh: nn.ModuleList
    protocol: Protocol

    def train(self) -> None:
        """Set what is trained to training mode and the rest to evaluation mode, where batch
        normalisation keeps its statistics and drop-path does nothing."""
        self.module.train(self.protocol == "full")
        self.fresh.train()

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers that training changes: the fresh modules' under the frozen
        protocol, all under the full one."""
        return (self.module if self.protocol == "full" else self.fresh).state_dict()

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        (self.module if self.protocol == "full" else self.fresh).load_state_dict(tensors)

    @property
    def params(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def trainable_params(self) -> int:
        return sum(p.numel() for p in self.module.parameters() if p.requires_grad)


def build_subject(spec: RunSpec, num_classes: int | None = None) -> Subject:
    """The network of `spec`, with its source weights and fresh modules drawn from its seed.

    `num_classes` is looked up in the task when not given. Raises DeryError when the zoo or its
    weights don't fit the specification, or the hybrid's head doesn't fit the task.
    """
    if num_classes is None:
        num_classes = len(load_task(spec.task).classes)
    make = _member_subject if spec.hybrid is None else _hybrid_subject
    # Networks draw initial weights from the global generator before theirs are loaded.
    with seeded(spec.seed):
        return make(spec, num_classes)


def _hybrid_subject(spec: RunSpec, num_classes: int) -> Subject:
    assert spec.hybrid is not None
    if spec.hybrid.num_classes != num_classes:
        raise DeryError(
            f"The hybrid's head has {spec.hybrid.num_classes} classes but the task {spec.task} has "
            f"{num_classes}: reassemble it for this task."
        )
    hybrid: Hybrid = build_hybrid(spec.hybrid, load_zoo(spec.zoo), spec.seed)
    chain = [module for module in hybrid.chain() if type(module) is not nn.Identity]
    return _subject(spec, hybrid, spec.hybrid.source, chain, hybrid.fresh_modules())


def _member_subject(spec: RunSpec, num_classes: int) -> Subject:
    assert spec.member is not None
    zoo = load_zoo(spec.zoo)
    if zoo.model(spec.member.name).sha256 != spec.member.sha256:
        raise DeryError(
            f"The weights of {spec.member.name} in {spec.zoo} are not the ones this run was made with."
        )
    model: Any = zoo.build(spec.member.name)  # timm's methods are unknown to nn.Module
    with seeded(epoch_seed(spec.seed, 0)):
        model.reset_classifier(num_classes)
    classifier = model.get_classifier()
    if isinstance(classifier, nn.Module) and not isinstance(classifier, nn.ModuleList):
        return _subject(spec, model, spec.member, [_Features(model), classifier], [classifier])
    # Distilled transformers and some others average several classifiers: no chain, so nothing to keep.
    return _subject(spec, model, spec.member, [model], list(classifier))


class _Features(nn.Module):
    """A timm model without its classifier. It holds the model in a tuple: a registered submodule
    would put the classifier's parameters among the prefix's."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model: tuple[Any] = (model,)

    def forward(self, images: Tensor) -> Tensor:
        (model,) = self._model
        return model.forward_head(model.forward_features(images), pre_logits=True)


def _subject(
    spec: RunSpec,
    module: nn.Module,
    source: ZooModel,
    chain: Sequence[nn.Module],
    fresh: Sequence[nn.Module],
) -> Subject:
    module.eval()
    first = next((i for i, link in enumerate(chain) if any(link is new for new in fresh)), 0)
    if spec.protocol == "full" or not _composes(module, chain, source):
        prefix, tail = nn.Sequential(), module
    else:
        prefix, tail = nn.Sequential(*chain[:first]), nn.Sequential(*chain[first:])
    module.requires_grad_(spec.protocol == "full")
    modules = nn.ModuleList(fresh)
    modules.requires_grad_(True)
    return Subject(module, source, prefix, tail, modules, spec.protocol)


def _composes(module: nn.Module, chain: Sequence[nn.Module], source: ZooModel) -> bool:
    """Whether the chain gives what the module gives, bit for bit."""
    images = torch.randn((2, *source.input_size), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = module(images)
        try:
            return torch.equal(nn.Sequential(*chain)(images), whole)
        except Exception:  # a classifier that takes something else than a vector an image, such as a map
            return False
