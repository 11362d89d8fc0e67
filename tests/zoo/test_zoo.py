"""Zoo files: what is read, what is built, and one sentence for each fault."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dery_core.errors import DeryError
from dery_core.files import sha256
from dery_core.zoo import (
    EMBEDDED_ZOO,
    Zoo,
    ZooModel,
    build_architecture,
    embedded_zoo,
    family,
    load_zoo,
    member_cost,
)

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
TINY: dict[str, Any] = {
    "name": "tiny",
    "architecture": "resnet18",
    "weights": "tiny.safetensors",
    "source_task": "digits-clutter",
    "input_size": [3, 32, 32],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "model_kwargs": {"channels": [4, 4, 8, 8], "layers": [1, 1, 1, 1], "num_classes": 3},
}


def write_zoo(folder: Path, *models: dict[str, Any], **extra: Any) -> Path:
    path = folder / "zoo.json"
    path.write_text(json.dumps({"schema_version": 1, "models": models, **extra}))
    return path


def write_weights(folder: Path, seed: int = 0) -> tuple[Path, dict[str, torch.Tensor]]:
    """Random weights of TINY, in half precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = build_architecture(ZooModel.from_dict(TINY)).state_dict()
    halved = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_file(halved, folder / "tiny.safetensors")
    return folder / "tiny.safetensors", halved


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    path, _ = write_weights(tmp_path)
    return load_zoo(write_zoo(tmp_path, {**TINY, "sha256": sha256(path)}))


def test_build_loads_half_precision_into_float32_eval(zoo: Zoo) -> None:
    module = zoo.build("tiny")
    stored = load_file(zoo.path.parent / "tiny.safetensors")
    assert not module.training
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            assert tensor.dtype == torch.float32
        assert torch.equal(tensor, stored[name].to(tensor.dtype))


def test_plain_list_is_read_and_extra_keys_go_to_provenance(tmp_path: Path) -> None:
    path = tmp_path / "zoo.json"
    path.write_text(json.dumps([{**TINY, "licence": "MIT", "provenance": {"seed": 3}}]))
    assert load_zoo(path).model("tiny").provenance == {"seed": 3, "licence": "MIT"}


