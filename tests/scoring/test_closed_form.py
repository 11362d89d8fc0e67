import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dery_core.data import Probe, preprocess, probe_batch
from dery_core.errors import DeryError
from dery_core.modules import received
from dery_core.partition import Block
from dery_core.reassembly import Candidates, build_hybrid, fit_closed_form
from dery_core.reassembly.candidates import block_facts
from dery_core.reassembly.least_squares import NotFinite
from dery_core.scoring import closed_form
from dery_core.scoring.closed_form import BATCH_SIZE, ClosedFormCarrier
from dery_core.scoring.transfer import h_score, leep, log_me, nce
from dery_core.scoring.trie import Trie, Values, alone
from dery_core.zoo import Zoo, zoo_line_graph

CHOICES = [(0, 0, 0), (0, 0, 1), (0, 1, 2), (0, 2, 2), (1, 0, 1), (1, 0, 2), (1, 1, 1), (2, 1, 0), (2, 2, 1)]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """Coarse noise of 5 classes whose brightness leans to the class."""
    random = np.random.default_rng(0)
    labels = np.arange(150) % 5
    coarse = random.integers(0, 200, (150, 4, 4, 3)) + 10 * labels[:, None, None, None]
    path: Path = tmp_path_factory.mktemp("task") / "bright.npz"
    np.savez(path, x=coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8), y=labels)
    return Probe(f"npz:{path}", 100)


@pytest.fixture(scope="module")
def carrier(zoo: Zoo, priced: Candidates, task: Probe) -> ClosedFormCarrier:
    return ClosedFormCarrier(zoo, priced, task)


def naive(zoo: Zoo, priced: Candidates, task: Probe, choice: Sequence[int]) -> Values:
    """The hybrid built, fitted by `fit_closed_form`, and run once more."""
    images = probe_batch(task)
    spec = priced.spec(zoo, choice)
    hybrid = build_hybrid(spec, zoo)
    closed = fit_closed_form(hybrid, spec, zoo, images.images, images.labels, batch_size=BATCH_SIZE)
    last: list[Tensor] = []
    given: list[Tensor] = []
    classifier = hybrid.head.get_submodule("classifier")
    with torch.no_grad():
        for batch in images.images.split(BATCH_SIZE):
            x = preprocess(batch, spec.source)
            last.append(received(hybrid, hybrid.head, x))
            given.append(received(hybrid, classifier, x))
        logits = zoo_line_graph(zoo, spec.blocks[-1].model).head.module(torch.cat(last)).double().numpy()
    features, labels = torch.cat(given).double().numpy(), images.labels.numpy()
    return {
        "logme": log_me(features, labels),
        "leep": leep(logits, labels),
        "nce": nce(logits, labels),
        "h-score": h_score(features, labels),
        "ridge-probe": closed.head_top1,
    }


@pytest.mark.parametrize("choice", CHOICES)
def test_scores_are_those_of_the_hybrid_built_and_fitted(
    zoo: Zoo, priced: Candidates, task: Probe, carrier: ClosedFormCarrier, choice: tuple[int, ...]
) -> None:
    """The others to rounding only: here the images come in another order."""
    found, expected = alone(carrier, choice), naive(zoo, priced, task, choice)
    assert found["ridge-probe"] == expected["ridge-probe"]
    assert found == pytest.approx(expected, rel=1e-4)


def test_sharing_first_stages_changes_no_bit(
    zoo: Zoo, priced: Candidates, task: Probe, carrier: ClosedFormCarrier
) -> None:
    trie = Trie(ClosedFormCarrier(zoo, priced, task))
    shared = [trie.measure(choice) for choice in CHOICES]
    assert shared == [alone(carrier, choice) for choice in CHOICES]
    assert len({values["ridge-probe"] for values in shared}) > 3


@pytest.mark.parametrize("limit", ["KEPT_BYTES", "OWN_BYTES"])
def test_what_there_is_no_room_to_keep_is_computed_again_to_the_same_bit(
    zoo: Zoo,
    priced: Candidates,
    task: Probe,
    carrier: ClosedFormCarrier,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
) -> None:
    monkeypatch.setattr(closed_form, limit, 0)
    trie = Trie(ClosedFormCarrier(zoo, priced, task))
    for choice in CHOICES[:4]:
        assert trie.measure(choice) == alone(carrier, choice)


