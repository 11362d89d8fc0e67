"""Training the embedded zoo, on members small enough for a test."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dery_core.errors import Cancelled, DeryError
from dery_core.files import sha256
from dery_core.progress import Progress
from dery_core.zoo import catalogue, training
from dery_core.zoo.catalogue import Member

KWARGS = {"channels": [4, 4, 8, 8], "layers": [1, 1, 1, 1]}
MEMBERS = tuple(
    Member(f"tiny{seed}.clutter", "resnet18", "digits-clutter", epochs=1, seed=seed, model_kwargs=KWARGS)
    for seed in (1, 2)
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tiny members, a tiny task, and training in this process: a pool would not see the patches."""
    tasks = {n: replace(t, train_count=64, test_count=50) for n, t in training.EMBEDDED.items()}
    monkeypatch.setattr(training, "CATALOGUE", MEMBERS)
    monkeypatch.setattr(training, "EMBEDDED", tasks)

    def here(todo: list[Member], folder: Path, workers: int, report: object) -> object:
        monkeypatch.setattr(training, "_epochs", type("Counter", (), {"put": lambda self, n: None})())
        return (training._train_and_write((member, folder)) for member in todo)

    monkeypatch.setattr(training, "_train_all", here)


@pytest.mark.usefixtures("small")
def test_zoo_is_written_with_provenance_and_measured_accuracy(tmp_path: Path) -> None:
    zoo = training.train_embedded_zoo(tmp_path)
    zoo.check()
    assert zoo.names == ("tiny1.clutter", "tiny2.clutter")
    model = zoo.model("tiny1.clutter")
    assert model.provenance["command"] == "dery zoo train --only tiny1.clutter"
    assert model.provenance["settings"]["seed"] == 1
    test = training.load_task(model.source_task).test
    assert model.top1 == training.top1(zoo.build(model.name), test, model)
    assert model.params == sum(p.numel() for p in zoo.build(model.name).parameters())


@pytest.mark.usefixtures("small")
def test_finished_members_are_kept_unless_damaged_or_forced(tmp_path: Path) -> None:
    zoo = training.train_embedded_zoo(tmp_path)
    paths = [tmp_path / model.weights for model in zoo.models]
    hashes, times = [sha256(path) for path in paths], [path.stat().st_mtime_ns for path in paths]
    paths[0].write_bytes(b"damaged")
    training.train_embedded_zoo(tmp_path)
    # The same seed trains the same weights again; the sound file is not touched.
    assert [sha256(path) for path in paths] == hashes
    assert paths[1].stat().st_mtime_ns == times[1]
    training.train_embedded_zoo(tmp_path, only=["tiny2.clutter"], force=True)
    assert paths[1].stat().st_mtime_ns > times[1]
    assert sha256(paths[1]) == hashes[1]


@pytest.mark.usefixtures("small")
def test_only_keeps_the_other_members_listed(tmp_path: Path) -> None:
    training.train_embedded_zoo(tmp_path, only=["tiny2.clutter"])
    zoo = training.train_embedded_zoo(tmp_path, only=["tiny1.clutter"])
    assert zoo.names == ("tiny1.clutter", "tiny2.clutter")
    listed = json.loads((tmp_path / "zoo.json").read_text())["models"]
    assert [entry["name"] for entry in listed] == list(zoo.names)


def test_training_leaves_global_randomness_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    task = training.EMBEDDED["digits-clutter"]
    monkeypatch.setitem(training.EMBEDDED, "digits-clutter", replace(task, train_count=32))
    before = torch.get_rng_state()
    ticks: list[int] = []
    training.train_member(MEMBERS[0], lambda: ticks.append(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert ticks == [1]


def test_worker_process_trains_the_same_weights_as_this_one(tmp_path: Path) -> None:
    member = replace(MEMBERS[0], task="digits-mirror")
    reports: list[Progress] = []
    (record,) = training._train_all([member], tmp_path, 1, reports.append)
    assert (reports[-1].done, reports[-1].total) == (1, 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    module, _ = training.train_member(member)
    torch.set_num_threads(threads)
    stored = load_file(tmp_path / record.weights)
    for name, tensor in module.state_dict().items():
        assert torch.equal(stored[name], training._halved(tensor)), name


def test_cancelling_stops_the_worker_processes(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        training.train_embedded_zoo(tmp_path, only=["resnet_s.clutter"], report=stop)
    assert list(tmp_path.iterdir()) == []


def test_unknown_member_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeryError, match=r"no 'resnet\.x': choose from resnet_s"):
        training.train_embedded_zoo(tmp_path, only=["resnet.x"])


def test_no_workers_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeryError, match="0 workers"):
        training.train_embedded_zoo(tmp_path, workers=0)


def test_catalogue_names_and_seeds_are_unique() -> None:
    members = catalogue.CATALOGUE
    assert len({m.name for m in members}) == len(members)
    assert len({m.seed for m in members}) == len(members)