def test_subset_keeps_the_order_asked_for(tmp_path: Path) -> None:
    models = [{**TINY, "name": name} for name in ("a", "b", "c")]
    assert load_zoo(write_zoo(tmp_path, *models)).subset(["c", "a"]).names == ("c", "a")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not valid JSON"),
        ("3", "list of models"),
        ('{"schema_version": 1}', "list of models"),
        ('{"schema_version": 9, "models": []}', "version 1"),
        ("[]", "no models"),
        ("[7]", "model 0 is not an object"),
        ('[{"name": "x"}]', "'architecture' of a ZooModel is missing"),
        (json.dumps([{**TINY, "input_size": [3, 32]}]), "input_size"),
        (json.dumps([{**TINY, "input_size": [3, -1, 32]}]), "'input_size' is .3, -1, 32."),
        (json.dumps([{**TINY, "input_size": [1, 32, 32]}]), "it must be .3, height, width."),
        (json.dumps([{**TINY, "std": [0.5, 0, 0.5]}]), "'std' is .0.5, 0.0, 0.5."),
        (json.dumps([{**TINY, "provenance": 5, "licence": "MIT"}]), "provenance"),
        (json.dumps([TINY, TINY]), "two models are named 'tiny'"),
    ],
)
def test_zoo_file_that_does_not_fit_gets_a_sentence(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "zoo.json"
    path.write_text(content)
    with pytest.raises(DeryError, match=said) as caught:
        load_zoo(path)
    assert str(path) in str(caught.value)


MINE = """
- name: mine
  architecture: resnet18
  model_kwargs: {channels: [4, 4, 8, 8], layers: [1, 1, 1, 1], drop_rate: 1e-1}
  weights: tiny.safetensors
  classes: 3
  input_size: [3, 32, 32]
  mean: [0.5, 0.5, 0.5]
  std: [0.5, 0.5, 0.5]
  source_task: flowers
  taken: 2026-11-21
"""


def write_yaml(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_yaml_is_read_as_json_is(tmp_path: Path) -> None:
    write_weights(tmp_path)
    zoo = load_zoo(write_yaml(tmp_path / "zoo.yml", MINE))
    model = zoo.model("mine")
    assert model.model_kwargs["num_classes"] == 3
    assert model.model_kwargs["drop_rate"] == 0.1
    assert model.provenance == {"taken": "2026-11-21"}
    assert zoo.build("mine")(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_a_torch_checkpoint_is_taken_as_it_is(tmp_path: Path) -> None:
    _, state = write_weights(tmp_path)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "tiny.pth")
    zoo = load_zoo(write_yaml(tmp_path / "zoo.yaml", MINE.replace("tiny.safetensors", "tiny.pth")))
    assert torch.equal(zoo.build("mine").state_dict()["fc.weight"], state["fc.weight"].float())


def test_a_zoo_extends_others_and_every_member_keeps_its_folder(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        write_weights(tmp_path / folder, seed=len(folder))
    write_yaml(tmp_path / "first" / "zoo.yaml", "extends: embedded\nmodels:" + MINE)
    second = MINE.replace("name: mine", "name: other")
    zoo = load_zoo(
        write_yaml(tmp_path / "second" / "zoo.yaml", "extends: ../first/zoo.yaml\nmodels:" + second)
    )
    assert zoo.names == (*embedded_zoo().names, "mine", "other")
    assert zoo.own == ("other",)
    assert [file.resolve() for file in zoo.files] == [
        tmp_path / "second" / "zoo.yaml",
        tmp_path / "first" / "zoo.yaml",
        EMBEDDED_ZOO,
    ]
    zoo.check()
    first, other = (zoo.build(name).state_dict()["fc.weight"] for name in ("mine", "other"))
    assert not torch.equal(first, other)
    assert zoo.weights_key("vit.clutter") == embedded_zoo().weights_key("vit.clutter")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: [", r"not valid YAML \(line 2"),
        ("a: 1\nb: ]", r"not valid YAML \(line 2"),
        ("models: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("models: !!int []", "not valid YAML|can't be read"),
        ("? [a, b]\n: 1", "found unhashable key"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nmodels: [*b, *b]", r"line 2 holds an alias \(\*a\)"),
        ("[" * 5000, "nested deeper than 32"),
        ("models: 3", "list of models"),
        ("just words", "list of models"),
        ("extends: 3", "field 'extends'"),
        ("extends: nowhere.yaml", "nowhere.yaml does not exist"),
        ("extends: zoo.yaml", "the zoo extends itself"),
        ("extends: embedded\nmodels:" + MINE.replace("mine", "vit.clutter"), "as one of .*zoo.json"),
        ("- timm: 3", "model 0: field 'timm' must name"),
        ("- timm: resnet18.nope", r"model 0 \('resnet18.nope'\): field 'timm': .*no weights"),
        ("- {timm: resnet18, weights: x}", "field 'weights' is what 'timm' says"),
        ("- {timm: resnet18, mean: [1, 2]}", r"\('resnet18'\): field 'mean' is \[1, 2\]"),
        (MINE.replace("classes: 3", "classes: many"), "field 'classes' is 'many'"),
        (MINE.replace("drop_rate: 1e-1", "num_classes: 4"), "field 'classes' is 3, but model_kwargs"),
    ],
)
def test_yaml_that_does_not_fit_gets_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = write_yaml(tmp_path / "zoo.yaml", text)
    with pytest.raises(DeryError, match=said) as caught:
        load_zoo(path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["zoo.yaml", "zoo.json"])
def test_what_is_too_large_or_no_file_is_not_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(" " * 3_000_000)
    with pytest.raises(DeryError, match="has more than 2 MB"):
        load_zoo(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DeryError, match="is not a file"):
        load_zoo(path)


def test_weights_of_an_extended_zoo_may_not_leave_its_folder(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    write_weights(tmp_path)
    write_yaml(tmp_path / "base" / "zoo.yaml", MINE.replace("tiny.saf", "../tiny.saf"))
    zoo = load_zoo(write_yaml(tmp_path / "zoo.yaml", "extends: base/zoo.yaml"))
    with pytest.raises(DeryError, match="outside the zoo's folder"):
        zoo.build("mine")


def test_zoo_file_that_is_missing_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeryError, match="does not exist"):
        load_zoo(tmp_path / "zoo.json")


def test_unknown_member_names_close_matches(tmp_path: Path) -> None:
    models = [{**TINY, "name": name} for name in ("resnet.clutter", "vit.clutter")]
    zoo = load_zoo(write_zoo(tmp_path, *models))
    with pytest.raises(DeryError, match=r"did you mean 'resnet\.clutter'"):
        zoo.model("resnt.clutter")


def test_missing_weight_file_gets_a_sentence(zoo: Zoo) -> None:
    (zoo.path.parent / "tiny.safetensors").unlink()
    for use in (zoo.check, lambda: zoo.build("tiny")):
        with pytest.raises(DeryError, match=r"tiny\.safetensors of 'tiny' is missing"):
            use()


def test_changed_weight_file_gets_a_sentence(zoo: Zoo) -> None:
    zoo.check()
    write_weights(zoo.path.parent, seed=1)
    for use in (zoo.check, lambda: zoo.build("tiny")):
        with pytest.raises(DeryError, match="SHA-256 differs"):
            use()


def test_weight_file_outside_the_folder_is_refused(tmp_path: Path) -> None:
    zoo = load_zoo(write_zoo(tmp_path, {**TINY, "weights": "../other.safetensors"}))
    with pytest.raises(DeryError, match="beside the zoo file"):
        zoo.build("tiny")


def test_weight_file_that_is_no_safetensors_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "tiny.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(DeryError, match="not a readable safetensors file"):
        load_zoo(write_zoo(tmp_path, TINY)).build("tiny")


def test_tensor_of_another_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    write_weights(tmp_path)
    wider = {**TINY, "model_kwargs": {**TINY["model_kwargs"], "num_classes": 5}}
    with pytest.raises(DeryError, match=r"'fc\.weight' is \(3, 8\) in the file, but \(5, 8\)"):
        load_zoo(write_zoo(tmp_path, wider)).build("tiny")


def test_tensor_too_few_or_too_many_is_named(tmp_path: Path) -> None:
    path, state = write_weights(tmp_path)
    zoo = load_zoo(write_zoo(tmp_path, TINY))
    save_file({**state, "stray": torch.zeros(1)}, path)
    with pytest.raises(DeryError, match="'stray'"):
        zoo.build("tiny")
    del state["fc.bias"]
    save_file(state, path)
    with pytest.raises(DeryError, match=r"lacks the tensor 'fc\.bias'"):
        zoo.build("tiny")


def test_unknown_architecture_suggests_a_close_one(tmp_path: Path) -> None:
    model = ZooModel.from_dict({**TINY, "architecture": "resnt18"})
    with pytest.raises(DeryError, match="did you mean 'resnet18'"):
        build_architecture(model)
    with pytest.raises(DeryError, match="has no 'resnt18'"):
        family(model)


def test_settings_that_timm_refuses_get_a_sentence() -> None:
    model = ZooModel.from_dict({**TINY, "model_kwargs": {"colour": "red"}})
    with pytest.raises(DeryError, match="timm refuses the model_kwargs of 'resnet18'"):
        build_architecture(model)


@pytest.mark.parametrize("name", ["checkpoint_path", "pretrained", "pretrained_cfg"])
def test_settings_that_would_load_other_files_are_refused(name: str) -> None:
    model = ZooModel.from_dict({**TINY, "model_kwargs": {name: "/etc/passwd"}})
    with pytest.raises(DeryError, match=f"model_kwargs may not hold '{name}'"):
        build_architecture(model)


def test_cost_of_a_network_that_does_not_run_on_its_input_is_a_sentence() -> None:
    # A vision transformer is built for one image size, here 224.
    model = ZooModel.from_dict({**TINY, "architecture": "vit_tiny_patch16_224", "model_kwargs": {}})
    with pytest.raises(DeryError, match="'tiny' doesn't run on an input of 3×32×32"):
        member_cost(model, 3)


def test_num_classes_replaces_the_head() -> None:
    module = build_architecture(ZooModel.from_dict(TINY), num_classes=7)
    assert module(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_timm_tag_that_does_not_exist_gets_a_sentence(tmp_path: Path) -> None:
    zoo = load_zoo(write_zoo(tmp_path, {**TINY, "weights": "timm:no_such_tag"}))
    zoo.check()
    with pytest.raises(DeryError, match=r"no weights 'resnet18\.no_such_tag'"):
        zoo.build("tiny")


def test_family_is_timms_file() -> None:
    for architecture, expected in (
        ("resnet18", "resnet"),
        ("deit_tiny_patch16_224", "deit"),
        ("vit_tiny_patch16_224", "vision_transformer"),
        ("mixer_compact", "mlp_mixer"),
        ("poolformer_compact", "metaformer"),
    ):
        assert family(ZooModel.from_dict({**TINY, "architecture": architecture})) == expected


def test_real_zoo_builds_in_float32() -> None:
    path = SHARED / "data" / "real_zoo" / "zoo.json"
    if not path.exists():
        pytest.skip("needs the real networks")
    zoo = load_zoo(path)
    zoo.check()
    model = zoo.model("mobilenetv2_100.imagenet")
    assert model.provenance["licence"] == "Apache-2.0"
    module = zoo.build(model.name)
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    with torch.inference_mode():
        assert torch.isfinite(module(torch.zeros(1, 3, 64, 64))).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"mean": [math.nan, 0.5, 0.5]}, "'mean' is"),
        ({"std": [math.inf, 1, 1]}, "'std' is"),
        ({"top1": math.nan}, "'top1' is"),
        ({"top1": 101}, "'top1' is"),
        ({"input_size": [3, 5000, 32]}, "sides of at most 4096"),
    ],
)
def test_a_figure_that_can_not_be_is_named(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(DeryError, match=said):
        ZooModel.from_dict({**TINY, **wrong}, "it")


def test_paths_that_can_be_none_get_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "zoo.json"
    path.write_text(json.dumps([{**TINY, "weights": "a\0b"}]))
    with pytest.raises(DeryError, match="can't be a path"):
        load_zoo(path).check()
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    for extends in ("a\0b", "loop.json"):
        path.write_text(json.dumps({"extends": extends, "models": []}))
        with pytest.raises(DeryError, match="can't be a path"):
            load_zoo(path)
