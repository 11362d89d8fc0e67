"""Scoring: what a hybrid promises before it is trained, and how far each promise can be trusted."""

from dery_core.scoring.naswot import Naswot, naswot
from dery_core.scoring.reassemble import brute_force, extremes, reassemble
from dery_core.scoring.scores import SCORE_IMAGES, Measured, Scores, measure, sampled, score_candidates

__all__ = [
    "SCORE_IMAGES",
    "Measured",
    "Naswot",
    "Scores",
    "brute_force",
    "extremes",
    "measure",
    "naswot",
    "reassemble",
    "sampled",
    "score_candidates",
]
