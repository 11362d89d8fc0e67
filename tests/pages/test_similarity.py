"""Similarity: heatmaps of what was chosen."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]
Told = Callable[[AppTest], str]
BOTH = "toy_resnet,toy_vit"


def test_two_networks_are_compared_cut_by_cut(open_page: Open, told: Told) -> None:
    app = open_page("similarity", members=BOTH)
    assert not app.exception
    assert app.selectbox(key="row_model").value == "toy_resnet"
    assert app.selectbox(key="column_model").value == "toy_vit"
    assert len(app.get("plotly_chart")) == 1
    assert "Most alike besides the input: toy_resnet cut" in told(app)


def test_all_networks_are_shown_at_once_on_request(open_page: Open) -> None:
    app = open_page("similarity", members=BOTH)
    app.segmented_control(key="similarity_view").set_value("All networks").run()
    assert not app.exception
    assert [box.key for box in app.selectbox] == ["probe_task"]
    assert len(app.get("plotly_chart")) == 1


def test_with_one_network_the_page_says_what_to_do_first(open_page: Open) -> None:
    app = open_page("similarity", members="toy_vit")
    assert app.info[0].value == "Choose at least two networks first."
    assert not app.get("plotly_chart")


def test_a_workspace_that_cannot_be_written_is_one_sentence(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DERY_HOME", str(tmp_path / "file"))
    app = open_page("similarity", members=BOTH)
    assert not app.exception
    assert "can't be written" in app.error[0].value


def test_the_images_that_networks_look_at_can_be_chosen(open_page: Open, told: Told) -> None:
    app = open_page("similarity", members=BOTH, probe="digits-larger")
    assert not app.exception
    assert "16 images of the task digits-larger" in told(app)
    target = app.selectbox(key="probe_task").options[0]
    app.selectbox(key="probe_task").select(target).run()
    assert "digits-larger" not in told(app)
