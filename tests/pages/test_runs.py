"""Runs: started, watched, compared, found again."""

import time
from collections.abc import Callable
from pathlib import Path

from streamlit.testing.v1 import AppTest

from dery_core.jobs import list_runs
from dery_core.workspace import Workspace

Open = Callable[..., AppTest]
Told = Callable[[AppTest], str]
BOTH = "toy_resnet,toy_vit"

PATIENCE = 120


def finish(workspace: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while any(run.status().state in ("queued", "running") for run in list_runs(Workspace(workspace))):
        assert time.monotonic() < deadline, "the runs don't end"
        time.sleep(0.2)


def test_without_networks_the_page_says_what_to_do_first(open_page: Open, told: Told) -> None:
    app = open_page("runs")
    assert not app.exception
    assert "choose networks and a budget first" in told(app)


def test_a_run_of_the_hybrid_is_started_shown_and_found_again(
    open_page: Open, told: Told, workspace_path: Path
) -> None:
    app = open_page("runs", members=BOTH, k="3")
    app.slider(key="epochs").set_value(1)
    assert "fitted by least squares" in told(app)
    app.button(key="start_run").click().run()
    assert not app.exception
    run_id = app.query_params["run"]
    finish(workspace_path)

    again = open_page("runs", run=run_id)
    assert not again.exception
    (row,) = (str(html.value) for html in again.html if run_id in str(html.value))
    assert 'data-state="finished"' in row
    assert "dery-run open" in row
    assert "1 of 1 epochs" in row
    assert "closed form" in row
    assert "before training" in row
    assert any("from a closed-form start" in str(heading.value) for heading in again.subheader)
    # The chosen members keep to the budget, so they were tuned beside it.
    assert "points is chance" in told(again)
    # Curves and the bar beside the zoo.
    assert len(again.get("plotly_chart")) == 2
    assert not again.session_state["members"]
