"""The measures of similarity: what each says, and where it is from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A measure's `title`, one plain `sentence` on what it says, its `source`, and whether it has a
    debiased form."""

    title: str
    sentence: str
    source: str
    debiased: bool = False


MEASURES = {
    "cka": Measure(
        "Linear CKA",
        "1 where two layers place the images alike up to rotation and scale; directions of large variance "
        "count most.",
        "Kornblith et al. 2019; unbiased: Song et al. 2012, Nguyen et al. 2021",
        debiased=True,
    ),
    "rbf-cka": Measure(
        "RBF CKA",
        "CKA of a Gaussian kernel as wide as the median distance between images: near neighbours count, "
        "far ones hardly.",
        "Kornblith et al. 2019",
        debiased=True,
    ),
    "regression": Measure(
        "Linear regression R²",
        "The share of one layer's variance that a linear map from the other predicts, the mean of both "
        "directions; 1 throughout where features are as many as images.",
        "Kornblith et al. 2019",
    ),
    "svcca": Measure(
        "SVCCA",
        "The mean squared canonical correlation of the directions that hold 99 % of each layer's variance, "
        "each counting the same; near 1 throughout where those are about as many as images.",
        "Raghu et al. 2017",
    ),
    "procrustes": Measure(
        "Orthogonal Procrustes",
        "How much of one layer is left on the other after the best rotation: stricter than CKA, as small "
        "directions count too.",
        "Ding et al. 2021, Williams et al. 2021",
    ),
}
