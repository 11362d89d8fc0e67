"""The dery command: every step on the embedded zoo, and one line on stderr for every mistake."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from dery_core.cli import main
from dery_core.data import TARGET_TASK, Probe
from dery_core.errors import DeryError
from dery_core.partition import solve_partition
from dery_core.similarity import similarity_table
from dery_core.workspace import Workspace
from dery_core.zoo import EMBEDDED_ZOO, Zoo, embedded_zoo, load_zoo

MODELS = ["resnet_s.clutter", "swin.clutter", "vit.clutter"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr (without progress bars) of one command."""
    status = main(words)
    output = capsys.readouterr()
    return status, output.out, re.sub(r"[^\r\n]*\d+/\d+[^\r\n]*[\r\n]*", "", output.err).strip()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("workspace"))


@pytest.mark.parametrize("variant", ["staged", "free"])
def test_partition_of_bare_arrays_is_written_as_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, variant: str
) -> None:
    cuts = np.abs(np.subtract.outer(np.linspace(0, 1, 6), np.linspace(0, 1, 6)))
    np.savez(
        tmp_path / "t.npz",
        cka=np.tile(1 - cuts, (2, 2)).astype(np.float16),
        model=np.repeat([0, 1], 6),
        cut=np.tile(np.arange(6), 2),
        cum_size=np.tile([0.0, 1, 2, 3, 4, 9], 2),
        names=np.array(["one", "other"]),
    )
    out = tmp_path / "out.json"
    words = ["-k", "2", "--epsilon", "0.1", "--variant", variant, "--max-seconds", "5", "--json", str(out)]
    status, said, err = run(capsys, "partition", "--table", str(tmp_path / "t.npz"), *words)
    assert (status, err) == (0, "")
    assert "proved" in said
    found = json.loads(out.read_text())
    assert found["objective"] == pytest.approx(8) == pytest.approx(found["upper_bound"])
    assert found["blocks"] == {"one": [0, 4, 5], "other": [0, 4, 5]}
    assert found["sets"] == {"one": [0, 1], "other": [0, 1]}
    assert [anchor["end"] for anchor in found["anchors"]] == [4, 5]
    assert found["widened_models"] == ["one", "other"]  # no two blocks are below 4.95 of 9
    assert min(found["limits"].values()) > 1.1
    assert sum(map(sum, found["similarity"].values())) == pytest.approx(found["objective"])
    status, _, err = run(capsys, "partition", str(out))
    assert status == 2
    assert "give the .npz" in err
    assert found["seconds"] > 0
    assert (found["variant"], found["k"], found["epsilon"], found["proved"]) == (variant, 2, 0.1, True)
    assert found["size"] == "given"  # what it counts isn't in the file
    status, _, err = run(capsys, "partition", "--table", str(tmp_path / "t.npz"), *words, "--size", "macs")
    assert status == 2
    assert "brings its own sizes: leave --size out" in err
    assert run(capsys, "partition", "--table", str(tmp_path / "t.npz"), *words, "--size", "nodes")[0] == 0
    found = json.loads(out.read_text())
    assert (found["size"], found["blocks"]["one"]) == ("nodes", [0, 2, 5])


def test_each_step_takes_the_file_that_the_step_before_kept(
    capsys: pytest.CaptureFixture[str], workspace: str
) -> None:
    status, out, _ = run(capsys, "similarity", *MODELS, "--images", "32", "--workspace", workspace)
    assert status == 0
    table = out.splitlines()[-1]
    status, _, err = run(capsys, "partition", table, "-k", "50")
    assert status == 2
    assert "from 2 to 12" in err
    status, out, _ = run(capsys, "partition", table, "-k", "3", "--workspace", workspace)
    assert status == 0
    assert all(model in out for model in MODELS)
    partition = out.splitlines()[-1]
    budget = ["--max-params", "1M", "--max-macs", "2e7", "--top", "2", "--score", "naswot"]
    status, out, _ = run(capsys, "reassemble", partition, *budget, "--workspace", workspace)
    assert status == 0
    hybrid = out.splitlines()[-1]
    assert Path(hybrid).parent == Path(workspace) / "hybrids"
    status, out, _ = run(capsys, "hybrid", hybrid, "--summary")
    assert status == 0
    assert "params" in out
    assert "Total mult-adds" in out


