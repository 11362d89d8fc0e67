"""Zoo: ticking boxes is choosing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]
Told = Callable[[AppTest], str]
BOTH = "toy_resnet,toy_vit"


def test_ticking_boxes_chooses_members_and_fills_the_url(open_page: Open) -> None:
    app = open_page("zoo")
    app.checkbox(key="member_toy_vit").check().run()
    assert "at least two" in app.info[0].value
    app.checkbox(key="member_toy_resnet").check().run()
    assert not app.exception
    assert app.session_state["members"] == ("toy_resnet", "toy_vit")
    assert app.query_params["members"] == BOTH


def test_unticking_a_box_drops_the_member(open_page: Open) -> None:
    app = open_page("zoo", members=BOTH)
    app.checkbox(key="member_toy_resnet").uncheck().run()
    assert app.session_state["members"] == ("toy_vit",)


def test_a_shared_link_shows_its_choice(open_page: Open) -> None:
    app = open_page("zoo", members="toy_vit")
    assert [box.value for box in app.checkbox] == [False, True]


def test_one_button_chooses_another_clears(open_page: Open) -> None:
    app = open_page("zoo")
    app.button(key="choose_four").click().run()
    assert all(box.value for box in app.checkbox)
    app.button(key="choose_none").click().run()
    assert not any(box.value for box in app.checkbox)


def test_a_new_choice_drops_the_budgets_of_the_old(open_page: Open) -> None:
    app = open_page("zoo", members=BOTH, macs="1000", params="2000")
    app.checkbox(key="member_toy_resnet").uncheck().run()
    assert app.query_params == {"members": "toy_vit"}


def test_a_name_the_zoo_lacks_is_named_with_close_matches(open_page: Open, told: Told) -> None:
    app = open_page("zoo", members="toy_resnet,toy_vitt")
    assert not app.exception
    assert "toy_vitt" in app.error[0].value
    assert "did you mean 'toy_vit'" in app.error[0].value
    assert app.title[0].value == "Choose networks"


def test_a_missing_zoo_file_is_one_sentence(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DERY_ZOO", str(tmp_path / "none.json"))
    app = open_page("zoo")
    assert not app.exception
    assert "does not exist" in app.error[0].value
