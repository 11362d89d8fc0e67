"""Zoo, look inside: a network's line graph, cut by cut."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]


def test_a_click_on_a_name_shows_its_nodes_and_the_check(open_page: Open) -> None:
    app = open_page("zoo")
    app.button(key="look_toy_vit").click().run()
    assert not app.exception
    assert app.query_params == {"view": "inside", "look": "toy_vit"}
    assert "bit-equal" in app.success[0].value
    assert len(app.get("plotly_chart")) == 1
    cuts = app.dataframe[0].value
    assert cuts["before"].iloc[0] == "3 × 16×16"
    assert cuts["before"].iloc[1] == "1+4×4 tokens × 16"
    assert cuts["name"].iloc[-1] == "head"


def test_a_shared_link_opens_its_network(open_page: Open) -> None:
    app = open_page("zoo", view="inside", look="toy_resnet")
    assert app.selectbox(key="look_at").value == "toy_resnet"
    app.selectbox(key="look_at").select("toy_vit").run()
    assert "tokens" in str(app.dataframe[0].value["before"].iloc[1])
    assert app.session_state["look"] == "toy_vit"


def test_a_link_to_a_network_that_is_not_there_shows_a_chosen_one(open_page: Open) -> None:
    app = open_page("zoo", view="inside", look="nobody")
    assert not app.exception
    assert app.selectbox(key="look_at").value == "toy_resnet"


def test_a_network_that_cannot_be_cut_is_one_sentence(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, toy_zoo_path: Path, tmp_path: Path
) -> None:
    data = json.loads(toy_zoo_path.read_text())
    for model in data["models"]:
        model["weights"] = str(toy_zoo_path.parent / model["weights"])
    (tmp_path / "zoo.json").write_text(json.dumps(data))
    monkeypatch.setenv("DERY_ZOO", str(tmp_path / "zoo.json"))
    app = open_page("zoo", view="inside", look="toy_vit")
    assert not app.exception
    assert not app.error
    assert ["put the file beside the zoo file" in warning.value for warning in app.warning] == [True]