@pytest.fixture(scope="module")
def partition(workspace: str) -> str:
    """File of three members' partition in three blocks."""
    table = similarity_table(embedded_zoo(), MODELS, Probe(TARGET_TASK, 32), Workspace.open(workspace))
    path = Path(workspace) / "three.json"
    solve_partition(table, 3).save(path)
    return str(path)


def test_the_best_hybrids_and_the_front_are_written_as_json(
    capsys: pytest.CaptureFixture[str], workspace: str, partition: str, tmp_path: Path
) -> None:
    rules = ["--max-params", "1M", "--max-macs", "2e7", "--min-params", "100k", "--min-models", "2"]
    rules += [
        "--with",
        "swin.clutter",
        "--without-block",
        "vit.clutter:1",
        "--without-block",
        "vit.clutter:2",
    ]
    rules += ["--score", "macs", "--top", "3", "--front", "--json", str(tmp_path / "out.json")]
    status, out, err = run(capsys, "reassemble", partition, *rules, "--workspace", workspace)
    assert (status, err) == (0, "")
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["schema_version"], found["score"], found["complete"]) == (1, "macs", True)
    assert found["rules"]["budget"] == {"max_params": 10**6, "max_macs": 2 * 10**7, "min_params": 10**5}
    assert found["rules"]["forbidden_blocks"] == [["vit.clutter", 0], ["vit.clutter", 1]]
    assert set(found["trust"] or {"tau": 0, "low": 0, "high": 0}) >= {"tau", "low", "high"}
    assert [each["rank"] for each in found["candidates"]] == [1, 2, 3]
    for each in (*found["candidates"], *found["front"]):
        models = [block["model"] for block in each["blocks"]]
        assert "swin.clutter" in models
        assert "vit.clutter" not in models[:2]
        assert 10**5 <= each["params"] <= 10**6
        assert each["measured"] == each["predicted"] == each["macs"] <= 2 * 10**7
    best = found["candidates"][0]
    assert best["macs"] == max(each["macs"] for each in found["front"])
    assert json.loads(Path(best["hybrid"]).read_text())["macs"] == best["macs"]
    assert re.search(rf"\b{best['params']:,} +{best['macs']:,}\b", out), "a limit may be typed as it stands"
    assert "All trade-offs between params, MACs and score" in out
    assert "#MACs" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--max-params", "10"], "the nearest"),
        (["--score", "naswott"], "did you mean 'naswot'"),
        (["--score", "MACs"], "did you mean 'macs'"),
        (["--with", "vit.cluter"], "did you mean 'vit.clutter'"),
        (["--without-block", "vit.clutter:4"], "its stages are 1 to 3"),
        (["--with", "vit.clutter", "--without", "vit.clutter"], "both required and forbidden"),
        (["--min-models", "3", "--max-models", "2"], "contradict each other"),
        (["--min-macs", "9M", "--max-macs", "1M"], "contradict each other"),
        (["--min-models", "4"], "impossible with 3 networks"),
        (["--json", "/"], "is a folder"),
    ],
)
def test_rules_that_no_hybrid_keeps_are_one_line_before_any_measuring(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, partition: str, words: list[str], complaint: str
) -> None:
    status, _, err = run(capsys, "reassemble", partition, *words, "--workspace", str(tmp_path))
    assert status == 2
    assert complaint in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "scores").exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--with", "swin.cluter"], "did you mean 'swin.clutter'"),
        (["--without-block", "vit.clutter:4"], "vit.clutter has no stage 4"),
        (["--with", "vit.clutter", "--without", "vit.clutter"], "both required and forbidden"),
    ],
)
def test_a_mistake_in_the_rules_is_told_before_anything_is_priced(
    capsys: pytest.CaptureFixture[str],
    workspace: str,
    partition: str,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    complaint: str,
) -> None:
    priced = []
    monkeypatch.setattr("dery_core.jobs.ScoringSpec.priced", lambda *_: priced.append(1))
    status, _, err = run(capsys, "reassemble", partition, *words, "--workspace", workspace)
    assert status == 2
    assert complaint in err
    assert not priced


