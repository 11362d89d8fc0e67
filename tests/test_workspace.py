"""The workspace folder: where it is, and what happens when it can't be written."""

from pathlib import Path

import pytest

from dery_core.errors import DeryError
from dery_core.workspace import Workspace


def test_the_environment_variable_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERY_HOME", str(tmp_path / "here"))
    workspace = Workspace.open()
    assert workspace.root == tmp_path / "here"
    assert workspace.root.is_dir()
    assert workspace.runs == tmp_path / "here" / "runs"


def test_an_argument_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERY_HOME", str(tmp_path / "here"))
    assert Workspace.open(tmp_path / "there").root == tmp_path / "there"


@pytest.mark.parametrize("where", ["/dev/null/dery", "/proc/dery"])
def test_a_folder_that_cannot_be_written_is_one_sentence(where: str) -> None:
    with pytest.raises(DeryError, match=f"The workspace {where} can't be written .*--workspace"):
        Workspace.open(where)
