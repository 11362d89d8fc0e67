"""The dery command: every step on the embedded zoo, and one line on stderr for every mistake."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dery_core.cli import main
from dery_core.zoo import embedded_zoo

MODELS = ["resnet_s.clutter", "swin.clutter", "vit.clutter"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr (without progress bars) of one command."""
    status = main(words)
    output = capsys.readouterr()
    return status, output.out, re.sub(r"[^\r\n]*\d+/\d+[^\r\n]*[\r\n]*", "", output.err).strip()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("workspace"))


def test_each_step_takes_the_file_that_the_step_before_kept(
    capsys: pytest.CaptureFixture[str], workspace: str
) -> None:
    status, out, _ = run(capsys, "similarity", *MODELS, "--images", "32", "--workspace", workspace)
    assert status == 0
    table = out.splitlines()[-1]
    status, _, err = run(capsys, "partition", table, "-k", "50")
    assert status == 2
    assert any(model in err for model in MODELS)
    status, out, _ = run(capsys, "partition", table, "-k", "3", "--workspace", workspace)
    assert status == 0
    assert all(model in out for model in MODELS)
    partition = out.splitlines()[-1]
    status, _, err = run(
        capsys, "reassemble", partition, "--max-params", "10", "--sample", "8", "--workspace", workspace
    )
    assert status == 2
    assert "the smallest has" in err
    budget = ["--max-params", "1M", "--max-macs", "2e7", "--top", "2", "--sample", "8"]
    status, out, _ = run(capsys, "reassemble", partition, *budget, "--workspace", workspace)
    assert status == 0
    hybrid = out.splitlines()[-1]
    assert Path(hybrid).parent == Path(workspace) / "hybrids"
    status, out, _ = run(capsys, "hybrid", hybrid, "--summary")
    assert status == 0
    assert "params" in out
    assert "Total mult-adds" in out


def test_the_zoo_is_listed_and_checked(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "zoo")
    assert status == 0
    assert all(model in out for model in MODELS)
    assert run(capsys, "zoo", "check")[0] == 0


def test_every_fault_of_a_zoo_is_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    zoo = embedded_zoo().subset(MODELS)
    good, *bad = [model.to_dict() for model in zoo.models]
    bad[0]["architecture"] = "swim_tiny"
    bad[1]["model_kwargs"]["num_classes"] = 3
    for model in zoo.models:
        (tmp_path / model.weights).write_bytes((zoo.path.parent / model.weights).read_bytes())
    (tmp_path / "zoo.json").write_text(json.dumps({"models": [good, *bad]}))
    status, out, err = run(capsys, "--zoo", str(tmp_path / "zoo.json"), "zoo", "check")
    assert status == 2
    assert "2 of 3 networks" in err
    assert "has no 'swim_tiny'" in out
    assert "head.weight" in out


def test_a_mistyped_task_leaves_no_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DERY_HOME", str(tmp_path))
    assert run(capsys, "tune", "--member", "vit.clutter", "--task", "nope")[0] == 2
    assert not (tmp_path / "runs").exists()


def test_a_network_shows_its_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "line-graph", "vit.clutter")
    assert status == 0
    assert "blocks.3" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["similarity", "vit.clutter"], "at least two"),
        (["similarity", "vit.cluter", "swin.clutter"], "did you mean 'vit.clutter'"),
        (["partition", "nowhere.npz"], "nowhere.npz"),
        (["reassemble", "nowhere.json"], "nowhere.json does not exist"),
        (["reassemble", "x.json", "--max-params", "lots"], "'lots' is not a count"),
        (["tune", "--member", "vit.clutter", "--epochs", "0"], "epochs"),
        (["tune", "--member", "vit.clutter", "--device", "cuda:99"], "cuda:99"),
        (["tune", "--member", "vit.clutter", "--seed", "-1"], "--seed: -1 is not a whole number from 0"),
        (["reassemble", "x.json", "--top", "0"], "--top: 0 is not a whole number from 1"),
        (["reassemble", "x.json", "--max-macs", "1e999"], "more than any network"),
        (["demo", "--workers", "none"], "--workers: none is not a whole number"),
        (["demo", "--json", "/dev/null/x/y.json"], "/dev/null/x can't be written"),
        (["demo", "--json", "/"], "is a folder"),
        (["zoo", "train", "--folder", "/dev/null/x"], "/dev/null/x can't be written"),
        (["--zoo", "~nobody-here/zoo.json", "zoo"], "no such home folder"),
        (["--workspace", "~nobody-here", "runs"], "no such home folder"),
        (["tune", "--member", "vit.clutter", "--task", "nope"], "there is no task 'nope'"),
        (["app", "--task", "nope"], "there is no task 'nope'"),
        (["partition", "pyproject.toml"], "is not a readable similarity table file"),
        (["runs", "show"], "needs a run's id"),
        (["runs", "show", "nothing"], "no run 'nothing'"),
        (["frobnicate"], "invalid choice"),
        (["--zoo", "nowhere.json", "zoo"], "nowhere.json does not exist"),
        (["similarity", "--workspace", "/dev/null/x"], "The workspace /dev/null/x can't be written"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    complaint: str,
) -> None:
    monkeypatch.setenv("DERY_HOME", str(tmp_path))
    status, _, err = run(capsys, *words)
    assert status == 2
    assert err.startswith("dery: ")
    assert complaint in err
    assert len(err.splitlines()) == 1


def test_a_port_in_use_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DERY_HOME", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        status, _, err = run(capsys, "app", "--port", port)
    assert status == 2
    assert f"Port {port}" in err


def test_a_damaged_run_does_not_hide_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, toy_zoo_path: Path, toy_task: str
) -> None:
    words = ["--workspace", str(tmp_path), "--zoo", str(toy_zoo_path)]
    for _ in range(2):
        assert (
            run(capsys, "tune", "--member", "toy_resnet", "--task", toy_task, "--epochs", "1", *words)[0] == 0
        )
    damaged, whole = sorted((tmp_path / "runs").iterdir())
    (damaged / "result.json").write_text("{")
    status, out, _ = run(capsys, "runs", *words)
    assert status == 0
    assert re.search(rf"{damaged.name} +damaged", out)
    assert re.search(rf"{whole.name} +finished", out)


def test_an_ascii_terminal_gets_question_marks_and_no_traceback() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "dery_core.cli", "line-graph", "resnet_s.clutter"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 ? 32?32" in done.stdout
