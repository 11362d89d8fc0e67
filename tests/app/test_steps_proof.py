"""A partition is answered at once and proved behind; hybrids wait for the proof."""

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from app import steps, work
from app.steps import Cutting
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
PROVED = dataclasses.replace(QUICK, upper_bound=6.0)


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
def solver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Solver]:
    half = (0.5, 0.5, 0.5)
    made = Zoo(Path("zoo.json"), tuple(ZooModel(n, "r", "w", "t", (3, 8, 8), half, half) for n in NAMES))
    solver = Solver()
    monkeypatch.setattr(steps, "zoo", lambda: made)
    monkeypatch.setattr(steps, "probe", lambda: Probe("t", 2))
    monkeypatch.setattr(steps, "comparison", Comparison)
    monkeypatch.setattr(steps, "table", lambda names: (work.start("table", lambda report: None), "table"))
    monkeypatch.setattr(steps, "solve_partition", solver)
    monkeypatch.setattr(steps, "REST_SECONDS", 0.0)
    st.session_state.pop(steps._PROVING, None)
    yield solver
    solver.go.set()
    for store in (work._works, steps._enough, steps._better, steps._last):
        store.clear()


def answered(how: Cutting = HOW) -> Partition:
    return steps.partition(NAMES, how)[0].follow()


def test_an_answer_is_there_while_its_proof_goes_on(solver: Solver) -> None:
    assert answered() == QUICK
    proof, _ = steps.proof(NAMES, HOW)
    assert solver.proving.wait(10)
    assert not proof.finished
    assert steps.final(NAMES, HOW) is None, "hybrids wait for the proof"
    solver.go.set()
    assert proof.follow() == PROVED
    assert steps.final(NAMES, HOW) == PROVED


def test_what_is_proved_at_once_is_not_proved_again(solver: Solver) -> None:
    solver.first = PROVED
    answered()
    assert steps.proof(NAMES, HOW)[0].follow() == PROVED
    assert steps.final(NAMES, HOW) == PROVED
    assert len(solver.warm) == 1


def test_a_proof_ended_by_a_visitor_leaves_the_best_found_to_hybrids(solver: Solver) -> None:
    answered()
    proof, key = steps.proof(NAMES, HOW)
    assert solver.proving.wait(10)
    steps.enough(key)
    assert proof.follow() == QUICK
    assert steps.final(NAMES, HOW) == QUICK
    assert steps.proof(NAMES, HOW)[0] is proof, "it doesn't begin again by itself"


def test_an_ended_proof_goes_on_from_the_best_it_found(solver: Solver) -> None:
    better = dataclasses.replace(QUICK, similarity=((2.0, 1.4), (1.4, 2.0)), objective=6.8)
    answered()
    solver.last = better
    solver.go.set()
    proof, key = steps.proof(NAMES, HOW)
    assert proof.follow() == better
    steps.go_on(key)
    steps.proof(NAMES, HOW)[0].follow()
    assert solver.warm[-1] == better


@pytest.mark.parametrize("other", [Cutting(3, 0.2, "params", "staged"), Cutting(2, 0.2, "params", "free")])
def test_a_visitor_who_moves_on_leaves_the_proof_which_begins_anew_when_asked_for(
    solver: Solver, other: Cutting
) -> None:
    answered()
    proof, _ = steps.proof(NAMES, HOW)
    assert solver.proving.wait(10)
    answered(other)
    with pytest.raises(Cancelled):
        proof.follow()
    again, _ = steps.proof(NAMES, HOW)
    assert again is not proof
    solver.go.set()
    assert again.follow() == PROVED


def test_no_proof_begins_for_a_visitor_who_is_still_moving_the_slider(
    solver: Solver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "REST_SECONDS", 30.0)
    answered()
    proof, _ = steps.proof(NAMES, HOW)
    answered(Cutting(3, 0.2, "params", "staged"))
    with pytest.raises(Cancelled):
        proof.follow()
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
    source = steps.zoo()
    first, second = (steps._assembly_key(source, NAMES, parts) for parts in (QUICK, change(QUICK)))
    assert (first == second) == same