def test_what_is_no_partition_is_told(
    capsys: pytest.CaptureFixture[str], workspace: str, partition: str, tmp_path: Path
) -> None:
    table = next((Path(workspace) / "tables").glob("*.npz"))
    broken = json.loads(Path(partition).read_text())
    broken["blocks"][0][0]["first_node"] = "x"
    figures = {"schema_version": 1, "blocks": {}, "anchors": [], "objective": 1.0}
    for name, data in (("broken", broken), ("figures", figures), ("list", [1])):
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    (tmp_path / "half.json").write_text(Path(partition).read_text()[:200])
    for path, complaint in (
        (table, "is a table: cut it with `dery partition`"),
        (tmp_path / "broken.json", "field 'first_node' is \"x\""),
        (tmp_path / "figures.json", "wrote for --json"),
        (tmp_path / "list.json", "is not a partition"),
        (tmp_path / "half.json", "is not valid JSON"),
        (tmp_path, "is a folder"),
    ):
        status, _, err = run(capsys, "reassemble", str(path), "--workspace", str(tmp_path))
        assert status == 2
        assert complaint in err
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [["reassemble", "missing.json"], ["partition", "missing.npz"], ["partition", "--table", "no.npz"]],
)
def test_a_missing_file_is_told_before_torch_is_imported(words: list[str]) -> None:
    script = (
        f"import sys; from dery_core.cli import main; s = main({words!r}); print(s, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["2", "False"]
    assert "does not exist" in done.stderr


def test_a_long_scoring_can_be_left_to_a_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, partition: str
) -> None:
    monkeypatch.setattr("dery_core.jobs.scored._QUICK_SECONDS", 0.0)
    begun: list[Path] = []
    monkeypatch.setattr("dery_core.jobs.scoring.ScoringRun.start", lambda run: begun.append(run.path))
    words = ["reassemble", partition, "--score", "naswot", "--workspace", str(tmp_path)]
    assert run(capsys, "runs", "--workspace", str(tmp_path))[1] == "No runs yet.\n"
    status, out, _ = run(capsys, *words, "--background")
    assert (status, len(begun)) == (0, 1)
    assert f"dery runs show {begun[0].name}" in out
    status, out, _ = run(capsys, "runs", "--workspace", str(tmp_path))
    assert re.search(r"scoring +NASWOT, 3 networks in 3 blocks .*queued", out)
    status, _, _ = run(capsys, *words)
    assert status == 0
    status, out, _ = run(capsys, "runs", "show", begun[0].name, "--workspace", str(tmp_path))
    assert re.search(r"finished +27/27 hybrids", out)
    assert "27 measured, all hybrids there are" in out
    status, out, _ = run(capsys, *words, "--background")
    assert len(begun) == 1, "what is measured needs no run"
    assert "No run is needed" in out
    assert "stage 3" in out


def test_the_zoo_is_listed_and_checked(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "zoo")
    assert status == 0
    assert all(model in out for model in MODELS)
    status, out, _ = run(capsys, "zoo", "check", *MODELS)
    assert status == 0
    assert all(re.search(rf"{model} +right +yes", out) for model in MODELS)


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
    status, out, _ = run(capsys, "graph", "vit.clutter")
    assert status == 0
    assert "blocks.3" in out
    assert "9 nodes" in out
    assert "bit-equal" in out
    assert "random weights" not in out


