"""The demo: the main job from end to end, on a part of the embedded zoo."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dery_core.data import TARGET_TASK, Probe, load_task, preprocess, probe_images
from dery_core.demo import DemoReport, best_hybrid, outcome, print_report, run_demo
from dery_core.modules import cpu_threads
from dery_core.partition import Block
from dery_core.reassembly import BlockFacts, Budget, Candidates, load_hybrid
from dery_core.scoring import DEFAULT_SCORE, Measured, Scores
from dery_core.search import LinearScore
from dery_core.workspace import Workspace
from dery_core.zoo import Layout, embedded_zoo, member_cost

MEMBERS = ("resnet_s.clutter", "regnet.clutter", "convnext.larger", "poolformer.larger")
README = Path(__file__).resolve().parents[1] / "README.md"
LOGITS = """
import sys, torch
from pathlib import Path
from dery_core.data import Probe, preprocess, probe_images
from dery_core.reassembly import load_hybrid
torch.set_num_threads(1)
hybrid, spec = load_hybrid(Path(sys.argv[1]))
with torch.inference_mode():
    logits = hybrid(preprocess(probe_images(Probe(sys.argv[2], 8)), spec.source))
torch.save(logits, sys.argv[3])
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DemoReport:
    workspace = Workspace.open(tmp_path_factory.mktemp("workspace"))
    return run_demo(workspace, embedded_zoo().subset(MEMBERS), workers=2)


def test_the_hybrid_keeps_to_its_budget_and_takes_blocks_of_two_networks(report: DemoReport) -> None:
    assert report.budget.allows(report.hybrid.params, report.hybrid.macs)
    assert [block.stage for block in report.blocks] == [1, 2, 3, 4]
    assert len({block.model for block in report.blocks}) >= 2
    assert report.objective <= report.upper_bound
    assert report.score == DEFAULT_SCORE
    assert report.score_value is not None
    assert report.naswot != report.score_value, "the paper's score is told beside the one it was chosen by"
    assert 0 < report.hybrid.trainable_params < report.hybrid.params


def test_every_member_within_the_budget_is_tuned_and_no_other(report: DemoReport) -> None:
    zoo = embedded_zoo()
    classes = len(load_task(TARGET_TASK).classes)
    within = {name for name in MEMBERS if report.budget.allows(*member_cost(zoo.model(name), classes))}
    assert {member.name for member in report.members} == within
    assert 0 < len(within) < len(MEMBERS)


def test_tuning_brings_the_hybrid_well_above_chance(report: DemoReport) -> None:
    chance = 100 / len(load_task(TARGET_TASK).classes)
    assert report.hybrid.top1 > 2 * chance
    assert report.hybrid.top1 > report.hybrid.top1_before


def test_the_tuned_hybrid_gives_the_same_logits_in_a_new_process(report: DemoReport, tmp_path: Path) -> None:
    folder = Path(report.hybrid.run) / "weights"
    hybrid, spec = load_hybrid(folder)
    # Sums depend on the number of threads in the last bit.
    with torch.inference_mode(), cpu_threads(1):
        here = hybrid(preprocess(probe_images(Probe(TARGET_TASK, 8)), spec.source))
    there = tmp_path / "logits.pt"
    subprocess.run([sys.executable, "-c", LOGITS, str(folder), TARGET_TASK, str(there)], check=True)
    assert torch.equal(here, torch.load(there, weights_only=True))


def test_of_hybrids_that_measure_alike_the_first_found_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    zoo = embedded_zoo().subset(MEMBERS[:2])
    layout = Layout("map", 8, 4, 4)
    blocks = tuple(
        tuple(BlockFacts(Block(name, k, k), "", "", 10, 10, layout, layout) for k in range(2))
        for name in zoo.names
    )
    options = Candidates(zoo.names, blocks, ((0, 1),) * 2, num_classes=4)
    linear = LinearScore(0.0, ((2.0, 1.0), (1.0, 2.0)))
    alike = tuple(Measured(choice, 0.5) for choice in ((0, 1), (1, 0)))
    scores = Scores("key", DEFAULT_SCORE, Probe(TARGET_TASK, 4), 0, alike, linear)
    monkeypatch.setattr("dery_core.demo.measure", lambda *_: scores)
    best = best_hybrid(zoo, options, scores, Budget(), Workspace.open(tmp_path))
    assert tuple(block.model for block in best.blocks) == zoo.names


def test_the_readme_describes_every_key(report: DemoReport, tmp_path: Path) -> None:
    report.save(tmp_path / "demo.json")
    data = json.loads((tmp_path / "demo.json").read_text())
    assert data["schema_version"] == 1
    described = set(re.findall(r"`(\w+)`", README.read_text()))
    assert keys(data) - described == set()


def keys(data: Any) -> set[str]:
    """Every key of nested JSON, except those of the recipe, which the README sums up."""
    if isinstance(data, list):
        return set().union(*map(keys, data))
    if isinstance(data, dict):
        return set(data).union(*(keys(value) for key, value in data.items() if key != "recipe"))
    return set()


def test_the_table_names_hybrid_and_members(report: DemoReport, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report)
    shown = capsys.readouterr().out
    assert "the hybrid" in shown
    assert all(member.name in shown for member in report.members)
    assert outcome(report) in shown
