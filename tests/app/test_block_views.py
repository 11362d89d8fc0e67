"""What is said of a partition's blocks, in words."""

import dataclasses

import pandas as pd
import pytest

from app.components.block_views import spoken_alone, spoken_freedom, spoken_sets, spoken_step
from app.frames import bounded
from dery_core.partition import Block, Partition


@pytest.fixture
def free() -> Partition:
    """Two networks, two blocks each; b has its first block in the second set."""
    blocks = tuple((Block(name, 0, 1), Block(name, 2, 3)) for name in "ab")
    return Partition(
        k=2,
        epsilon=0.2,
        size="params",
        models=("a", "b"),
        blocks=blocks,
        sets=((0, 1), (1, 1)),
        similarity=((2.0, 2.0), (0.4, 1.2)),
        anchors=blocks[0],
        objective=5.6,
        upper_bound=8.0,
        variant="free",
        trace=((5.6, 8.0),),
    )


BLOCKS = pd.DataFrame(
    {
        "model": ["a", "a", "b", "b"],
        "set": [0, 1, 1, 1],
        "similarity": [2.0, 2.0, 0.4, 1.2],
        "anchor": [True, True, False, False],
    }
)


def test_both_means_are_told_with_what_they_count() -> None:
    said = spoken_sets(BLOCKS)
    assert "without the anchors' own 2: set 2 **0.80**; all sets **0.80**" in said
    assert "With the anchors it is 1.40 a block" in said


def test_a_set_of_one_network_is_said_to_exchange_nothing() -> None:
    assert spoken_alone(BLOCKS).startswith("Set 1 holds blocks of one network only: nothing can be exchanged")
    assert spoken_alone(BLOCKS.assign(set=[0, 1, 2, 2])).startswith("Sets 1, 2 and 3 hold")
    assert spoken_alone(BLOCKS.assign(set=[0, 1, 0, 1])) == ""


def test_blocks_that_left_their_place_are_counted(free: Partition) -> None:
    assert "**3 of 4** blocks still sort by place" in spoken_freedom(free)
    assert "other **1**" in spoken_freedom(free)
    assert "**all 4 blocks** sort" in spoken_freedom(dataclasses.replace(free, sets=((0, 1), (0, 1))))


@pytest.mark.parametrize(
    ("bound", "known", "said"),
    [(8.0, False, "No useful bound yet"), (7.0, True, "nothing to draw yet"), (5.6, True, "already met")],
)
def test_a_bound_of_two_a_block_is_none(free: Partition, bound: float, known: bool, said: str) -> None:
    partition = dataclasses.replace(free, upper_bound=bound)
    assert bounded(partition) is known
    assert said in spoken_step(partition)