def test_a_network_of_timm_is_cut_with_random_weights(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, _ = run(capsys, "graph", "test_resnet", "--json", str(tmp_path / "graph.json"))
    assert status == 0
    assert "random weights" in out
    [network] = json.loads((tmp_path / "graph.json").read_text())["networks"]
    assert (network["name"], network["weights"]) == ("test_resnet", "random")
    assert len(network["chain"]) == network["nodes"] + 1
    assert sum(node["macs"] for node in network["chain"]) == network["macs"]
    assert sum(node["share"] for node in network["chain"]) == pytest.approx(1)
    assert network["chain"][0]["takes"]["height"] == network["input_size"][1]


def test_a_whole_zoo_is_cut_and_who_is_refused_is_told(
    capsys: pytest.CaptureFixture[str], toy_zoo_path: Path, tmp_path: Path
) -> None:
    status, out, _ = run(capsys, "--zoo", str(toy_zoo_path), "graph", "all")
    assert status == 0
    assert all(re.search(rf"{name} .*yes", out) for name in ("toy_resnet", "toy_vit"))
    models = json.loads(toy_zoo_path.read_text())["models"]
    models[0]["weights"] = "gone.safetensors"
    (tmp_path / "zoo.json").write_text(json.dumps(models[:1]))
    status, out, err = run(capsys, "graph", str(tmp_path / "zoo.json"), "--json", "-")
    assert status == 2
    assert "1 of 1 networks" in err
    assert "is missing" in json.loads(out)["networks"][0]["refused"]


def test_a_network_of_ones_own_is_added_used_and_removed(
    capsys: pytest.CaptureFixture[str], toy_zoo_path: Path, tmp_path: Path
) -> None:
    home = ["--workspace", str(tmp_path)]
    words = ["--weights", str(toy_zoo_path.parent / "toy_resnet.safetensors"), "--name", "mine"]
    words += ["--architecture", "resnet10t", "--kwargs", '{"channels": [8, 8, 16, 16], "stem_width": 8}']
    words += ["--input-size", "16", "--mean", ".5", ".5", ".5", "--source-task", "flowers"]
    status, out, err = run(capsys, "zoo", "add", *words, *home)
    assert (status, err) == (0, "")
    assert "16×16 pixels, mean 0.5 0.5 0.5, std 0.229 0.224 0.225" in out
    path = Path(out.splitlines()[-1])
    assert path == tmp_path / "zoo" / "zoo.yaml"
    assert load_zoo(path).model("mine").model_kwargs["num_classes"] == 4
    status, out, _ = run(capsys, "zoo", *home)
    assert re.search(r"mine +resnet +flowers", out)
    assert "vit.clutter" in out
    status, out, _ = run(capsys, "zoo", "check", "mine", *home)
    assert re.search(r"mine +right +yes", out)
    assert run(capsys, "graph", "mine", *home)[0] == 0
    assert run(capsys, "zoo", "add", *words, *home)[0] == 2
    status, out, _ = run(capsys, "zoo", "remove", "mine", *home)
    assert status == 0
    assert "mine.safetensors" in out
    assert "mine" not in load_zoo(path).names


def test_a_zoo_that_is_named_is_added_to(
    capsys: pytest.CaptureFixture[str], toy_zoo_path: Path, tmp_path: Path
) -> None:
    for file in toy_zoo_path.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    zoo = tmp_path / toy_zoo_path.name
    toy = load_zoo(zoo).model("toy_vit")
    words = ["--weights", str(tmp_path / toy.weights), "--architecture", toy.architecture]
    kwargs = " ".join(f"{name}={json.dumps(value)}" for name, value in toy.model_kwargs.items())
    words += ["--kwargs", kwargs, "--input-size", "16", "16"]
    assert run(capsys, "--zoo", str(zoo), "zoo", "add", "--name", "again", *words)[0] == 0
    assert load_zoo(zoo).names == ("toy_resnet", "toy_vit", "again")
    assert re.search(r"again +vision_transformer +not told", run(capsys, "--zoo", str(zoo), "zoo")[1])


def test_timms_networks_are_searched(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "zoo", "search", "resnet18", "tv")
    assert status == 0
    assert "resnet18.tv_in1k" in out
    assert "resnet18.a1_in1k" not in out
    status, out, _ = run(capsys, "zoo", "search", "resnet", "--limit", "2")
    assert re.search(r"^\d+ networks, \d+ of them not shown", out, re.MULTILINE)


def test_a_search_that_needs_accuracies_says_how_to_go_without(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("dery_core.zoo.pretrained.RESULTS", "http://127.0.0.1:9/results.csv")
    status, _, err = run(
        capsys, "zoo", "search", "resnet18", "--min-top1", "70", "--workspace", str(tmp_path)
    )
    assert status == 2
    assert "or search without --min-top1" in err
    assert len(err.splitlines()) == 1


def test_the_demo_shows_the_embedded_zoo_whatever_one_keeps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, toy_zoo_path: Path, tmp_path: Path
) -> None:
    seen: list[Path] = []

    def stop(workspace: Workspace, zoo: Zoo, **settings: object) -> None:
        seen.append(zoo.path)
        raise DeryError("that is enough.")

    monkeypatch.setattr("dery_core.demo.run_demo", stop)
    monkeypatch.setenv("DERY_ZOO", str(toy_zoo_path))
    run(capsys, "demo", "--workspace", str(tmp_path))
    run(capsys, "demo", "--workspace", str(tmp_path), "--zoo", str(toy_zoo_path))
    assert seen == [EMBEDDED_ZOO, toy_zoo_path]


def test_similarity_writes_its_table_as_json(
    capsys: pytest.CaptureFixture[str], workspace: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.json"
    settings = ["--images", "32", "--measure", "rbf-cka", "--unbiased", "--batch", "16", "--memory", "50M"]
    status, out, _ = run(
        capsys, "similarity", *MODELS, *settings, "--json", str(path), "--workspace", workspace
    )
    assert status == 0
    assert "RBF CKA, unbiased, minibatches of 16" in out
    table = json.loads(path.read_text())
    assert Path(out.splitlines()[-1]).stem == table["key"]
    assert table["models"] == list(MODELS)
    assert table["comparison"]["batch"] == 16
    assert table["probe"]["count"] == 32
    assert len(table["values"]) == len(table["cuts"])


def test_similarity_offers_every_measure(capsys: pytest.CaptureFixture[str]) -> None:
    from dery_core.similarity import MEASURES

    with pytest.raises(SystemExit):
        main(["similarity", "--help"])
    offered = re.findall(r"--measure \{([^}]*)\}", capsys.readouterr().out)
    assert set(offered[0].split(",")) == set(MEASURES)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["similarity", "vit.clutter"], "at least two"),
        (["similarity", "vit.cluter", "swin.clutter"], "did you mean 'vit.clutter'"),
        (["similarity", "--measure", "cca"], "invalid choice: 'cca'"),
        (["similarity", "--measure", "svcca", "--unbiased"], "have an unbiased form"),
        (["similarity", "--batch", "64"], "only be summed in the unbiased form"),
        (["similarity", "--memory", "lots"], "'lots' is not a count"),
        (["similarity", "--json", "/"], "is a folder"),
        (["graph", "vit.cluter"], "did you mean 'vit.clutter'"),
        (["graph", "resnt18"], "neither in the zoo"),
        (["graph", "resnet18.nope"], "no weights 'resnet18.nope'"),
        (["graph", "vit.clutter", "--json", "/dev/null/x/y.json"], "/dev/null/x can't be written"),
        (["zoo", "add"], "--architecture and --weights"),
        (["zoo", "add", "resnet18", "--weights", "x.pth"], "--architecture and --weights"),
        (
            ["zoo", "add", "--architecture", "resnet18", "--weights", "nowhere.pth"],
            "nowhere.pth does not exist",
        ),
        (
            ["zoo", "add", "--weights", "x", "--architecture", "resnet18", "--kwargs", "3"],
            "nor a JSON object",
        ),
        (["zoo", "add", "resnet18.a1"], "did you mean"),
        (["zoo", "remove", "vit.clutter"], "the embedded zoo stays as it is"),
        (["zoo", "check", "vit.cluter"], "did you mean 'vit.clutter'"),
        (["zoo", "search", "--max-params", "lots"], "'lots' is not a count"),
        (["partition", "nowhere.npz"], "nowhere.npz"),
        (["partition", "x.npz", "--max-seconds", "nan"], "nan is not a number from 0"),
        (["partition", "x.npz", "--max-seconds", "inf"], "inf is not a number from 0"),
        (["reassemble", "nowhere.json"], "nowhere.json does not exist"),
        (["reassemble", "x.json", "--max-params", "lots"], "'lots' is not a count"),
        (["tune", "--member", "vit.clutter", "--epochs", "0"], "epochs"),
        (["tune", "--member", "vit.clutter", "--device", "cuda:99"], "cuda:99"),
        (["tune", "--member", "vit.clutter", "--seed", "-1"], "--seed: -1 is not a whole number from 0"),
        (["reassemble", "x.json", "--min-macs", "-3"], "'-3' is not a count"),
        (["reassemble", "x.json", "--min-params", "abc"], "'abc' is not a count"),
        (["reassemble", "x.json", "--without-block", "vit.clutter"], "'vit.clutter' is not MODEL:STAGE"),
        (["reassemble", "x.json", "--with-block", "vit.clutter:0"], "'vit.clutter:0' is not MODEL:STAGE"),
        (["reassemble", "x.json", "--json", ""], "--json: the name is empty: give a file"),
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


def test_the_server_ends_with_the_command(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dery_core.cli", "--workspace", str(tmp_path), "app", "--headless"]
    app = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.PIPE, start_new_session=True)
    assert app.stdout is not None
    try:
        # streamlit prints its address when it serves
        assert any(str(port) in line.decode() for line in app.stdout)
        app.terminate()
        app.wait(60)
        with socket.socket() as left_over, pytest.raises(ConnectionRefusedError):
            left_over.connect(("localhost", port))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(app.pid, signal.SIGKILL)
        app.wait()
        app.stdout.close()


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
    assert re.search(rf"{damaged.name} [ –]+damaged", out)
    assert re.search(rf"{whole.name} +training +toy_resnet +frozen, closed-form start +finished", out)


def test_an_ascii_terminal_gets_question_marks_and_no_traceback() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "dery_core.cli", "graph", "resnet_s.clutter"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 ? 32?32" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["zoo", "add", "resnet18", "--classes", "3"], "--classes describes a network of your own"),
        (["zoo", "search", "--family", "swim_transformer"], "did you mean .*'swin_transformer'"),
        (["graph", "nofile.yaml"], "nofile.yaml does not exist"),
        (["graph", "resnet18", "--json", "."], "is a folder: give --json a file"),
    ],
)
def test_words_that_do_not_fit_are_told_before_any_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], said: str
) -> None:
    status, _, err = run(capsys, *words, "--workspace", str(tmp_path))
    assert status == 2
    assert re.search(said, err)


def test_a_member_of_unknown_architecture_is_listed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    members = json.loads(EMBEDDED_ZOO.read_text())["models"][:1]
    path = tmp_path / "zoo.json"
    path.write_text(json.dumps([{**members[0], "architecture": "nosuch"}]))
    status, out, _ = run(capsys, "zoo", "list", "--zoo", str(path))
    assert status == 0
    assert members[0]["name"] in out
