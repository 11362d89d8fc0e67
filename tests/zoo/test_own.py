"""A zoo of one's own: which one is in use, what is put in, what is taken out."""

import json
from argparse import Namespace
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dery_core.errors import Cancelled, DeryError
from dery_core.files import sha256
from dery_core.progress import Progress
from dery_core.workspace import Workspace
from dery_core.zoo import (
    EMBEDDED_ZOO,
    ZooModel,
    add_checkpoint,
    add_target,
    build_architecture,
    default_zoo,
    embedded_zoo,
    load_zoo,
    own_zoo_path,
    remove,
    template,
    zoo_line_graph,
)
from dery_core.zoo.weights import read_tensors
from dery_core.zoo.zoo_file import add_entry

TINY = replace(
    template("resnet18", "mine"),
    input_size=(3, 32, 32),
    source_task="flowers",
    model_kwargs={"channels": [4, 4, 8, 8], "layers": [1, 1, 1, 1]},
)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Weights of TINY with a classifier for 5 classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build_architecture(TINY, num_classes=5).state_dict()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "zoo" / "zoo.yaml"


@pytest.fixture
def checkpoint(tmp_path: Path, state: dict[str, Tensor]) -> Path:
    torch.save(state, tmp_path / "my.pth")
    return tmp_path / "my.pth"


def test_a_checkpoint_becomes_a_member_that_is_used_like_any_other(
    path: Path, checkpoint: Path, state: dict[str, Tensor]
) -> None:
    added = add_checkpoint(path, TINY, checkpoint)
    checkpoint.unlink()
    zoo = load_zoo(path)
    assert zoo.names == (*embedded_zoo().names, "mine")
    assert zoo.own == ("mine",)
    assert zoo.model("mine") == added
    assert added.model_kwargs["num_classes"] == 5
    weights = zoo.weights_path("mine")
    assert weights is not None
    assert weights.parent == path.parent
    assert added.sha256 == sha256(weights)
    built = zoo.build("mine").state_dict()
    assert all(torch.equal(built[name], tensor) for name, tensor in state.items())
    graph = zoo_line_graph(zoo, "mine")
    assert (added.params, added.macs) == (graph.params, graph.macs)
    zoo.check()  # the embedded members' weights are found where they lie


@pytest.mark.parametrize(
    "nested",
    [
        lambda state: {"state_dict": state, "epoch": 3, "args": Namespace(lr=0.1)},
        lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": []}},
        lambda state: {"model": perturbed(state), "model_ema": state},
        lambda state: {"ema": {"module": state}, "model": perturbed(state)},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"model._orig_mod.{name}": tensor for name, tensor in state.items()}},
        lambda state: {"n_averaged": torch.tensor(4), **{f"module.{k}": v for k, v in state.items()}},
    ],
    ids=["state_dict", "model", "model_ema", "ema.module", "DataParallel", "Lightning, compiled", "averaged"],
)
def test_the_usual_nestings_are_undone(
    checkpoint: Path,
    state: dict[str, Tensor],
    nested: Callable[[dict[str, Tensor]], Mapping[str, Any]],
) -> None:
    torch.save(nested(state), checkpoint)
    read = read_tensors(checkpoint, "it")
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())


def test_tensors_that_share_memory_are_kept_apart(
    path: Path, tmp_path: Path, state: dict[str, Tensor]
) -> None:
    whole = torch.arange(40.0)
    shared = {**state, "fc.weight": whole.view(8, 5).T, "fc.bias": whole[3:8]}
    shared["layer1.0.bn1.bias"] = whole[:4]
    torch.save(shared, tmp_path / "my.pth")
    add_checkpoint(path, TINY, tmp_path / "my.pth")
    built = load_zoo(path).build("mine").state_dict()
    assert all(torch.equal(built[name], tensor) for name, tensor in shared.items())


