"""The partition problem on arrays, and the two kernels every solver is made of.

Rows of the similarity matrix T are cuts. A segment is a pair of rows (start, end) of one model,
and S(B, B') = T[start, start'] + T[end, end'] (the paper's section 3.2), so that what a segment
earns separates into its two cuts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dery_core.errors import DeryError
from dery_core.partition.windows import Floats, Ints, size_windows

K_RANGE = (2, 12)
"""How few and how many blocks a network may be cut into."""

_ROUNDING = 1e-6  # by so much a similarity may be off, and is set right

_ELEMENTS = 100_000  # of a temporary array in a kernel: as many as stay in the cache


@dataclass(frozen=True, eq=False)
class Stage:
    """The admissible segments of one stage over all models, ordered by model, start, end."""

    model: Ints
    start: Ints
    end: Ints

    def __len__(self) -> int:
        return len(self.start)

    @cached_property
    def start_groups(self) -> Ints:
        """Position of the first segment of each different start."""
        return _group_starts(self.start)

    @cached_property
    def starts(self) -> Ints:
        """The different starts, ordered."""
        return self.start[self.start_groups]

    @cached_property
    def model_groups(self) -> Ints:
        """Position in `starts` of the first start of each model."""
        return _group_starts(self.model[self.start_groups])

    @cached_property
    def segment_groups(self) -> Ints:
        """Position of the first segment of each model."""
        return _group_starts(self.model)

    @cached_property
    def by_end(self) -> Ints:
        return np.argsort(self.end, kind="stable")

    @cached_property
    def end_groups(self) -> Ints:
        return _group_starts(self.end[self.by_end])

    @cached_property
    def ends(self) -> Ints:
        """The different ends, ordered."""
        return self.end[self.by_end][self.end_groups]

    @cached_property
    def covers(self) -> list[tuple[int, Ints, Ints, Ints]]:
        """For a maximum over every start's ends, which lie side by side in `ends` (limits only shut out
        long segments, and the cuts that can be reached in so many blocks are neighbours): for each
        power of two, which of `starts` two runs of so many ends cover, and where both runs begin."""
        count = np.diff(np.append(self.start_groups, len(self)))
        first = np.searchsorted(self.ends, self.end[self.start_groups])
        power = np.frexp(count)[1] - 1
        covers = []
        for width in (1 << np.arange(power.max() + 1)).tolist():
            here = np.flatnonzero(1 << power == width)
            covers.append((width, here, first[here], (first + count)[here] - width))
        return covers


@dataclass(frozen=True, eq=False)
class Problem:
    """T (M, M) over all cuts; per stage its segments; the first and last row of each model (N,), which
    models' size limit had to be widened, and every model's limit as a multiple of its size / K (N,)."""

    similarity: Floats
    stages: tuple[Stage, ...]
    first: Ints
    last: Ints
    widened: tuple[int, ...]
    limits: Floats

    @property
    def k(self) -> int:
        return len(self.stages)

    @property
    def models(self) -> int:
        return len(self.first)

    @cached_property
    def _keys(self) -> list[Ints]:
        """Per stage a number for every segment, ascending."""
        return [stage.start * len(self.similarity) + stage.end for stage in self.stages]

    def earned(self, k: int, anchor: int) -> Floats:
        """S(segment, anchor) for every segment of stage k; `anchor` is one of them."""
        stage, sim = self.stages[k], self.similarity
        return sim[stage.start, stage.start[anchor]] + sim[stage.end, stage.end[anchor]]

    def earned_with_membership(self, k: int, anchor: int) -> Floats:
        """As `earned`, with the anchor the only segment its own model may choose."""
        stage = self.stages[k]
        value = self.earned(k, anchor)
        own = stage.model == stage.model[anchor]
        own[anchor] = False
        value[own] = -np.inf
        return value

    def extend(self, k: int, prefix: Floats, earned: Floats) -> Floats:
        """Best value up to every cut after stage k, given that before it: both (M,), -inf unreachable."""
        stage = self.stages[k]
        value = (prefix[stage.start] + earned)[stage.by_end]
        after = np.full(len(prefix), -np.inf)
        after[stage.ends] = np.maximum.reduceat(value, stage.end_groups)
        return after

    def extend_back(self, k: int, suffix: Floats, earned: Floats) -> Floats:
        """Best value from every cut before stage k on, given that from after it on."""
        stage = self.stages[k]
        before = np.full(len(suffix), -np.inf)
        before[stage.starts] = np.maximum.reduceat(suffix[stage.end] + earned, stage.start_groups)
        return before

    def at_start(self) -> Floats:
        """Value 0 at every model's first cut, unreachable elsewhere: the prefix of stage 0."""
        value = np.full(len(self.similarity), -np.inf)
        value[self.first] = 0
        return value

    def at_end(self) -> Floats:
        """Value 0 at every model's last cut, unreachable elsewhere: the suffix of the last stage."""
        value = np.full(len(self.similarity), -np.inf)
        value[self.last] = 0
        return value

    def anchor_values(self, k: int, anchors: Ints, prefix: Floats, suffix: Floats) -> Floats:
        """For each candidate anchor A of stage k,

            sum over models of max over segments (a, b) of prefix[a] + S((a, b), A) + suffix[b]

        with A itself the segment of its own model.
        """
        stage = self.stages[k]
        values = np.empty(len(anchors))
        for part, best in self.best_by_model(k, stage.start[anchors], stage.end[anchors], prefix, suffix):
            chosen = anchors[part]
            itself = prefix[stage.start[chosen]] + 2 + suffix[stage.end[chosen]]
            best[np.arange(len(part)), stage.model[chosen]] = itself
            values[part] = best.sum(axis=1)
        return values

    def best_by_model(
        self, k: int, starts: Ints, ends: Ints, prefix: Floats, suffix: Floats
    ) -> Iterator[tuple[Ints, Floats]]:
        """For blocks A = (starts, ends) (C,), in parts that bound the memory: which of C, and for each of
        these and each model (part, N)

            max over stage k's segments (a, b) of prefix[a] + S((a, b), A) + suffix[b]

        Since S separates, the maximum over b is taken once per pair of different a and different end of
        A, not per pair of segments.
        """
        stage, sim = self.stages[k], self.similarity
        order = np.argsort(ends, kind="stable")
        groups = _group_starts(ends[order])
        limits = [*groups.tolist(), len(order)]
        step = max(1, _ELEMENTS // len(stage.starts))
        for at in range(0, len(groups), step):
            part = order[limits[at] : limits[min(at + step, len(groups))]]
            different = ends[order[groups[at : at + step]]]
            runs = sim[np.ix_(different, stage.ends)] + suffix[stage.ends]
            onward = np.empty((len(different), len(stage.starts)))
            for width, here, first, last in stage.covers:
                onward[:, here] = np.maximum(runs.take(first, axis=1), runs.take(last, axis=1))
                runs = np.maximum(runs[:, :-width], runs[:, width:])
            onward += prefix[stage.starts]
            total = onward.take(np.searchsorted(different, ends[part]), axis=0)
            begun, start_of = np.unique(starts[part], return_inverse=True)
            total += sim[np.ix_(begun, stage.starts)].take(start_of, axis=0)
            yield part, np.maximum.reduceat(total, stage.model_groups, axis=1)

    def owner(self, rows: Ints) -> Ints:
        """The models that rows belong to."""
        return np.searchsorted(self.first, rows, side="right") - 1

    def position(self, k: int, start: Ints, end: Ints) -> Ints:
        """Where the segments of stage k with these rows lie in it; they must be there."""
        return np.searchsorted(self._keys[k], start * len(self.similarity) + end)

    def rows(self, segments: Ints) -> tuple[Ints, Ints]:
        """The start and the end row of every chosen segment: both (N, K)."""
        pairs = zip(self.stages, segments.T, strict=True)
        starts, ends = zip(*((stage.start[at], stage.end[at]) for stage, at in pairs), strict=True)
        return np.stack(starts, axis=1), np.stack(ends, axis=1)

    def cuts(self, segments: Ints) -> Ints:
        """The rows of every model's cuts (N, K + 1) for its chosen segments, which adjoin."""
        starts, ends = self.rows(segments)
        return np.concatenate([starts, ends[:, -1:]], axis=1)

    def best_segments(self, k: int, earned: Floats, prefix: Floats, suffix: Floats) -> Ints:
        """Per model (N,), the segment of stage k with the largest prefix + earned + suffix."""
        stage = self.stages[k]
        return _first_maximum(
            prefix[stage.start] + earned + suffix[stage.end], stage.segment_groups, stage.model
        )

    def paths(self, earned: Sequence[Floats]) -> Ints:
        """Each model's best segments (N, K), one a stage, adjoining, by dynamic programming over cuts.

        `earned[k]` holds a value per segment of stage k, -inf where it must not be taken. Assumes
        that every model has a path.
        """
        suffixes = [self.at_end()]
        for k in reversed(range(self.k)):
            suffixes.insert(0, self.extend_back(k, suffixes[0], earned[k]))
        chosen = np.empty((self.models, self.k), np.int64)
        prefix = self.at_start()
        for k, stage in enumerate(self.stages):
            chosen[:, k] = self.best_segments(k, earned[k], prefix, suffixes[k + 1])
            prefix = np.full(len(prefix), -np.inf)
            prefix[stage.end[chosen[:, k]]] = 0
        return chosen


def build_problem(
    similarity: Floats, model: Ints, cut: Ints, size: Floats, k: int, epsilon: float, names: Sequence[str]
) -> Problem:
    """Check the arrays and work out each model's windows.

    `similarity` (M, M) symmetric over all cuts of all models; `model` and `cut` (M,) say which
    cut of which model a row is, models 0 to N - 1 in order, cuts 0 to L of each in order;
    `size` (M,) is the model's size up to that cut. What rounding has left unlike its mirror image,
    or above 1, is set right, and similarities below 0 count as 0. Raises DeryError on anything else,
    on fewer than two models, K outside K_RANGE, ε < 0, and on a K larger than a model's node count.
    """
    similarity, size = np.asarray(similarity, np.float64), np.asarray(size, np.float64)
    model, cut = np.asarray(model, np.int64), np.asarray(cut, np.int64)
    _check(similarity, model, cut, size, k, epsilon)
    first = _group_starts(model)
    last = np.append(first[1:], len(model)) - 1
    if len(names) != len(first):
        raise DeryError(f"There are {len(names)} names for the similarity table's {len(first)} models.")
    for name, nodes in zip(names, last - first, strict=True):
        if nodes < k:
            raise DeryError(
                f"{name} has only {nodes} nodes, so it can't be cut into {k} blocks: "
                "choose a smaller K or leave it out."
            )
    # The solvers' bounds take it that nothing is more alike than a cut is to itself; estimates of no
    # similarity at all may lie a little below 0.
    similarity = np.clip((similarity + similarity.T) / 2, 0, 1)
    np.fill_diagonal(similarity, 1)
    windows = [
        size_windows(size[begin : end + 1], k, epsilon) for begin, end in zip(first, last, strict=True)
    ]
    stages = []
    for stage in range(k):
        pairs = [window.segments[stage] for window in windows]
        stages.append(
            Stage(
                model=np.repeat(np.arange(len(first)), [len(starts) for starts, _ in pairs]),
                start=np.concatenate([starts + row for (starts, _), row in zip(pairs, first, strict=True)]),
                end=np.concatenate([ends + row for (_, ends), row in zip(pairs, first, strict=True)]),
            )
        )
    return Problem(
        similarity,
        tuple(stages),
        first,
        last,
        tuple(i for i, window in enumerate(windows) if window.widened),
        np.array([window.multiple for window in windows]),
    )


def _check(similarity: Floats, model: Ints, cut: Ints, size: Floats, k: int, epsilon: float) -> None:
    rows = len(model)
    if not K_RANGE[0] <= k <= K_RANGE[1]:
        raise DeryError(f"K is {k}: choose {K_RANGE[0]} to {K_RANGE[1]} blocks a model.")
    if not (np.isfinite(epsilon) and epsilon >= 0):
        raise DeryError(f"ε is {epsilon}: the allowed imbalance must be 0 or more.")
    if not rows:
        raise DeryError("The similarity table is empty: equivalence sets need at least two models.")
    if similarity.shape != (rows, rows) or cut.shape != (rows,) or size.shape != (rows,):
        raise DeryError(
            f"The similarity table doesn't fit its index: values {similarity.shape}, {rows} models, "
            f"{len(cut)} cuts, {len(size)} sizes."
        )
    if not (np.isfinite(similarity).all() and np.abs(similarity - similarity.T).max() <= _ROUNDING):
        raise DeryError("The similarity table must be finite and symmetric.")
    if np.abs(np.diagonal(similarity) - 1).max() > _ROUNDING:
        raise DeryError("The similarity table must have a unit diagonal: every cut is like itself.")
    if similarity.max() > 1 + _ROUNDING:
        raise DeryError(
            f"The similarity table goes up to {similarity.max():.7g}: no two cuts can be more alike than 1."
        )
    begins = np.diff(model, prepend=-1)  # 1 where a model begins, 0 inside it
    if not (np.isin(begins, (0, 1)).all() and np.array_equal(cut == 0, begins == 1)):
        raise DeryError("The similarity table's rows must be each model's cuts 0 to L, model after model.")
    if (np.diff(cut)[begins[1:] == 0] != 1).any() or not (np.diff(size)[begins[1:] == 0] >= 0).all():
        raise DeryError("The similarity table's cuts must be in order, with sizes that never shrink.")
    if model[-1] < 1:
        raise DeryError("Equivalence sets need at least two models: add another one.")


def _group_starts(keys: Ints) -> Ints:
    """Position of the first of each run of equal keys."""
    changes = np.empty(len(keys), bool)
    changes[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=changes[1:])
    return np.flatnonzero(changes)


def _first_maximum(values: Floats, groups: Ints, group_of: Ints) -> Ints:
    """Per group, the position of its largest value; the first of equals."""
    best = np.maximum.reduceat(values, groups)
    hits = np.flatnonzero(values == best[group_of])
    return hits[_group_starts(group_of[hits])]
