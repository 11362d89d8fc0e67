"""Partition: bars, bound, and what to do when K is too large."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]
Told = Callable[[AppTest], str]
BOTH = "toy_resnet,toy_vit"


def test_blocks_bound_and_table_are_shown(open_page: Open, told: Told) -> None:
    app = open_page("partition", members=BOTH, k="3")
    assert not app.exception
    assert app.slider(key="k").value == 3
    assert "Proved optimal" in told(app)
    assert "Mean similarity to the anchor: set 1 **" in told(app)
    assert len(app.dataframe[0].value) == 2 * 3
    assert "15 to 30 seconds" in told(app)


def test_moving_k_changes_the_blocks_and_the_url(open_page: Open) -> None:
    app = open_page("partition", members=BOTH, k="3")
    app.slider(key="k").set_value(2).run()
    assert len(app.dataframe[0].value) == 2 * 2
    assert app.query_params["k"] == "2"


def test_k_larger_than_a_network_is_one_sentence_and_the_sliders_stay(open_page: Open) -> None:
    app = open_page("partition", members=BOTH, k="12")
    assert not app.exception
    assert len(app.error) == 1
    assert "toy_" in app.error[0].value
    app.slider(key="k").set_value(3).run()
    assert not app.error
    assert len(app.dataframe[0].value) == 2 * 3


def test_what_the_url_cannot_mean_is_ignored(open_page: Open) -> None:
    app = open_page("partition", members=BOTH, k="many", epsilon="-1", size="weight")
    assert not app.exception
    assert app.slider(key="k").value == 4
    assert app.slider(key="epsilon").value == 0.2


def test_settings_stay_when_the_page_is_left(open_page: Open) -> None:
    app = open_page("partition", members=BOTH, k="3")
    app.slider(key="k").set_value(2).run()
    app.switch_page("../pages/zoo.py").run()
    app.switch_page("../pages/partition.py").run()
    assert app.slider(key="k").value == 2