def test_a_name_taken_meanwhile_is_not_given_twice(path: Path, checkpoint: Path) -> None:
    def meanwhile(progress: Progress) -> None:
        if progress.done == 3:
            add_entry(path, {"timm": "resnet18", "name": "mine"}, extends="embedded")

    with pytest.raises(DeryError, match="has a model 'mine' already"):
        add_checkpoint(path, TINY, checkpoint, meanwhile)
    assert load_zoo(path).own == ("mine",)
    assert not list(path.parent.glob("*.safetensors"))


def perturbed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor + 1 for name, tensor in state.items()}


def test_safetensors_are_known_by_their_content(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(state, tmp_path / "weights.ckpt")
    assert read_tensors(tmp_path / "weights.ckpt", "it").keys() == state.keys()


class Trouble:
    """Pickled, it would run code when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this ran",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (Trouble(), "holds a .*print, which could run code"),
        ({"state_dict": {"a": torch.zeros(2)}, "folder": Path("x")}, "holds a pathlib.PosixPath"),
        ({"epoch": 3}, "holds no weights by name"),
        ([torch.zeros(3)], "holds no weights by name"),
        (b"nothing of the kind", "neither safetensors nor a torch file of weights alone: save"),
        (b"12345678{", "is not a readable safetensors file"),
    ],
)
def test_what_is_no_checkpoint_gets_a_sentence(
    path: Path, checkpoint: Path, content: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if isinstance(content, bytes):
        checkpoint.write_bytes(content)
    else:
        torch.save(content, checkpoint)
    with pytest.raises(DeryError, match=said) as caught:
        add_checkpoint(path, TINY, checkpoint)
    assert str(checkpoint) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "this ran" not in capsys.readouterr().out
    assert not path.exists()


def test_weights_that_do_not_fit_are_named_and_nothing_is_written(
    path: Path, checkpoint: Path, state: dict[str, Tensor]
) -> None:
    with pytest.raises(DeryError, match=r"'layer4.* in the file, but .*\(and \d+ more\)"):
        add_checkpoint(
            path, replace(TINY, model_kwargs={**TINY.model_kwargs, "channels": [4, 4, 8, 16]}), checkpoint
        )
    with pytest.raises(DeryError, match="lacks the tensor 'stem.*probably of another architecture"):
        add_checkpoint(path, template("convnext_atto", "mine"), checkpoint)
    assert not path.exists()
    assert not list(path.parent.glob("*"))


def test_another_number_of_classes_is_told_as_such(path: Path, checkpoint: Path) -> None:
    other = {**TINY.model_kwargs, "num_classes": 7}
    with pytest.raises(DeryError, match=r"head in my\.pth has 5 outputs, not 7: .*--classes 5"):
        add_checkpoint(path, replace(TINY, model_kwargs=other), checkpoint)
    # there the classes are the smaller fault
    narrow = {**other, "channels": [4, 4, 8, 16]}
    with pytest.raises(DeryError, match=r"tensor 'layer"):
        add_checkpoint(path, replace(TINY, model_kwargs=narrow), checkpoint)
    assert not path.exists()


def test_cancelling_writes_nothing(path: Path, checkpoint: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        add_checkpoint(path, TINY, checkpoint, stop)
    assert not list(path.parent.glob("*"))


def test_a_network_that_can_not_be_cut_is_not_added(path: Path, tmp_path: Path) -> None:
    # with a single block there is nothing to cut
    model = replace(template("mixer_compact", "small"), model_kwargs=SINGLE)
    torch.save(build_architecture(model).state_dict(), tmp_path / "small.pth")
    with pytest.raises(DeryError, match="small can't be cut"):
        add_checkpoint(path, model, tmp_path / "small.pth")
    assert not list(path.parent.glob("*"))


SINGLE = {"img_size": 32, "patch_size": 32, "embed_dim": 8, "num_blocks": 0}


def test_names_are_given_once_and_files_are_never_overwritten(path: Path, checkpoint: Path) -> None:
    add_checkpoint(path, TINY, checkpoint)
    for taken in ("mine", "vit.clutter"):
        with pytest.raises(DeryError, match=f"has a model '{taken}' already"):
            add_checkpoint(path, replace(TINY, name=taken), checkpoint)
    remove(path, "mine")
    again = add_checkpoint(path, TINY, checkpoint)
    assert again.weights == "mine-2.safetensors"
    assert (path.parent / "mine.safetensors").exists()


def test_the_embedded_zoo_stays_as_it_is(checkpoint: Path) -> None:
    before = EMBEDDED_ZOO.read_bytes()
    with pytest.raises(DeryError, match="embedded zoo stays as it is"):
        add_checkpoint(EMBEDDED_ZOO, TINY, checkpoint)
    with pytest.raises(DeryError, match="embedded zoo stays as it is"):
        remove(EMBEDDED_ZOO, "vit.clutter")
    assert EMBEDDED_ZOO.read_bytes() == before


def test_only_what_the_file_itself_lists_can_be_removed(path: Path, checkpoint: Path) -> None:
    odd = add_checkpoint(path, replace(TINY, name="../my net"), checkpoint)
    assert (path.parent / odd.weights).is_file()
    with pytest.raises(DeryError, match=r"because that extends .*zoo\.json"):
        remove(path, "vit.clutter")
    with pytest.raises(DeryError, match="has no model 'other'"):
        remove(path, "other")
    remove(path, "../my net")
    assert load_zoo(path).names == embedded_zoo().names
    assert (path.parent / odd.weights).is_file()


THIRD = {"timm": "resnet50.a1_in1k", "name": "third"}


def test_comments_of_a_zoo_file_outlive_changes(tmp_path: Path) -> None:
    path = tmp_path / "zoo.yaml"
    path.write_text(
        "# my networks\nextends: embedded\nmodels:\n"
        "  # the first\n  - timm: resnet18\n    name: first\n\n"
        "  # the second\n  - {timm: resnet34, name: second}  # deeper\n"
    )
    add_entry(path, THIRD)
    assert load_zoo(path).own == ("first", "second", "third")
    remove(path, "first")
    assert load_zoo(path).own == ("second", "third")
    text = path.read_text()
    assert all(comment in text for comment in ("# my networks", "# the second", "# deeper"))


@pytest.mark.parametrize(
    "text",
    [
        "models: [{timm: resnet18, name: first}]",
        "- timm: resnet18\n  name: first",
        "extends: embedded",
        "models:\n- timm: resnet18\n  name: first\nextends: embedded\n",
    ],
    ids=["in one line", "a plain list", "no models yet", "models not last"],
)
def test_a_zoo_file_in_another_style_is_added_to_as_well(tmp_path: Path, text: str) -> None:
    path = tmp_path / "zoo.yaml"
    path.write_text(text)
    before = load_zoo(path).names
    add_entry(path, THIRD)
    assert load_zoo(path).names == (*before, "third")
    remove(path, "third")
    assert load_zoo(path).names == before


def test_a_json_zoo_keeps_its_shape(tmp_path: Path) -> None:
    path = tmp_path / "zoo.json"
    path.write_text(json.dumps([{"timm": "resnet18"}]))
    add_entry(path, THIRD)
    assert isinstance(json.loads(path.read_text()), list)
    assert load_zoo(path).names == ("resnet18.a1_in1k", "third")
    remove(path, "third")
    with pytest.raises(DeryError, match="is the only network"):
        remove(path, "resnet18.a1_in1k")


def test_the_zoo_in_use_is_the_named_one_then_the_workspaces_then_the_embedded(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DERY_ZOO", raising=False)
    workspace = Workspace.open(tmp_path)
    assert own_zoo_path(workspace) == path
    assert default_zoo(workspace).path == EMBEDDED_ZOO
    assert add_target(workspace) == path
    add_entry(path, THIRD, extends="embedded")
    assert default_zoo(workspace).path == path
    other = tmp_path / "other.json"
    other.write_text(json.dumps([{"timm": "resnet18"}]))
    monkeypatch.setenv("DERY_ZOO", str(other))
    assert default_zoo(workspace).path == add_target(workspace) == other
    assert default_zoo(workspace, path).path == path
    assert add_target(workspace, EMBEDDED_ZOO) == path


def test_a_model_needs_a_name(path: Path, checkpoint: Path) -> None:
    with pytest.raises(DeryError, match="is no name"):
        add_checkpoint(path, ZooModel.from_dict({**TINY.to_dict(), "name": " "}), checkpoint)


def test_changes_at_once_all_stay(path: Path) -> None:
    entries = [{"timm": "resnet18", "name": f"net {count}"} for count in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda entry: add_entry(path, entry, "embedded"), entries))
    assert set(load_zoo(path).own) == {entry["name"] for entry in entries}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda entry: remove(path, entry["name"]), entries[:4]))
    assert set(load_zoo(path).own) == {entry["name"] for entry in entries[4:]}


def test_of_two_that_take_one_name_the_winners_weights_stay(path: Path, checkpoint: Path) -> None:
    def attempt(_: int) -> bool:
        try:
            add_checkpoint(path, TINY, checkpoint)
        except DeryError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, range(2))) == [False, True]
    load_zoo(path).build("mine")
    assert len(list(path.parent.glob("*.safetensors"))) == 1


def test_a_long_name_gets_a_short_file(path: Path, checkpoint: Path) -> None:
    add_checkpoint(path, replace(TINY, name="網" * 100), checkpoint)
    load_zoo(path).build("網" * 100)


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.zeros(5, 8).to_sparse(), "'fc.weight' is sparse"),
        (torch.zeros(5, 8, device="meta"), "'fc.weight' is on the meta device"),
        (torch.quantize_per_tensor(torch.zeros(5, 8), 0.1, 0, torch.qint8), "'fc.weight' is quantized"),
        (torch.zeros(5, 8, dtype=torch.complex64), "'fc.weight' is complex"),
        (torch.tensor(1.0), r"'fc.weight' is \(\) in the file"),
        (torch.full((5, 8), torch.nan), "'fc.weight' holds NaN"),
    ],
)
def test_tensors_that_are_no_weights_are_named(
    path: Path, checkpoint: Path, state: dict[str, Tensor], tensor: Tensor, said: str
) -> None:
    torch.save({**state, "fc.weight": tensor}, checkpoint)
    with pytest.raises(DeryError, match=said):
        add_checkpoint(path, TINY, checkpoint)
    assert not path.exists()


def test_a_missing_file_is_told_before_any_progress(path: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []
    with pytest.raises(DeryError, match="gone.pth does not exist"):
        add_checkpoint(path, TINY, tmp_path / "gone.pth", reports.append)
    assert not reports
    assert not path.parent.exists()


def test_a_tag_is_no_architecture_and_a_folder_no_weight_file(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DeryError, match="names weights, not an architecture"):
        template("resnet18.nonsense")
    with pytest.raises(DeryError, match="are a folder"):
        add_checkpoint(path, TINY, tmp_path)


@pytest.mark.parametrize(
    "told", [{"input_size": (3, 32, 32)}, {"model_kwargs": {"img_size": 32}}], ids=["size", "setting"]
)
def test_a_transformer_trained_at_another_size_needs_that_size_said_once(
    path: Path, tmp_path: Path, told: Mapping[str, Any]
) -> None:
    small = {"depth": 4, "embed_dim": 48, "num_heads": 3}
    model = template("vit_tiny_patch16_224", "small")
    at_32 = replace(model, model_kwargs={**small, "img_size": 32})
    torch.save(build_architecture(at_32, num_classes=5).state_dict(), tmp_path / "vit.pth")
    told = {**told, "model_kwargs": {**small, **told.get("model_kwargs", {})}}
    added = add_checkpoint(path, replace(model, **told), tmp_path / "vit.pth")
    assert added.input_size == (3, 32, 32)
    assert len(zoo_line_graph(load_zoo(path), "small").nodes) >= 4
