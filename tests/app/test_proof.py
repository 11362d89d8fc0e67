"""A partition is answered at once and proved behind; hybrids wait for the proof."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st

from app import proof, steps, work
from app.proof import Answer, Blocks, Cutting, Proof
from dery_core.data import Probe
from dery_core.errors import Cancelled
from dery_core.partition import Block, Partition
from dery_core.progress import Progress, ProgressFn
from dery_core.similarity import Comparison
from dery_core.zoo import Zoo, ZooModel

NAMES = ("a", "b")
HOW = Cutting(2, 0.2, "params", "staged")
QUICK = Partition(
    k=2,
    epsilon=0.2,
    size="params",
    models=NAMES,
    blocks=tuple((Block(name, 0, 0), Block(name, 1, 1)) for name in NAMES),
    sets=((0, 1), (0, 1)),
    similarity=((2.0, 1.0), (1.0, 2.0)),
    anchors=(Block("a", 0, 0), Block("b", 1, 1)),
    objective=6.0,
    upper_bound=7.0,
    limits=(1.2, 1.2),
    trace=((6.0, 7.0),),
)
BETTER = dataclasses.replace(QUICK, similarity=((2.0, 1.4), (1.4, 2.0)), objective=6.8)
PROVED = dataclasses.replace(BETTER, upper_bound=6.8)


class Solver:
    """Stands in for the engine: an answer at once, and one that is proved when `go` is set."""

    def __init__(self) -> None:
        self.first, self.last = QUICK, PROVED
        self.go, self.proving = threading.Event(), threading.Event()
        self.warm: list[Partition | None] = []

    def __call__(
        self,
        table: Any,
        *settings: Any,
        max_seconds: float,
        report: ProgressFn,
        warm: Partition | None,
        **others: Any,
    ) -> Partition:
        self.warm.append(warm)
        if max_seconds < 1:
            return self.first
        while not self.go.wait(0.01):
            self.proving.set()
            report(Progress("Partition", 0, 1, "nodes", 0.0))
        return self.last


@pytest.fixture
def solver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Solver]:
    half = (0.5, 0.5, 0.5)
    made = Zoo(Path("zoo.json"), tuple(ZooModel(n, "r", "w", "t", (3, 8, 8), half, half) for n in NAMES))
    solver = Solver()
    table = SimpleNamespace(key="table")
    monkeypatch.setenv("DERY_HOME", str(tmp_path))
    monkeypatch.setattr(steps, "zoo", lambda: made)
    monkeypatch.setattr(steps, "probe", lambda: Probe("t", 2))
    monkeypatch.setattr(steps, "comparison", Comparison)
    monkeypatch.setattr(steps, "table", lambda names: (work.start("table", lambda report: table), "table"))
    monkeypatch.setattr(proof, "solve_partition", solver)
    monkeypatch.setattr(proof, "REST_SECONDS", 0.0)
    st.session_state.pop(proof.PROVING, None)
    yield solver
    solver.go.set()
    restart()


def restart() -> None:
    """What a server forgets when it ends."""
    work._works.clear()
    proof._last.clear()
    st.session_state.pop(proof.PROVING, None)


def blocks(how: Cutting = HOW) -> Blocks:
    return steps.blocks(NAMES, how)


def answered(how: Cutting = HOW) -> Partition:
    return blocks(how).answer().follow()


def proving(solver: Solver) -> Answer | Proof:
    """The proof, once the engine is at it."""
    solver.proving.clear()
    found = blocks().proof()
    assert solver.proving.wait(10)
    return found


def test_an_answer_is_there_while_its_proof_goes_on(solver: Solver) -> None:
    assert answered() == QUICK
    found = proving(solver)
    assert not found.finished
    assert blocks().best() == QUICK
    assert blocks().final() is None, "hybrids wait for the proof"
    solver.go.set()
    assert found.follow() == PROVED
    assert blocks().final() == blocks().best() == PROVED


def test_what_is_proved_at_once_is_not_proved_again(solver: Solver) -> None:
    solver.first = PROVED
    answered()
    assert blocks().proof().follow() == PROVED
    assert blocks().final() == PROVED
    assert len(solver.warm) == 1


def test_a_proof_ended_by_a_visitor_leaves_the_best_found_to_hybrids(solver: Solver) -> None:
    answered()
    found = proving(solver)
    blocks().enough()
    assert found.follow() == QUICK
    assert blocks().final() == QUICK
    assert blocks().proof() is found, "it doesn't begin again by itself"


def test_enough_before_there_is_an_answer_waits_for_it_and_stops_no_other_work(
    solver: Solver, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, started = threading.Event(), threading.Event()

    def compare(report: ProgressFn) -> Any:
        while not compared.wait(0.01):
            report(Progress("Features", 0, 1, "images", 0.0))
            started.set()
        return SimpleNamespace(key="table")

    monkeypatch.setattr(steps, "table", lambda names: (work.start("slow table", compare), "slow table"))
    found = blocks().proof()
    assert started.wait(10)
    blocks().enough()
    assert not found.wait(0.3)
    compared.set()
    assert found.follow() == QUICK
    assert steps.table(NAMES)[0].succeeded


def test_enough_that_comes_too_late_ends_no_later_proof(solver: Solver) -> None:
    answered()
    solver.last = QUICK
    solver.go.set()
    blocks().proof().follow()
    blocks().enough()
    solver.go.clear()
    blocks().go_on()
    again = proving(solver)
    answered(Cutting(3, 0.2, "params", "staged"))
    with pytest.raises(Cancelled):
        again.follow()
    assert blocks().final() is None, "leaving a page ends no proof"
    assert blocks().proof().follow() == QUICK, "what had ended before is kept"


def test_an_ended_proof_goes_on_from_the_best_it_found_which_is_shown_meanwhile(solver: Solver) -> None:
    solver.last = BETTER
    solver.go.set()
    answered()
    assert blocks().proof().follow() == BETTER
    solver.go.clear()
    blocks().go_on()
    again = proving(solver)
    assert not again.finished
    assert solver.warm[-1] == BETTER
    assert again.best == blocks().best() == BETTER


@pytest.mark.parametrize("end", [BETTER, PROVED])
def test_what_a_proof_ended_with_is_there_at_once_after_a_restart(solver: Solver, end: Partition) -> None:
    solver.last = end
    solver.go.set()
    answered()
    blocks().proof().follow()
    restart()
    solver.first = solver.last = QUICK
    solved = len(solver.warm)
    assert answered() == end
    assert blocks().proof().follow() == end
    assert blocks().final() == end
    assert len(solver.warm) == solved, "nothing was solved"


def test_a_best_found_that_a_visitor_settled_for_is_kept_until_a_better_one_comes(solver: Solver) -> None:
    answered()
    found = proving(solver)
    blocks().enough()
    found.follow()
    restart()
    assert answered() == QUICK
    blocks().go_on()
    solver.go.set()
    assert blocks().proof().follow() == PROVED
    restart()
    assert answered() == PROVED


def test_a_worse_end_never_replaces_a_kept_one(solver: Solver) -> None:
    solver.last = BETTER
    solver.go.set()
    answered()
    blocks().proof().follow()
    solver.last = QUICK
    blocks().go_on()
    assert blocks().proof().follow() == BETTER
    restart()
    assert answered() == BETTER


def test_a_damaged_file_is_made_anew(solver: Solver, tmp_path: Path) -> None:
    solver.first = PROVED
    answered()
    (kept,) = (tmp_path / "partitions").glob("*.json")
    kept.write_text("{")
    restart()
    assert answered() == PROVED
    restart()
    solver.first = QUICK
    assert answered() == PROVED


def test_where_nothing_can_be_kept_there_are_blocks_all_the_same(solver: Solver, tmp_path: Path) -> None:
    (tmp_path / "partitions").write_text("a file where the folder should be")
    solver.go.set()
    answered()
    assert blocks().proof().follow() == PROVED


@pytest.mark.parametrize("other", [Cutting(3, 0.2, "params", "staged"), Cutting(2, 0.2, "params", "free")])
def test_a_visitor_who_moves_on_leaves_the_proof_which_begins_anew_when_asked_for(
    solver: Solver, other: Cutting
) -> None:
    answered()
    found = proving(solver)
    answered(other)
    with pytest.raises(Cancelled):
        found.follow()
    again = blocks().proof()
    assert again is not found
    solver.go.set()
    assert again.follow() == PROVED


def test_no_proof_begins_for_a_visitor_who_is_still_moving_the_slider(
    solver: Solver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "REST_SECONDS", 30.0)
    answered()
    found = blocks().proof()
    answered(Cutting(3, 0.2, "params", "staged"))
    with pytest.raises(Cancelled):
        found.follow()
    assert len(solver.warm) == 2, "two answers and no proof"


def test_the_next_answer_begins_at_the_last_one(solver: Solver) -> None:
    answered()
    answered(Cutting(3, 0.2, "params", "staged"))
    assert solver.warm == [None, QUICK]


def changed(**fields: Any) -> Callable[[Partition], Partition]:
    return lambda partition: dataclasses.replace(partition, **fields)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (changed(upper_bound=6.0, trace=()), True),
        (changed(epsilon=0.3), True),
        (changed(sets=((1, 0), (0, 1))), False),
    ],
)
def test_hybrids_are_made_anew_only_where_blocks_or_sets_changed(
    solver: Solver, change: Callable[[Partition], Partition], same: bool
) -> None:
    first, second = (steps.assembly_key(NAMES, parts, "naswot") for parts in (QUICK, change(QUICK)))
    assert (first == second) == same
