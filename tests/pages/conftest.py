"""The app on a small zoo and a workspace of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import steps, work

ROOT = Path(__file__).resolve().parents[2]

Open = Callable[..., AppTest]


@pytest.fixture(scope="session")
def workspace_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the tests of this room: what one has computed the next finds."""
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture
def open_page(
    monkeypatch: pytest.MonkeyPatch, toy_zoo_path: Path, toy_task: str, workspace_path: Path
) -> Iterator[Open]:
    """`open_page("similarity", members="a,b")`: that page as a visitor with this URL finds it."""
    monkeypatch.setenv("DERY_HOME", str(workspace_path))
    monkeypatch.setenv("DERY_ZOO", str(toy_zoo_path))
    monkeypatch.setattr(steps, "TARGET_TASK", toy_task)
    monkeypatch.setattr(steps, "PROBE_IMAGES", 16)
    monkeypatch.setattr(steps, "SCORE_IMAGES", 16)
    # A test has no browser that asks again while work goes on.
    monkeypatch.setattr("app.components.waiting.PATIENCE_SECONDS", 120)

    def open_page(name: str, **params: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=180)
        for key, value in params.items():
            app.query_params[key] = value
        app.run()
        return app if name == "home" else app.switch_page(f"../pages/{name}.py").run()

    yield open_page
    work._works.clear()


@pytest.fixture
def told() -> Callable[[AppTest], str]:
    """Everything a page says in words."""

    def told(app: AppTest) -> str:
        parts = [*app.title, *app.markdown, *app.info, *app.success, *app.error, *app.warning, *app.caption]
        return "\n".join(str(part.value) for part in parts)

    return told
