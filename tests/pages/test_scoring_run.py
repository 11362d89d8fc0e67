"""A scoring that takes long: a run that the page follows, finds again, and can stop."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app import steps, work
from dery_core.errors import Cancelled
from dery_core.jobs import list_runs
from dery_core.workspace import Workspace

Open = Callable[..., AppTest]
Told = Callable[[AppTest], str]
CHOSEN = {"members": "toy_resnet,toy_vit", "k": "3", "score": "naswot"}


@pytest.fixture
def own_workspace(open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    """A workspace where nothing was measured yet."""
    monkeypatch.setenv("DERY_HOME", str(tmp_path))
    return Workspace(tmp_path)


def shown(app: AppTest) -> bool:
    """Whether the page shows a hybrid with its figures."""
    return len(app.metric) > 0


def test_the_page_waits_for_a_run_and_takes_its_scores_from_then_on(
    open_page: Open, told: Told, own_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dery_core.jobs.scored._QUICK_SECONDS", 0.0)
    app = open_page("reassemble", **CHOSEN)
    assert not app.exception
    assert shown(app)
    [run] = list_runs(own_workspace)
    process = run.status().process
    assert process is not None
    assert process.pid != os.getpid()

    work._works.clear()  # the server starts again
    assert shown(open_page("reassemble", **CHOSEN))
    assert list_runs(own_workspace) == [run]

    runs = open_page("runs", run=run.id)
    assert not runs.exception
    (row,) = (str(html.value) for html in runs.html if run.id in str(html.value))
    assert 'data-state="finished"' in row
    assert "scoring" in row
    assert "8 of 8 hybrids" in row
    assert "%" not in row.replace("width:100%", "")
    assert "NASWOT, 2 networks in 3 blocks" in [str(heading.value) for heading in runs.subheader]
    assert not runs.get("plotly_chart")
    assert "8 hybrids measured" in str(runs.code[0].value)


def test_a_stopped_scoring_stays_stopped_until_it_is_tried_again(
    open_page: Open, told: Told, own_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    scores_of = steps.scores_of

    def stopped_once(*arguments: Any) -> Any:
        asked.append(arguments)
        if len(asked) == 1:
            raise Cancelled
        return scores_of(*arguments)

    monkeypatch.setattr(steps, "scores_of", stopped_once)
    app = open_page("reassemble", **CHOSEN)
    assert "What was finished is kept." in told(app)
    app.run()
    assert not shown(app)
    assert len(asked) == 1
    app.button(key="try_again").click().run()
    assert shown(app)
