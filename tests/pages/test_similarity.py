"""Similarity: heatmaps of what was chosen, by the measure chosen, and what is behind one cell."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dery_core.errors import DeryError

Open = Callable[..., AppTest]
Told = Callable[[AppTest], str]
BOTH = "toy_resnet,toy_vit"


def drawn(app: AppTest) -> str:
    """The HTML of the page's own."""
    return "\n".join(element.proto.body for element in app.get("html"))


def test_two_networks_are_compared_cut_by_cut(open_page: Open, told: Told) -> None:
    app = open_page("similarity", members=BOTH)
    assert not app.exception
    assert app.selectbox(key="row_model").value == "toy_resnet"
    assert app.selectbox(key="column_model").value == "toy_vit"
    assert len(app.get("plotly_chart")) == 1
    assert "Most alike besides the input: toy_resnet cut" in told(app)


def test_all_networks_are_shown_at_once_on_request(open_page: Open, told: Told) -> None:
    app = open_page("similarity", members=BOTH)
    app.segmented_control(key="compare").set_value("all").run()
    assert not app.exception
    assert [box.key for box in app.selectbox] == ["measure", "probe_task"]
    assert len(app.get("plotly_chart")) == 1
    assert app.dataframe[0].value["pair"].tolist() == ["toy_resnet and toy_vit"]
    assert 'All pairs.** "Alike" is the mean best match' in told(app)
    assert app.query_params["compare"] == "all"


def test_the_map_of_cuts_says_how_far_it_can_be_trusted(open_page: Open, told: Told) -> None:
    app = open_page("similarity", members=BOTH, compare="map")
    assert not app.exception
    assert len(app.get("plotly_chart")) == 1
    assert re.search(r"stress 0\.\d\d; 0 would be exact", told(app))


def test_every_measure_says_in_a_sentence_what_it_means(open_page: Open, told: Told) -> None:
    app = open_page("similarity", members=BOTH)
    assert "**Linear CKA.** 1 where two layers" in told(app)
    app.selectbox(key="measure").select("procrustes").run()
    assert not app.exception
    assert "**Orthogonal Procrustes.** How closely" in told(app)
    assert re.search(r"toy_vit cut \d+, Orthogonal Procrustes 0\.\d\d", told(app))
    assert app.query_params["measure"] == "procrustes"
    assert app.toggle(key="unbiased").disabled


def test_only_by_cka_brightness_is_said_to_mean_exchange_and_never_over_the_map(
    open_page: Open, told: Told
) -> None:
    app = open_page("similarity", members=BOTH)
    assert "can exchange blocks" in told(app)
    app.selectbox(key="measure").select("svcca").run()
    assert "can exchange blocks" not in told(app)
    assert "compute alike by this measure" in told(app)
    app = open_page("similarity", members=BOTH, compare="map")
    assert "Where it is bright" not in told(app)


def test_unbiased_is_an_option_of_cka(open_page: Open, told: Told) -> None:
    app = open_page("similarity", members=BOTH)
    app.toggle(key="unbiased").set_value(True).run()
    assert not app.exception
    assert "Linear CKA, unbiased" in told(app)
    assert app.query_params["unbiased"] == "yes"


def test_a_chosen_cell_shows_both_layers_and_what_they_make_of_the_images(
    open_page: Open, told: Told
) -> None:
    app = open_page("similarity", members=BOTH, cell="2,3")
    assert not app.exception
    panel = drawn(app)
    rows, columns = panel.index('data-model="toy_resnet"'), panel.index('data-model="toy_vit"')
    assert "Cut 2: after <code>layer1.0</code> BasicBlock" in panel[rows:columns]
    assert "Cut 3: after <code>blocks.1</code> Block" in panel[columns:]
    assert "params" in panel[rows:columns]
    assert "1+4×4 tokens × 16" in panel[columns:]
    pictures = re.findall(r'<img alt="([^"]+)"', panel)
    assert len([alt for alt in pictures if "of toy_resnet after layer1.0" in alt]) == 3 * 4
    assert len([alt for alt in pictures if "of toy_vit after blocks.1 on image 2" in alt]) == 4
    assert "class token has no place in the image" in told(app)


def test_a_network_beside_itself_shows_its_image_in_colours(open_page: Open) -> None:
    app = open_page("similarity", members=BOTH, rows="toy_vit", columns="toy_vit", cell="0,0")
    assert not app.exception
    panel = drawn(app)
    assert panel.count("Cut 0: the image itself") == 2
    assert "red of toy_vit after input on image 1" in panel


def test_the_most_alike_cell_is_one_click_away(open_page: Open, told: Told) -> None:
    app = open_page("similarity", members=BOTH)
    best = re.search(r"toy_resnet cut (\d+) and toy_vit cut (\d+)", told(app))
    assert best
    app.button(key="look_there").click().run()
    assert f"Cut {best[1]}: after" in drawn(app)
    assert app.query_params["cell"] == f"{best[1]},{best[2]}"


def test_another_network_lets_the_cell_go(open_page: Open) -> None:
    app = open_page("similarity", members=BOTH, cell="2,3")
    app.selectbox(key="column_model").select("toy_resnet").run()
    assert not app.exception
    assert "data-model" not in drawn(app)
    assert "cell" not in app.query_params
    assert app.query_params["columns"] == "toy_resnet"


def test_a_cell_that_no_such_pair_has_is_left_out(open_page: Open) -> None:
    app = open_page("similarity", members=BOTH, cell="2,300")
    assert not app.exception
    assert "data-model" not in drawn(app)
    assert app.button(key="look_there")


def test_networks_in_the_address_that_were_not_chosen_are_not_shown(open_page: Open) -> None:
    app = open_page("similarity", members=BOTH, rows="toy_vit", columns="nobody")
    assert not app.exception
    assert app.selectbox(key="row_model").value == "toy_vit"
    assert app.selectbox(key="column_model").value == "toy_vit"


def test_blocks_are_framed_once_the_networks_are_cut(open_page: Open, told: Told) -> None:
    app = open_page("similarity", members=BOTH, k="2")
    assert "A frame holds two blocks" not in told(app), "nothing is cut only to be framed"
    app.switch_page("../pages/partition.py").run()
    app.switch_page("../pages/similarity.py").run()
    assert not app.exception
    assert "A frame holds two blocks" in told(app)


def test_examples_that_cannot_be_made_are_one_sentence_and_the_page_goes_on(
    open_page: Open, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DeryError("the weights of toy_vit are gone: restore them.")

    monkeypatch.setattr("app.cuts.cut_examples", fail)
    app = open_page("similarity", members=BOTH, rows="toy_vit", cell="1,1")
    assert not app.exception
    assert app.error[0].value == "The weights of toy_vit are gone: restore them."
    assert "Cut 0 is the image itself." in told(app)


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