def test_fitted_seams_tell_classes_apart_that_noise_does_not(
    zoo: Zoo, priced: Candidates, task: Probe, probe: Probe, carrier: ClosedFormCarrier
) -> None:
    noise = ClosedFormCarrier(zoo, priced, probe)
    for choice in CHOICES:
        found, chance = alone(carrier, choice), alone(noise, choice)
        assert all(found[name] > chance[name] for name in ("ridge-probe", "logme"))  # type: ignore[operator]


def test_leaving_an_image_out_makes_the_probe_honest_on_noise(
    zoo: Zoo, priced: Candidates, probe: Probe
) -> None:
    """Four classes of noise: were it right on what it was fitted to, it would be above three quarters."""
    carrier = ClosedFormCarrier(zoo, priced, probe)
    accuracies = [alone(carrier, choice)["ridge-probe"] or 0.0 for choice in CHOICES]
    assert max(accuracies) < 50


def test_the_networks_are_left_as_they_were(
    zoo: Zoo, priced: Candidates, task: Probe, carrier: ClosedFormCarrier
) -> None:
    graph = zoo_line_graph(zoo, "map")
    whole = nn.ModuleList(graph.modules())
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    alone(carrier, (0, 1, 0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.state_dict().items())


def _without_classifier(zoo: Zoo) -> Zoo:
    model = dataclasses.replace(zoo.models[1], model_kwargs={**zoo.models[1].model_kwargs, "num_classes": 0})
    return dataclasses.replace(zoo, models=(zoo.models[0], model, zoo.models[2]))


def _ending_early(zoo: Zoo, priced: Candidates) -> Candidates:
    *stages, last = priced.blocks[1]
    block = Block(last.block.model, last.block.first_node, last.block.last_node - 1)
    shorter = block_facts(zoo_line_graph(zoo, block.model), block)
    return dataclasses.replace(priced, blocks=(priced.blocks[0], (*stages, shorter), priced.blocks[2]))


@pytest.mark.parametrize("without", ["classifier", "end"])
def test_without_a_source_classifier_behind_the_last_block_there_is_no_leep_and_no_nce(
    zoo: Zoo, priced: Candidates, task: Probe, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if without == "end":
        priced = _ending_early(zoo, priced)
    carrier = ClosedFormCarrier(zoo, priced, task)
    if without == "classifier":
        other = _without_classifier(zoo).models[1]
        monkeypatch.setattr(carrier._parts, "model", lambda i: other if i == 1 else zoo.models[i])
    values = alone(carrier, (0, 2, 1))
    assert values["leep"] is None
    assert values["nce"] is None
    assert values["logme"] is not None
    assert alone(carrier, (0, 1, 2))["leep"] is not None


def _refuse(*_: object) -> None:
    raise NotFinite("infinite")


@pytest.mark.parametrize("place", ["fit_seam", "fit_ridge_head"])
def test_a_hybrid_that_gives_no_numbers_has_no_scores_and_stops_nothing(
    carrier: ClosedFormCarrier, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(closed_form, place, _refuse)
    values = alone(carrier, (0, 1, 2))
    assert set(values) == set(closed_form.NAMES)
    assert set(values.values()) == {None}


def test_many_classes_get_more_images_than_asked_for(zoo: Zoo, priced: Candidates, task: Probe) -> None:
    few = ClosedFormCarrier(zoo, priced, dataclasses.replace(task, count=8))
    forty = ClosedFormCarrier(zoo, priced, dataclasses.replace(task, count=40))
    assert alone(few, (0, 1, 2)) == alone(forty, (0, 1, 2))


def test_labels_of_other_classes_than_the_heads_are_refused(
    zoo: Zoo, priced: Candidates, task: Probe
) -> None:
    with pytest.raises(DeryError, match="labels go from 0 to 4"):
        ClosedFormCarrier(zoo, dataclasses.replace(priced, num_classes=3), task)
