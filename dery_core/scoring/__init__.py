"""Scoring: what a hybrid promises before it is trained, and how far each promise can be trusted."""

from dery_core.scoring.naswot import Naswot, naswot
from dery_core.scoring.proposals import allowed_count, propose, sampled
from dery_core.scoring.registry import (
    DEFAULT_SCORE,
    FAMILIES,
    SCORE_IMAGES,
    SCORES,
    Family,
    Score,
    score_images,
    score_named,
    score_probe,
)
from dery_core.scoring.scores import SAMPLE, THREADS, Measured, Scores, kept_scores, measure, score_candidates
from dery_core.scoring.trie import Carrier, Measurer, Trie, alone

__all__ = [
    "DEFAULT_SCORE",
    "FAMILIES",
    "SAMPLE",
    "THREADS",
    "SCORES",
    "SCORE_IMAGES",
    "Carrier",
    "Family",
    "Measured",
    "Measurer",
    "Naswot",
    "Score",
    "Scores",
    "Trie",
    "allowed_count",
    "alone",
    "kept_scores",
    "measure",
    "naswot",
    "propose",
    "sampled",
    "score_candidates",
    "score_images",
    "score_named",
    "score_probe",
]
