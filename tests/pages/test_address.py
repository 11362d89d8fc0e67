"""Addresses that can't be taken as they are: corrected, and told so."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from app import state
from dery_core.scoring import DEFAULT_SCORE, SCORES

Open = Callable[..., AppTest]


@pytest.mark.parametrize(
    ("name", "text", "note"),
    [
        ("k", "99", "K = 99 isn't possible (2 to 12); showing 4."),
        ("epsilon", "-1", "ε = -1 isn't possible (0 to 1); showing 0.2."),
        ("size", "weight", "Size = weight isn't possible (params, macs, nodes); showing params."),
        ("variant", "mixed", "Variant = mixed isn't possible (staged, free); showing staged."),
        ("unbiased", "perhaps", "Unbiased = perhaps isn't possible (yes, no); showing no."),
        ("blocks", "pie", "Blocks = pie isn't possible (bars, alike, proof); showing bars."),
        ("cell", "3", "Cell = 3 isn't possible (two cuts, such as 3,7); left out."),
        ("macs", "many", "MACs = many isn't possible (a whole number); left out."),
        ("score", "luck", f"Score = luck isn't possible ({', '.join(SCORES)}); showing {DEFAULT_SCORE}."),
        ("min_models", "1", "Networks, at least = 1 isn't possible (2 to 12); showing 2."),
        (
            "chosen",
            "0-1",
            "Chosen hybrid = 0-1 isn't possible (a network's number for every block, such as "
            "1-3-3-2); left out.",
        ),
        (
            "with_blocks",
            "vit",
            "Blocks to take = vit isn't possible (networks with a block's number, such as vit:1); left out.",
        ),
        ("axis", "time", "Axis = time isn't possible (macs, params); showing macs."),
        ("members", "nobody,toy_vit", "No network 'nobody' in this zoo; left out."),
        ("look", "nobody", "No network 'nobody' to look into in this zoo; left out."),
        ("view", "sky", "View = sky isn't possible (choose, inside, add); showing choose."),
        ("run", "none", "No run 'none' in this workspace; left out."),
    ],
)
def test_what_an_address_cannot_mean_is_told(open_page: Open, name: str, text: str, note: str) -> None:
    app = open_page("home", **{name: text})
    assert not app.exception
    assert [info.value for info in app.info] == [note]


def test_several_notes_share_a_line(open_page: Open) -> None:
    app = open_page("home", k="99", members="nobody")
    assert len(app.info) == 1
    assert "K = 99" in app.info[0].value
    assert "nobody" in app.info[0].value


def test_a_note_stays_while_a_page_waits_and_goes_with_the_next_page(open_page: Open) -> None:
    app = open_page("home", k="99")
    assert app.run().info
    app.switch_page("../pages/zoo.py").run()
    assert "K = 99" not in app.info[0].value


def test_a_good_address_is_told_nothing(open_page: Open) -> None:
    assert not open_page("home", members="toy_resnet,toy_vit", k="3").info


def test_words_of_an_address_are_no_markdown() -> None:
    assert state.plain("[a](b)") == r"\[a\]\(b\)"
    assert len(state.plain("a" * 99)) == 40
