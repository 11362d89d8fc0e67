"""`Comparison`: by what measure cuts are compared, and on which features."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dery_core.errors import DeryError
from dery_core.similarity.measures import MEASURES, Measure
from dery_core.values import Value

MeasureName = Literal["cka", "rbf-cka", "regression", "svcca", "procrustes"]
Pooling = Literal["mean", "flatten"]
SMALLEST_BATCH = 8


@dataclass(frozen=True)
class Comparison(Value):
    """What a similarity table holds.

    `measure` is a key of `MEASURES`. `unbiased` takes the debiased form of CKA, which does not grow
    with the width of features where images are few. `pooling` compares the mean over the grid or
    over all tokens ("mean") or the whole activation ("flatten"). `batch` streams: the debiased
    estimate is summed over minibatches of at most that many images; None takes all images at once.

    Raises DeryError for settings that don't go together.
    """

    schema_version: ClassVar[int] = 1

    measure: MeasureName = "cka"
    unbiased: bool = False
    pooling: Pooling = "mean"
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise DeryError(f"there is no measure '{self.measure}': choose one of {', '.join(MEASURES)}.")
        if self.pooling not in ("mean", "flatten"):
            raise DeryError(f"features are pooled by 'mean' or kept by 'flatten', not by '{self.pooling}'.")
        if self.unbiased and not self.definition.debiased:
            kinds = " and ".join(name for name, measure in MEASURES.items() if measure.debiased)
            raise DeryError(f"only {kinds} have an unbiased form: leave it out for {self.measure}.")
        if self.batch is not None and not self.unbiased:
            raise DeryError("minibatches can only be summed in the unbiased form: ask for it as well.")
        if self.batch is not None and self.batch < SMALLEST_BATCH:
            raise DeryError(f"a minibatch needs at least {SMALLEST_BATCH} images, not {self.batch}.")

    @property
    def definition(self) -> Measure:
        return MEASURES[self.measure]

    @property
    def title(self) -> str:
        """The measure with what differs from its plain form: "Linear CKA, unbiased"."""
        said = [self.definition.title]
        said += ["unbiased"] if self.unbiased else []
        said += ["whole activations"] if self.pooling == "flatten" else []
        said += [f"minibatches of {self.batch}"] if self.batch else []
        return ", ".join(said)
