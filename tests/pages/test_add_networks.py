"""Zoo, add networks: from timm's catalogue and from a file; told when it fails; removed again."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save
from streamlit.testing.v1 import AppTest

from app import own_zoo, steps
from dery_core.errors import DeryError
from dery_core.progress import ProgressFn, Ticker
from dery_core.zoo import ZooModel

Open = Callable[..., AppTest]
Told = Callable[[AppTest], str]

FILE, UPLOAD = "checkpoint", "flowers.safetensors"


@pytest.fixture
def own_workspace(open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A workspace without a zoo of its own: the embedded one is shown."""
    monkeypatch.delenv("DERY_ZOO")
    monkeypatch.setenv("DERY_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def weights() -> bytes:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return save(timm.create_model("test_resnet", num_classes=5).state_dict())


def describe(app: AppTest, weights: bytes, **fields: str) -> AppTest:
    app.segmented_control(key="add_from").set_value(FILE).run()
    app.file_uploader(key="own_file").upload(UPLOAD, weights, "application/octet-stream")
    app.selectbox(key="own_architecture").select("test_resnet").run()
    for key, text in fields.items():
        app.text_input(key=key).set_value(text)
    return app.run()


def test_the_catalogue_is_searched_by_words(open_page: Open, own_workspace: Path) -> None:
    app = open_page("zoo", view="add")
    assert not app.exception
    assert len(app.dataframe[0].value) > 1500
    app.text_input(key="catalogue_text").set_value("resnet18 a1").run()
    names = list(app.dataframe[0].value["name"])
    assert "resnet18.a1_in1k" in names
    assert all("resnet18" in name for name in names)


def test_an_own_checkpoint_becomes_a_member_that_is_found_again_and_removed(
    open_page: Open, told: Told, own_workspace: Path, weights: bytes
) -> None:
    app = describe(open_page("zoo", view="add", members="vit.clutter"), weights, own_task="flowers")
    app.button(key="add_checkpoint").click().run()
    assert not app.exception
    assert "**flowers** is in the zoo" in told(app)
    assert app.query_params["adding"] == "flowers"
    assert app.query_params["members"] == "vit.clutter"
    assert not list(own_workspace.glob("upload_*"))

    app.button(key="choose_added").click().run()
    again = open_page("zoo", members=app.query_params["members"])
    assert again.checkbox(key="member_flowers").value
    assert steps.zoo().model("flowers").model_kwargs["num_classes"] == 5

    again.segmented_control(key="view").set_value("add").run()
    again.button(key="sure_flowers").click().run()
    assert not again.exception
    assert "flowers" not in steps.zoo().names
    assert again.session_state["members"] == ("vit.clutter",)


def test_a_reload_stays_with_the_form(open_page: Open, own_workspace: Path, weights: bytes) -> None:
    app = describe(open_page("zoo", view="add"), weights, own_classes="9")
    app.button(key="add_checkpoint").click().run()
    assert app.error
    shown = {key: str(value) for key, value in app.query_params.items()}
    again = open_page("zoo", **shown)
    assert again.selectbox(key="own_architecture").options
    again.segmented_control(key="add_from").set_value("catalogue").run()
    assert "add_from" not in again.query_params


def test_a_network_may_be_called_as_a_field_of_the_form_is(
    open_page: Open, own_workspace: Path, weights: bytes
) -> None:
    app = describe(open_page("zoo", view="add"), weights, own_name="classes")
    app.button(key="add_checkpoint").click().run()
    again = describe(open_page("zoo", view="add"), weights)
    assert not again.exception
    assert again.button(key="listed_classes").label == "classes"


def test_a_file_that_does_not_fit_is_one_sentence_and_the_fields_stay(
    open_page: Open, told: Told, own_workspace: Path, weights: bytes
) -> None:
    app = describe(open_page("zoo", view="add"), weights, own_name="mine", own_classes="9")
    app.button(key="add_checkpoint").click().run()
    assert not app.exception
    assert len(app.error) == 1
    assert "mine" in app.error[0].value
    assert app.text_input(key="own_name").value == "mine"
    assert "mine" not in steps.zoo().names


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("own_classes", "1.5", "is no number of classes"),
        ("own_settings", "32 pixels", "'32 pixels' is neither name=value"),
        ("own_Standard deviation_test_resnet", "0.2, 0.2", "write 3 numbers"),
        ("own_Height, width_test_resnet", "0", "must be [3, height, width]"),
    ],
)
def test_a_field_that_cannot_be_meant_is_told_at_once(
    open_page: Open, own_workspace: Path, weights: bytes, key: str, text: str, said: str
) -> None:
    app = describe(open_page("zoo", view="add"), weights, **{key: text})
    app.button(key="add_checkpoint").click().run()
    assert [said in error.value for error in app.error] == [True]


