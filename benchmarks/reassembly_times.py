"""How long the searches take to the best hybrid after a slider was moved, all answers compared."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np

from benchmarks.reassembly_quality import better
from dery_core.errors import DeryError
from dery_core.reassembly import Budget, Candidates, Choice
from dery_core.search import Finder, LinearScore, Program, Rules
from dery_core.search.rules import space

Result = TypeVar("Result")
Answer = Choice | None
Best = Callable[[Rules], Answer]
TOPS = (10, 100, 500)
BACKENDS: tuple[Literal["HIGHS", "CBC"], ...] = ("HIGHS", "CBC")


@dataclass(frozen=True)
class Case:
    """A zoo cut into K blocks, with a score."""

    zoo: str
    score: str
    candidates: Candidates
    linear: LinearScore


@dataclass
class Times:
    """Milliseconds of one method, one entry a budget; `stopped` counts those given up at the limit."""

    method: str
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    stopped: int = 0

    def add(self, run: Callable[..., Result], *args: object, most: float = 0.0) -> Result:
        """Run it with `args`, once, by both clocks; TimeoutError after `most` seconds of the CPU, if any."""
        wall, cpu = time.perf_counter(), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, most)
        try:
            return run(*args)
        except TimeoutError:
            self.stopped += 1
            raise
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.cpu.append(1e3 * (time.process_time() - cpu))
            self.wall.append(1e3 * (time.perf_counter() - wall))


@dataclass
class Timed:
    """What was measured of one case."""

    case: Case
    budgets: list[Budget]
    made: Times
    fresh: Times
    looked_up: Times
    front: Times
    points: int
    whole: bool
    infeasible: int
    nearest: Times  # of the infeasible budgets, those beyond the sliders' ends included
    tops: dict[int, Times]
    programs: list[Times] = field(default_factory=list)
    counted: int = 0


def measured(
    case: Case, budgets: Sequence[Budget], tight: Sequence[Budget], every: int, counted: int
) -> Timed:
    """The fast path at every one of `budgets`, best m at one in `every`, the nearest budget to `tight` ones.

    AssertionError when the look-up answers otherwise than a fresh search, when best m isn't best
    first and begins with the best, when the nearest budget has nothing to offer, and when one of
    `counted` optima (evenly spread; one is counted through all candidates) is none.
    """
    made, fresh, looked_up, front = Times("made"), Times("fresh"), Times("look-up"), Times("front")
    finder = made.add(Finder, case.candidates, case.linear)
    rules = [Rules(budget) for budget in budgets]
    answers = [fresh.add(answer, finder, rule) for rule in rules]
    tops = {top: Times(f"best {top}") for top in TOPS}
    for rule, best in list(zip(rules, answers, strict=True))[every // 2 :: every]:
        for top, times in tops.items():
            if best is not None:
                found = times.add(finder.best, rule, top)
                keys = [(-case.linear.terms.at(c.choice), c.macs, c.params, c.choice) for c in found]
                assert keys == sorted(keys), "best m isn't best first"
                assert found[0] == best, "best m doesn't begin with the best"
    missed, nearest = [], Times("nearest")
    for rule in (*rules, *map(Rules, tight)):
        if answer(finder, rule) is None:
            near = nearest.add(finder.nearest, rule)
            assert near is not None, "nothing near"
            assert answer(finder, Rules(near.budget)) is not None, "the nearest budget is infeasible too"
            missed.append((rule.budget, near.excess))
    for budget, excess in missed[:counted]:
        assert not feasible(case, shrunk(budget, excess)), "something is nearer"
    whole = front.add(finder.front, Rules())
    again = [looked_up.add(answer, finder, rule) for rule in rules]
    assert again == answers, "the look-up answers otherwise"
    points = np.linspace(0, len(rules) - 1, counted).round().astype(int)
    for i in points:
        check(case, rules[i].budget, answers[i])
    return Timed(
        case,
        list(budgets),
        made,
        fresh,
        looked_up,
        front,
        len(whole),
        whole.complete,
        answers.count(None),
        nearest,
        tops,
        counted=counted,
    )


def hard(case: Case, budgets: Sequence[Budget], seconds: float) -> Times:
    """Fresh searches alone, each stopped after so many seconds of the CPU.

    AssertionError when the first optimum is none: with K = 4 all candidates are counted through.
    """
    times, finder = Times("fresh"), Finder(case.candidates, case.linear)
    signal.signal(signal.SIGPROF, _stop)
    for i, budget in enumerate(budgets):
        try:
            best = times.add(answer, finder, Rules(budget), most=seconds)
        except TimeoutError:
            continue
        if i == 0 and case.candidates.k <= 4:
            check(case, budget, best)
    return times


def _stop(*_: object) -> None:
    raise TimeoutError


def outside(low: tuple[int, int], seed: int = 0) -> Iterator[Budget]:
    """Twelve budgets below one end of the sliders or both, by up to four fifths."""
    shares = np.random.default_rng(seed).uniform(0.2, 1, (12, 2))
    for i, (params, macs) in enumerate(shares.tolist()):
        yield Budget(None if i % 3 == 0 else int(params * low[0]), None if i % 3 == 1 else int(macs * low[1]))


def answer(finder: Finder, rules: Rules) -> Answer:
    """The best, None where nothing fits."""
    try:
        return finder.best(rules)[0]
    except DeryError:
        return None


def check(case: Case, budget: Budget, found: Answer) -> None:
    """AssertionError unless counting through all candidates says the same."""
    level = np.array([0 if found is None else case.linear.terms.at(found.choice)], np.int64)
    above, total = better(case.candidates, case.linear, budget, level)
    assert bool(total) == (found is not None), "feasible for the one, infeasible for the other"
    assert found is None or not above[0], "there is a better one"


def feasible(case: Case, budget: Budget) -> int:
    """How many candidates keep `budget`."""
    return better(case.candidates, case.linear, budget, np.zeros(1, np.int64))[1]


def shrunk(budget: Budget, excess: float) -> Budget:
    """`budget` with its limits given way by a little less than `excess`."""
    share = excess * (1 - 1e-9) - 1e-9

    def given(limit: int | None) -> int | None:
        return None if limit is None else int(np.floor(limit * (1 + share)))

    return Budget(given(budget.max_params), given(budget.max_macs))


def programs(timed: Timed, every: int, seconds: float) -> None:
    """Add the 0-1 program's times at one in `every` budgets, by both solvers: one solve each, the model's
    making included.

    AssertionError when one that ends answers otherwise than the fast path.
    """
    case = timed.case
    finder = Finder(case.candidates, case.linear)
    for backend in BACKENDS:
        program = Program(case.candidates, case.linear, backend, seconds)
        times = Times(backend)
        for budget in timed.budgets[every // 2 :: every]:
            here = space(case.candidates, Rules(budget))
            try:
                # `best` would solve again, to see whether others tie.
                chosen = times.add(program._solve, here, -case.linear.terms, here.limits, ())
            except TimeoutError:
                continue
            best = answer(finder, Rules(budget))
            agreed = _value(case, chosen) == _value(case, None if best is None else best.choice)
            assert agreed, f"{backend} answers otherwise"
        timed.programs.append(times)


def _value(case: Case, choice: tuple[int, ...] | None) -> int | None:
    """The score in quanta."""
    return None if choice is None else case.linear.terms.at(choice)
