"""`LinearScore`: a linear model of a score over blocks and transitions, the program's objective."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from dery_core.errors import DeryError
from dery_core.reassembly.ridge_head import one_blas_thread
from dery_core.reassembly.terms import Choices, Terms
from dery_core.values import Value

_PENALTIES = (0.01, 0.1, 1.0, 10.0)
_HELD_OUT = 0.2


@dataclass(frozen=True)
class LinearScore(Value):
    """score(choice) ≈ intercept + Σ_k block[k][i_k] + Σ_k pair[k][i_k][i_{k+1}].

    Terms are whole multiples of `quantum`, so that sums and ties are exact. `samples` candidates
    were fitted; `r2` and `kendall` were measured on a fifth of them that was held out (None when
    there were too few). `pairs` says whether each adjacent pair has a term of its own, or only
    each seam.
    """

    intercept: float
    block: tuple[tuple[float, ...], ...]
    pair: tuple[tuple[tuple[float, ...], ...], ...] = ()
    quantum: float = 1e-6
    samples: int = 0
    pairs: bool = False
    r2: float | None = None
    kendall: float | None = None

    @cached_property
    def terms(self) -> Terms:
        """The score without intercept, in quanta."""
        block = self._quanta(self.block)
        stages, models = block.shape
        pair = self._quanta(self.pair) if self.pair else np.zeros((stages - 1, models, models), np.int64)
        return Terms(block, pair)

    def _quanta(self, terms: tuple) -> NDArray[np.int64]:
        return np.rint(np.array(terms) / self.quantum).astype(np.int64)

    def quanta(self, choices: Choices) -> NDArray[np.int64]:
        """Score without intercept of `choices` (S, K), in quanta: (S,)."""
        return self.terms.of(choices)

    def predict(self, choice: Sequence[int]) -> float:
        """Predicted score of one candidate."""
        return self.intercept + self.terms.at(choice) * self.quantum


@one_blas_thread()
def fit_linear(choices: Choices, values: NDArray[np.float64], models: int, seed: int = 0) -> LinearScore:
    """Ridge regression of `values` (S,) on the blocks and transitions of `choices` (S, K).

    Penalty, and whether adjacent pairs get terms of their own, are those with the smallest exact
    leave-one-out error. DeryError without a finite value.
    """
    finite = np.isfinite(values)
    choices, values = choices[finite], values[finite]
    if not len(values):
        raise DeryError("no candidate has a finite score: probe with other images, none of them twice.")
    r2, kendall = _held_out(choices, values, models, seed)
    pairs, penalty = _selected(choices, values, models)
    weights, intercept = _ridge(_features(choices, models, pairs), values, penalty)
    return _linear_score(weights, intercept, choices.shape[1], models, pairs, len(values), r2, kendall)


def _features(choices: Choices, models: int, pairs: bool) -> NDArray[np.float64]:
    """One-hot blocks (K·N), seams present (K-1), then one-hot pairs ((K-1)·N²) when asked."""
    eye = np.eye(models)
    left, right = choices[:, :-1], choices[:, 1:]
    columns = [eye[choices].reshape(len(choices), -1), (left != right).astype(float)]
    if pairs:
        one_hot = np.zeros((*left.shape, models * models))
        np.put_along_axis(one_hot, (left * models + right)[..., None], 1.0, axis=2)
        columns.append(one_hot.reshape(len(choices), -1))
    return np.concatenate(columns, axis=1)


def _ridge(x: NDArray, y: NDArray, penalty: float) -> tuple[NDArray, float]:
    """Weights and unpenalised intercept, solved in the samples' space (fewer than features)."""
    used = x.any(axis=0)
    mean = x[:, used].mean(0)
    centred = x[:, used] - mean
    kernel = centred @ centred.T + penalty * np.eye(len(y))
    weights = np.zeros(x.shape[1])
    weights[used] = centred.T @ np.linalg.solve(kernel, y - y.mean())
    return weights, float(y.mean() - mean @ weights[used])


def _leave_one_out(x: NDArray, y: NDArray, penalty: float) -> float:
    """Mean squared leave-one-out error, from the hat matrix."""
    centred = x - x.mean(0)
    kernel = centred @ centred.T
    hat = np.linalg.solve(kernel + penalty * np.eye(len(y)), kernel) + 1 / len(y)
    return float(np.mean(((y - hat @ y) / (1 - np.diag(hat))) ** 2))


def _selected(choices: NDArray, values: NDArray, models: int) -> tuple[bool, float]:
    if len(values) < 3:
        return False, 1.0
    error: dict[tuple[bool, float], float] = {}
    for pairs in (False, True):
        x = _features(choices, models, pairs)
        # Pairs that no sample has are most of them, and change nothing.
        x = x[:, x.any(axis=0)]
        error |= {(pairs, penalty): _leave_one_out(x, values, penalty) for penalty in _PENALTIES}
    return min(error, key=error.__getitem__)


def _held_out(choices: NDArray, values: NDArray, models: int, seed: int) -> tuple[float | None, float | None]:
    """R² and Kendall's tau on a fifth of the samples, fitted and selected on the rest."""
    order = np.random.default_rng(seed).permutation(len(values))
    count = round(_HELD_OUT * len(values))
    held, kept = order[:count], order[count:]
    if count < 3 or np.ptp(values[held]) == 0:
        return None, None
    pairs, penalty = _selected(choices[kept], values[kept], models)
    weights, intercept = _ridge(_features(choices[kept], models, pairs), values[kept], penalty)
    predicted = _features(choices[held], models, pairs) @ weights + intercept
    residual = np.square(values[held] - predicted).sum()
    r2 = 1 - residual / np.square(values[held] - values[held].mean()).sum()
    tau = float(kendalltau(predicted, values[held]).statistic)
    return float(r2), tau if np.isfinite(tau) else None


def _linear_score(
    weights: NDArray,
    intercept: float,
    stages: int,
    models: int,
    pairs: bool,
    samples: int,
    r2: float | None,
    kendall: float | None,
) -> LinearScore:
    block, seam, pair = np.split(weights, [stages * models, stages * models + stages - 1])
    terms = np.zeros((stages - 1, models, models)) + seam[:, None, None] * (1 - np.eye(models))
    if pairs:
        terms += pair.reshape(stages - 1, models, models)
    largest = max(np.abs(block).max(), np.abs(terms).max(initial=0), 1e-12)
    quantum = float(10.0 ** (np.floor(np.log10(largest)) - 5))

    def rounded(array: NDArray) -> tuple:
        return tuple(map(rounded, array)) if array.ndim else float(np.rint(array / quantum) * quantum)  # type: ignore[return-value]

    return LinearScore(
        intercept,
        rounded(block.reshape(stages, models)),
        rounded(terms),
        quantum,
        samples=samples,
        pairs=pairs,
        r2=r2,
        kendall=kendall,
    )
