from dataclasses import replace
from typing import Any

import pytest
import torch

from dery_core.errors import DeryError
from dery_core.training import RunSpec, build_subject

TINY_VIT = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2}
IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def classifier(spec: RunSpec) -> Any:
    module: Any = build_subject(spec).module
    return module.get_classifier()


@pytest.mark.parametrize("protocol", ["frozen", "full"])
@pytest.mark.parametrize("name", ["toy_resnet", "toy_vit"])
def test_prefix_and_tail_of_a_member_are_the_member(specs: Any, name: str, protocol: Any) -> None:
    subject: Any = build_subject(specs.member(name, protocol))
    with torch.no_grad():
        assert torch.equal(subject.tail(subject.prefix(IMAGES)), subject.module(IMAGES))
    assert subject.module(IMAGES).shape == (5, 3)
    assert subject.source == specs.zoo.model(name)


@pytest.mark.parametrize("protocol", ["frozen", "full"])
def test_prefix_and_tail_of_a_hybrid_are_the_hybrid(specs: Any, protocol: Any) -> None:
    subject: Any = build_subject(specs.hybrid(protocol))
    with torch.no_grad():
        assert torch.equal(subject.tail(subject.prefix(IMAGES)), subject.module(IMAGES))
    assert subject.source.name == "toy_resnet"


def test_a_frozen_member_trains_its_classifier_alone(specs: Any) -> None:
    subject: Any = build_subject(specs.member("toy_vit"))
    trained = {name for name, p in subject.module.named_parameters() if p.requires_grad}
    assert trained == {"head.weight", "head.bias"}
    assert subject.trainable_params == 16 * 3 + 3


def test_a_frozen_hybrid_trains_its_seams_and_head_alone(specs: Any) -> None:
    subject: Any = build_subject(specs.hybrid())
    trained = [p for p in subject.module.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in subject.module.new_parameters()}
    assert not any(p.requires_grad for m in subject.module.reused_modules() for p in m.parameters())
    # The first block comes before all that is trained, so it is computed once.
    assert list(subject.prefix) == [subject.module.stages[0]]


def test_reused_blocks_stay_in_evaluation_mode_under_the_frozen_protocol(specs: Any) -> None:
    subject: Any = build_subject(specs.hybrid())
    subject.train()
    assert not any(part.training for block in subject.module.reused_modules() for part in block.modules())
    assert all(part.training for seam in subject.module.seams for part in seam.modules())
    assert subject.module.head.training


def test_everything_trains_under_the_full_protocol(specs: Any) -> None:
    subject: Any = build_subject(specs.hybrid("full"))
    subject.train()
    assert all(parameter.requires_grad for parameter in subject.module.parameters())
    assert all(part.training for part in subject.module.modules())


def test_new_weights_depend_on_the_seed_alone(specs: Any) -> None:
    spec = specs.member("toy_resnet")
    torch.manual_seed(123)
    first = classifier(spec).weight
    torch.manual_seed(321)
    state = torch.random.get_rng_state()
    assert torch.equal(classifier(spec).weight, first)
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator must be left alone"
    assert not torch.equal(classifier(replace(spec, seed=1)).weight, first)


def test_a_hybrid_for_another_number_of_classes_is_refused(specs: Any) -> None:
    with pytest.raises(DeryError, match="head has 7 classes but the task .* has 3"):
        build_subject(specs.hybrid(classes=7))


def test_a_member_with_other_weights_than_the_zoo_is_refused(specs: Any) -> None:
    spec = specs.member("toy_vit")
    assert spec.member is not None
    with pytest.raises(DeryError, match="are not the ones this run was made with"):
        build_subject(replace(spec, member=replace(spec.member, sha256="0" * 64)))


def test_drop_path_and_dropout_act_in_reused_blocks_under_the_full_protocol_only(specs: Any) -> None:
    def stage(protocol: Any) -> torch.nn.Module:
        subject: Any = build_subject(specs.hybrid(protocol))
        subject.train()
        return subject.module.stages[1]

    tokens = torch.randn(4, 17, 16, generator=torch.Generator().manual_seed(0))
    frozen, full = stage("frozen"), stage("full")
    assert torch.equal(frozen(tokens), frozen(tokens))
    assert not torch.equal(full(tokens), full(tokens))


def test_a_network_with_two_classifiers_is_trained_without_a_prefix(small_member: Any) -> None:
    """Distilled transformers average a classifier on the class token and one on the distillation token."""
    spec = small_member("deit_tiny_distilled_patch16_224", 16, TINY_VIT)
    subject: Any = build_subject(spec)
    assert len(list(subject.prefix.children())) == 0
    trained = {name for name, p in subject.module.named_parameters() if p.requires_grad}
    assert trained == {"head.weight", "head.bias", "head_dist.weight", "head_dist.bias"}
    with torch.no_grad():
        assert torch.equal(subject.tail(IMAGES), subject.module(IMAGES))


@pytest.mark.parametrize(
    ("architecture", "size", "settings"),
    [
        (
            "crossvit_tiny_240",
            120,
            {"img_size": 120, "embed_dim": (16, 32), "depth": ((1, 1, 0),), "num_heads": (2, 2)},
        ),
        ("efficientvim_m1", 64, {"embed_dim": (16, 16, 16), "depths": (1, 1, 1), "state_dim": (4, 4, 4)}),
        (
            "dpn48b",
            32,
            {"num_init_features": 8, "k_r": 8, "groups": 2, "k_sec": (1, 1, 1, 1), "inc_sec": (8, 8, 8, 8)},
        ),
    ],
)
def test_classifiers_that_are_no_link_of_a_chain_are_trained_all_the_same(
    small_member: Any, architecture: str, size: int, settings: dict[str, Any]
) -> None:
    """A list of them, or a convolution of a map."""
    subject: Any = build_subject(small_member(architecture, size, settings))
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(subject.tail(subject.prefix(images)), subject.module(images))
    trained = [p for p in subject.module.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for part in subject.fresh for p in part.parameters()}
    assert all(3 in p.shape for p in trained)
