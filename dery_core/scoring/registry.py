"""What can be asked of a hybrid before it is trained: the scores, and how each is measured."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dery_core.data import Probe, fitted
from dery_core.errors import DeryError
from dery_core.reassembly.candidates import Candidates
from dery_core.scoring.closed_form import TRANSFER_IMAGES, ClosedFormCarrier
from dery_core.scoring.gradient import GradientMeasure
from dery_core.scoring.naswot_carrier import NaswotCarrier
from dery_core.scoring.official import OfficialNaswot
from dery_core.scoring.trie import Measurer, Trie
from dery_core.zoo import Zoo

DEFAULT_SCORE = "ridge-probe"
"""Of all scores its order is the nearest to that of really trained hybrids: docs/trust.md."""

SCORE_IMAGES = 64
"""Probe images that scores are measured on where their family asks for no other number."""


@dataclass(frozen=True)
class Score:
    """A score of hybrids, higher is better. `sentence` says in plain words what it says, `source` where
    it comes from. Scores of a `family` are measured in one go."""

    name: str
    title: str
    sentence: str
    source: str
    family: str


@dataclass(frozen=True)
class Family:
    """How the scores of a family are measured.

    `version` changes with whatever changes a value: older measurements are then made anew. Of at most
    `complete` candidates all are measured. `images` is how many probe images it asks for.
    """

    name: str
    version: int
    complete: int
    measurer: Callable[[Zoo, Candidates, Probe, int], Measurer]
    images: int = SCORE_IMAGES


def _naswot(zoo: Zoo, candidates: Candidates, probe: Probe, seed: int) -> Measurer:
    return Trie(NaswotCarrier(zoo, candidates, probe, seed))


def _transfer(zoo: Zoo, candidates: Candidates, probe: Probe, seed: int) -> Measurer:
    return Trie(ClosedFormCarrier(zoo, candidates, probe, seed))


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family("naswot", 3, complete=10_000, measurer=_naswot),
        Family("official", 1, complete=2_500, measurer=OfficialNaswot),
        Family("transfer", 2, complete=10_000, measurer=_transfer, images=TRANSFER_IMAGES),
        Family("gradient", 1, complete=2_500, measurer=GradientMeasure),
    )
}
"""Families that are measured; "cost" is not, it is known from the candidates' prices."""

SCORES: Mapping[str, Score] = {
    score.name: score
    for score in (
        Score(
            "naswot",
            "NASWOT",
            "How differently the activations answer to different images, without any training. "
            "It grows with the number of activation units.",
            "Mellor et al. 2021; DeRy, section 3.3",
            "naswot",
        ),
        Score(
            "naswot-normalised",
            "NASWOT per unit",
            "NASWOT of the share, not the number, of units on which images agree: it doesn't grow with the "
            "number of activation units.",
            "ours, after Mellor et al. 2021",
            "naswot",
        ),
        Score(
            "naswot-official",
            "NASWOT as in DeRy's code",
            "NASWOT as the official code counts it: in training mode, over linear layers and attention too.",
            "DeRy's code",
            "official",
        ),
        Score("params", "#params", "The bigger the better: the number of parameters.", "baseline", "cost"),
        Score("macs", "#MACs", "The more work for an image the better.", "baseline", "cost"),
        Score(
            "logme",
            "LogME",
            "How probable the labels are given the hybrid's features and the best linear model with noise.",
            "You et al. 2021",
            "transfer",
        ),
        Score(
            "leep",
            "LEEP",
            "How well the labels can be told from the classes that the last block's own network sees.",
            "Nguyen et al. 2020",
            "transfer",
        ),
        Score(
            "nce",
            "NCE",
            "How little is left open about the labels once the last block's own network has named its class.",
            "Tran et al. 2019",
            "transfer",
        ),
        Score(
            "h-score",
            "H-score",
            "How far apart the classes are in the hybrid's features, against the features' spread.",
            "Bao et al. 2019",
            "transfer",
        ),
        Score(
            "synflow",
            "SynFlow",
            "How much signal the weights let through, on a log scale; no images are looked at.",
            "Tanaka et al. 2020",
            "gradient",
        ),
        Score(
            "grad-norm",
            "Gradient norm",
            "How large the loss's gradient is before training, on a log scale.",
            "Abdelfattah et al. 2021",
            "gradient",
        ),
        Score(
            "ridge-probe",
            "Ridge probe",
            "How many images the hybrid names rightly with seams and head fitted in closed form.",
            "ours",
            "transfer",
        ),
    )
}
"""All scores by name, in the order in which they are shown."""


def score_named(name: str) -> Score:
    """The score of that name; DeryError that says what it may have meant."""
    if name in SCORES:
        return SCORES[name]
    close = difflib.get_close_matches(name.lower(), SCORES, cutoff=0.5)
    if close:
        raise DeryError(f"there is no score '{name}': did you mean {' or '.join(map(repr, close))}?")
    raise DeryError(f"there is no score '{name}': choose one of {', '.join(SCORES)}.")


def score_images(score: str) -> int:
    """How many probe images the score is measured on by default."""
    family = FAMILIES.get(score_named(score).family)
    return family.images if family else SCORE_IMAGES


def score_probe(task: str, score: str = DEFAULT_SCORE, seed: int = 0) -> Probe:
    """The probe that the score is measured on by default: as many of a task's training images as its
    family asks for, or as there are."""
    return fitted(Probe(task, score_images(score), seed))
