"""What is known of blocks, in words."""

import dataclasses

import pytest

from app.components.proving import spoken_proof
from dery_core.partition import Block, Partition

FOUND = Partition(
    k=1,
    epsilon=0.2,
    size="params",
    models=("a", "b"),
    blocks=((Block("a", 0, 1),), (Block("b", 0, 1),)),
    sets=((0,), (0,)),
    similarity=((2.0,), (1.0,)),
    anchors=(Block("a", 0, 1),),
    objective=3.0,
    upper_bound=3.0,
)


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (3.0, "**Proved optimal:** similarity **3.000** in all, 1.50 of 2 a block, anchors included."),
        (3.75, "**At most 20 % below the best possible:**"),
        (4.0, "**No useful bound yet:**"),
    ],
)
def test_a_bound_is_told_only_where_it_says_more_than_that_two_is_the_most(bound: float, said: str) -> None:
    assert spoken_proof(dataclasses.replace(FOUND, upper_bound=bound)).startswith(said)
