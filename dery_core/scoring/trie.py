"""Scores of many hybrids, what they share run once.

Hybrids in sorted order that begin with the same blocks are neighbours in the trie of choices; a walk
down the trie runs every common beginning once and keeps at most K states.
"""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

State = TypeVar("State")

Values = dict[str, float | None]
"""Measured values by the name of the score; None where a hybrid can't be scored."""


class Measurer(Protocol):
    """Measures the scores of one family on one hybrid after another."""

    def measure(self, choice: Sequence[int]) -> Values:
        """Values of the candidate `choice` (K model indices). Depends on nothing measured before."""
        ...


class Carrier(Protocol[State]):
    """Carries a hybrid's state from stage to stage. No step may change the state that it gets."""

    def first(self, i: int) -> State:
        """Behind stage 0 of model i."""
        ...

    def then(self, state: State, k: int, left: int, right: int) -> State:
        """Behind stage k ≥ 1 of model `right`, from the state behind stage k-1 of model `left`."""
        ...

    def values(self, state: State, choice: Sequence[int]) -> Values:
        """The scores of `choice`, from the state behind its last stage."""
        ...


class Trie(Generic[State]):
    """A measurer that shares the first stages of two choices measured one after the other.

    Measures what `alone` does, bit for bit: in sorted order with the fewest steps.
    """

    def __init__(self, carrier: Carrier[State]) -> None:
        self._carrier = carrier
        self._prefix: tuple[int, ...] = ()
        self._states: list[State] = []

    def measure(self, choice: Sequence[int]) -> Values:
        """Values of `choice`, from the last choice's states as far as the two agree."""
        shared = 0
        while shared < len(self._states) and choice[shared] == self._prefix[shared]:
            shared += 1
        del self._states[shared:]
        self._prefix = tuple(choice)
        for k in range(shared, len(choice)):
            self._states.append(_step(self._carrier, self._states, choice, k))
        return self._carrier.values(self._states[-1], choice)


def alone(carrier: Carrier[State], choice: Sequence[int]) -> Values:
    """Values of one choice, every stage of it run."""
    state = carrier.first(choice[0])
    for k in range(1, len(choice)):
        state = carrier.then(state, k, choice[k - 1], choice[k])
    return carrier.values(state, choice)


def _step(carrier: Carrier[State], states: list[State], choice: Sequence[int], k: int) -> State:
    if k == 0:
        return carrier.first(choice[0])
    return carrier.then(states[k - 1], k, choice[k - 1], choice[k])
