"""Home: one button for a newcomer, the way on for everyone else."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]
Told = Callable[[AppTest], str]
BOTH = "toy_resnet,toy_vit"


def test_a_newcomer_gets_one_button_to_start(open_page: Open) -> None:
    app = open_page("home")
    assert not app.exception
    assert [button.key for button in app.button if button.key == "start"] == ["start"]


def test_starting_chooses_networks_and_opens_the_next_page(open_page: Open) -> None:
    app = open_page("home")
    app.button(key="start").click().run()
    assert not app.exception
    assert app.session_state["members"] == ("toy_resnet", "toy_vit")
    assert app.title[0].value == "Where do they agree?"


def test_a_returning_visitor_sees_the_choice(open_page: Open, told: Told) -> None:
    app = open_page("home", members=BOTH)
    assert "toy_resnet and toy_vit" in told(app)
    assert not [button for button in app.button if button.key == "start"]