def test_class_names_are_kept_with_the_network(open_page: Open, own_workspace: Path, weights: bytes) -> None:
    app = describe(open_page("zoo", view="add"), weights, own_classes="a, b, c, d, e")
    app.button(key="add_checkpoint").click().run()
    assert steps.zoo().model("flowers").provenance["classes"] == ["a", "b", "c", "d", "e"]


def test_settings_of_the_architecture_are_taken(open_page: Open, own_workspace: Path, weights: bytes) -> None:
    app = describe(open_page("zoo", view="add"), weights, own_settings="global_pool=max, drop_rate=0.1")
    app.button(key="add_checkpoint").click().run()
    assert not app.error
    kept = {"global_pool": "max", "drop_rate": 0.1, "num_classes": 5}
    assert steps.zoo().model("flowers").model_kwargs == kept


def test_adding_is_followed_across_a_reload_and_cancelled(
    open_page: Open, told: Told, own_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def download(path: Path, name: str, report: ProgressFn) -> ZooModel:
        tick = Ticker(f"Downloading {name}", 1000, "B", report)
        begun.set()
        go_on.wait(60)
        tick(500)
        raise AssertionError("the download wasn't cancelled")

    monkeypatch.setattr(own_zoo.own, "add_pretrained", download)
    monkeypatch.setattr("app.components.waiting.PATIENCE_SECONDS", 0)
    app = open_page("zoo", view="add")
    app.text_input(key="catalogue_text").set_value("resnet18.a1_in1k").run()
    app.button(key="add_pretrained").click().run()
    assert begun.wait(60)

    again = open_page("zoo", view="add", adding=app.query_params["adding"])
    assert "Adding resnet18.a1" in told(again)
    assert again.button(key="stop_work").label == "Cancel"
    with pytest.raises(DeryError, match="is being added just now"):
        own_zoo.remove("flowers")
    again.button(key="stop_work").click().run()
    go_on.set()
    task = own_zoo.adding("resnet18.a1_in1k")
    assert task is not None
    assert task.wait(60)
    assert "was not added" in told(again.run())


def test_without_a_network_the_engine_s_sentence_is_shown(
    open_page: Open, own_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(path: Path, name: str, report: ProgressFn) -> ZooModel:
        raise DeryError(f"{name} can't be downloaded: connect, or put it into /cache.")

    monkeypatch.setattr(own_zoo.own, "add_pretrained", offline)
    app = open_page("zoo", view="add")
    app.text_input(key="catalogue_text").set_value("resnet18.a1_in1k").run()
    app.button(key="add_pretrained").click().run()
    assert [error.value for error in app.error] == [
        "resnet18.a1_in1k can't be downloaded: connect, or put it into /cache."
    ]


def test_an_address_that_outlived_its_server_says_nothing(open_page: Open, own_workspace: Path) -> None:
    app = open_page("zoo", view="add", adding="resnet18.a1_in1k")
    assert not app.exception
    assert not app.error
    assert "adding" not in app.query_params
