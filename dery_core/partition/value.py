"""`Block` and `Partition`: every network cut into K blocks that form K equivalence sets."""

from dataclasses import dataclass
from typing import Literal

from dery_core.errors import DeryError
from dery_core.values import Value

Variant = Literal["staged", "free"]
"""How blocks come to their sets. Staged: the k-th block of every model is in set k. Free, the paper's
eq. 2 to 5 as they stand: every block is in the set whose anchor it is most like."""

TRACE_LENGTH = 200
_PROVED = 1e-6


@dataclass(frozen=True)
class Block(Value):
    """Nodes `first_node` to `last_node` (both included, counted from 0) of one model."""

    model: str
    first_node: int
    last_node: int

    @property
    def start(self) -> int:
        """The cut the block begins at."""
        return self.first_node

    @property
    def end(self) -> int:
        """The cut the block ends at."""
        return self.last_node + 1


@dataclass(frozen=True)
class Partition(Value):
    """A K-partition of every model (the paper's section 3.2, eq. 2 to 5).

    `blocks[i][k]` is stage k of model i, `sets[i][k]` the equivalence set it belongs to,
    `similarity[i][k]` = S(block, anchor of its set), in [0, 2]; `anchors[j]` is set j's anchor, one of
    its blocks. In the free variant a model may have two blocks in one set, and none in another.
    `objective` is the sum of all `similarity`; no partition exceeds `upper_bound`.
    `widened` names the models whose size limit no K-partition can keep; `limits[i]` is the limit of
    model i as a multiple of its size / K: 1 + ε, or more where widened (empty where an older
    file doesn't tell). `table` is the key of the similarity table it was made from, `weights[i]` that
    of model i's weights, "" where unknown. `trace` is how the proof went: (objective, bound) after
    each step, at most 200 of them, the last one where both ended.
    """

    k: int
    epsilon: float
    size: Literal["params", "macs", "nodes"]
    models: tuple[str, ...]
    blocks: tuple[tuple[Block, ...], ...]
    sets: tuple[tuple[int, ...], ...]
    similarity: tuple[tuple[float, ...], ...]
    anchors: tuple[Block, ...]
    objective: float
    upper_bound: float
    widened: tuple[str, ...] = ()
    table: str = ""
    variant: Variant = "staged"
    limits: tuple[float, ...] = ()
    weights: tuple[str, ...] = ()
    trace: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        rows = (self.blocks, self.sets, self.similarity)
        if not self.models or any(len(row) != len(self.models) for row in rows):
            raise DeryError("'blocks', 'sets' and 'similarity' must have one row for each of 'models'.")
        if not self.weights:
            object.__setattr__(self, "weights", ("",) * len(self.models))
        if len(self.weights) != len(self.models) or len(self.limits) not in (0, len(self.models)):
            raise DeryError("'weights' and 'limits' must have one entry for each of 'models'.")
        if any(not 0 <= at < self.k for row in self.sets for at in row):
            raise DeryError(f"every set must be one of 0 to {self.k - 1}, as 'k' says.")
        if len(self.anchors) != self.k or any(len(stages) != self.k for row in rows for stages in row):
            raise DeryError(f"every model must have {self.k} blocks, sets and similarities, as 'k' says.")
        for model, stages in zip(self.models, self.blocks, strict=True):
            begins = [0, *(block.end for block in stages)]
            if any(b.model != model or b.start != at for b, at in zip(stages, begins, strict=False)):
                raise DeryError(f"the blocks of {model} must adjoin, the first one from node 0.")

    @property
    def gap(self) -> float:
        """How far the objective may be from the optimum, relative to the bound."""
        return (self.upper_bound - self.objective) / self.upper_bound

    @property
    def proved(self) -> bool:
        """Whether no partition can be better, to a millionth of the bound."""
        return self.gap < _PROVED
