"""Zoo: ticking boxes is choosing."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import steps

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


def test_a_name_the_zoo_lacks_is_left_out_everywhere(open_page: Open) -> None:
    app = open_page("zoo", members="toy_resnet,toy_vitt")
    assert not app.exception
    assert not app.error
    assert app.query_params["members"] == "toy_resnet"


def test_a_source_task_that_is_a_label_is_named_without_an_error(open_page: Open, told: Told) -> None:
    app = open_page("zoo")
    assert not app.error
    assert "none · no pictures of it here" in told(app)


def test_a_source_task_that_nobody_told_is_no_task(
    open_page: Open, told: Told, toy_zoo_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = json.loads(toy_zoo_path.read_text())["models"]
    path = tmp_path / "untold.json"
    path.write_text(json.dumps([{**model, "source_task": "unknown"} for model in models]))
    monkeypatch.setenv("DERY_ZOO", str(path))
    app = open_page("zoo")
    rows = [str(html.value) for html in app.html if 'class="dery-swatch"' in str(html.value)]
    assert ["<span>not told</span>" in row for row in rows] == [True, True]
    assert "unknown" not in "".join(rows)
    assert "no pictures of it here" not in told(app)


def test_costs_that_the_file_lacks_are_counted(open_page: Open) -> None:
    app = open_page("zoo")
    rows = [str(html.value) for html in app.html if 'class="dery-swatch"' in str(html.value)]
    # The toy zoo tells nothing of its members: accuracy alone stays unknown.
    assert [row.count("–") for row in rows] == [1, 1]


def test_costs_are_counted_while_the_page_is_there_already(
    open_page: Open, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr("app.components.waiting.PATIENCE_SECONDS", 0)
    monkeypatch.setattr(steps, "_counted", {})
    monkeypatch.setattr(steps, "member_cost", lambda model, classes: (go_on.wait(60) and 7000, 9000))
    app = open_page("zoo")
    assert not app.exception
    assert "0/2 networks" in told(app)
    assert len(app.checkbox) == 2
    go_on.set()
    task = steps.counting(steps.zoo())
    assert task is None or task.wait(60)
    assert sum("7 k" in str(html.value) for html in app.run().html) == 2


def test_without_any_accuracy_a_caption_stands_in_for_the_chart(open_page: Open, told: Told) -> None:
    app = open_page("zoo")
    assert not app.get("plotly_chart")
    assert "gives no accuracy" in told(app)


def test_members_with_an_accuracy_are_drawn_though_the_file_lacks_costs(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, toy_zoo_path: Path, tmp_path: Path
) -> None:
    data = json.loads(toy_zoo_path.read_text())
    data["models"][0]["top1"] = 50.0
    (tmp_path / "zoo.json").write_text(json.dumps(data))
    monkeypatch.setenv("DERY_ZOO", str(tmp_path / "zoo.json"))
    app = open_page("zoo")
    assert not app.exception
    assert len(app.get("plotly_chart")) == 1


def test_a_target_task_that_cannot_be_loaded_is_one_sentence(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "TARGET_TASK", "npz:/none.npz")
    for page in ("zoo", "similarity", "reassemble"):
        app = open_page(page, members=BOTH)
        assert not app.exception
        assert ["/none.npz does not exist" in error.value for error in app.error] == [True]


def test_the_button_tells_how_many_it_chooses(open_page: Open) -> None:
    assert open_page("zoo").button(key="choose_four").label == "Choose two for me"


def test_a_missing_zoo_file_is_one_sentence(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DERY_ZOO", str(tmp_path / "none.json"))
    app = open_page("zoo")
    assert not app.exception
    assert "does not exist" in app.error[0].value
