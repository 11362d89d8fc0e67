"""Partition: bars, bound, and what to do when K is too large."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app import proof as proofs
from app import work
from dery_core.errors import DeryError
from dery_core.partition import Partition
from dery_core.progress import Progress

Open = Callable[..., AppTest]
Told = Callable[[AppTest], str]
BOTH = "toy_resnet,toy_vit"


def blocks(app: AppTest) -> Any:
    """The table of all blocks, opened."""
    app.session_state["all_blocks"] = True
    return app.run().dataframe[0].value


def proof(app: AppTest) -> work.Work[Any]:
    """The proof that goes on for this visitor."""
    found = work.find(app.session_state[proofs.PROVING])
    assert found is not None
    return found


def test_blocks_bound_and_table_are_shown(open_page: Open, told: Told) -> None:
    app = open_page("partition", members=BOTH, k="3")
    assert not app.exception
    assert app.slider(key="k").value == 3
    assert "Proved optimal" in told(app)
    assert "Mean similarity to the anchor, without the anchors' own 2: set 1 **" in told(app)
    assert len(blocks(app)) == 2 * 3
    assert "15 to 30 seconds" in told(app)


def test_moving_k_changes_the_blocks_and_the_url(open_page: Open) -> None:
    app = open_page("partition", members=BOTH, k="3")
    app.slider(key="k").set_value(2).run()
    assert len(blocks(app)) == 2 * 2
    assert app.query_params["k"] == "2"


def test_k_larger_than_a_network_is_one_sentence_and_the_sliders_stay(open_page: Open) -> None:
    app = open_page("partition", members=BOTH, k="12")
    assert not app.exception
    assert len(app.error) == 1
    assert "toy_" in app.error[0].value
    offered = app.button(key="use_most").label
    app.button(key="use_most").click().run()
    assert not app.error
    most = app.slider(key="k").value
    assert offered == f"Use K = {most}"
    assert app.slider(key="k").max == most, "what no network can have isn't offered"
    assert f"At most {most}: toy_" in app.slider(key="k").help
    app.slider(key="k").set_value(3).run()
    assert not app.error
    assert len(blocks(app)) == 2 * 3


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


def test_the_view_and_the_variant_of_the_address_are_shown(open_page: Open, told: Told) -> None:
    app = open_page("partition", members=BOTH, k="3", variant="free", blocks="alike")
    assert not app.exception
    assert "Two blocks of one set have S" in told(app)
    assert "wherever in their networks" in told(app)
    app.segmented_control(key="blocks").set_value("bars").run()
    assert "Here a set isn't tied to a place in the networks" in told(app)
    assert "blocks" not in app.query_params
    app.segmented_control(key="variant").set_value("staged").run()
    assert "isn't tied to a place" not in told(app)
    assert "variant" not in app.query_params


def test_the_view_of_the_proof_shows_objective_and_bound(open_page: Open) -> None:
    app = open_page("partition", members=BOTH, k="3", blocks="proof")
    objective, bound, gap = (metric.value for metric in app.metric)
    assert float(objective) == pytest.approx(float(bound), abs=1e-3)
    assert gap == "proved optimal"


def test_where_every_limit_was_widened_it_is_said_by_how_much(open_page: Open, told: Told) -> None:
    said = told(open_page("partition", members=BOTH, k="3", epsilon="0"))
    assert "No network has 3 blocks below 1 times the mean block (ε = 0)" in said
    assert "a smaller ε would change nothing" in said


def test_an_answer_is_shown_while_its_proof_goes_on_and_hybrids_wait_for_it(
    open_page: Open, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, solve = threading.Event(), proofs.solve_partition

    def slow(*given: Any, **others: Any) -> Partition:
        found = solve(*given, **(others | {"max_seconds": 10}))
        if others["max_seconds"] == proofs.ANSWER_SECONDS:
            return dataclasses.replace(found, upper_bound=1.02 * found.objective)
        while not go.wait(0.05):
            others["report"](Progress("Partition", 0, 1, "nodes", 0.0))
        return found

    monkeypatch.setattr(proofs, "solve_partition", slow)
    app = open_page("partition", members=BOTH, k="2", epsilon="0.45")
    assert "At most 2 % below the best possible" in told(app)
    assert "Still proving" in told(app)
    monkeypatch.setattr("app.components.waiting.PATIENCE_SECONDS", 0.2)
    app.switch_page("../pages/reassemble.py").run()
    assert "Proving that no other blocks are better" in told(app)
    app.button(key="stop_work").click().run()
    assert proof(app).wait(60)
    go.set()
    app.switch_page("../pages/partition.py").run()
    assert "At most 2 % below" in told(app), "what a visitor ended doesn't go on by itself"
    app.button(key="go_on").click().run()
    assert proof(app).wait(60)
    assert "Proved optimal" in told(app.run())


def test_while_nothing_but_the_trivial_bound_is_known_the_page_says_so(
    open_page: Open, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    solve = proofs.solve_partition

    def unbounded(*given: Any, **others: Any) -> Partition:
        found = solve(*given, **(others | {"max_seconds": 10}))
        return dataclasses.replace(found, upper_bound=8.0, trace=((found.objective, 8.0),))

    monkeypatch.setattr(proofs, "solve_partition", unbounded)
    app = open_page("partition", members=BOTH, k="2", epsilon="0.65", blocks="proof")
    assert not app.exception
    assert "No useful bound yet" in told(app)
    assert not app.get("plotly_chart"), "a proof of one step is no line"
    assert [metric.value for metric in app.metric][1:] == ["–", "not known yet"]


@pytest.mark.parametrize("error", [IndexError("no such row"), DeryError("no memory is left.")])
def test_a_proof_that_fails_is_told_once_beside_the_answer_and_can_be_tried_again(
    open_page: Open, told: Told, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    solve, failing = proofs.solve_partition, [True]

    def fails(*given: Any, **others: Any) -> Partition:
        found = solve(*given, **(others | {"max_seconds": 10}))
        if others["max_seconds"] == proofs.ANSWER_SECONDS:
            return dataclasses.replace(found, upper_bound=1.02 * found.objective)
        if failing[0]:
            raise error
        return found

    monkeypatch.setattr(proofs, "solve_partition", fails)
    monkeypatch.setattr(proofs, "REST_SECONDS", 0.0)
    app = open_page(
        "partition", members=BOTH, k="2", epsilon="0.4" if isinstance(error, DeryError) else "0.35"
    )
    assert proof(app).wait(60)
    app.run()
    assert not app.exception
    assert len(app.error) == 1
    assert str(error) in app.error[0].value.lower()
    assert "At most 2 % below the best possible" in told(app)
    assert len(blocks(app)) == 2 * 2
    failing[0] = False
    app.button(key="try_again").click().run()
    assert proof(app).wait(60)
    assert "Proved optimal" in told(app.run())


def test_a_proof_kept_in_the_workspace_is_shown_by_another_server_without_solving(
    open_page: Open, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_page("partition", members=BOTH, k="2", epsilon="0.3")
    assert "Proved optimal" in told(first)
    shown = blocks(first)
    work._works.clear()
    monkeypatch.setattr(proofs, "solve_partition", None)
    again = open_page("partition", members=BOTH, k="2", epsilon="0.3")
    assert "Proved optimal" in told(again)
    assert blocks(again).equals(shown)


def test_an_error_that_settings_make_offers_no_second_try_with_the_same_settings(open_page: Open) -> None:
    app = open_page("reassemble", members=BOTH, k="12")
    assert not app.exception
    assert len(app.error) == 1
    assert "toy_" in app.error[0].value
    assert "try_again" not in [button.key for button in app.button]
