"""The tiny zoo that these tests share with their neighbours."""

from tests.tiny_zoo import (  # noqa: F401
    benchmark,
    cut_once,
    partition,
    priced,
    probe,
    random_candidates,
    random_linear,
    zoo,
)
