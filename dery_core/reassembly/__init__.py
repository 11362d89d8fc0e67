"""Reassembly: seams, hybrids, their prices and scores, and the best of them under a budget."""

from dery_core.reassembly.candidates import BlockFacts, Candidates, block_named, candidates
from dery_core.reassembly.closed_form import ClosedForm, SeamFit, fit_closed_form
from dery_core.reassembly.fit import Fit, fit_report
from dery_core.reassembly.front import pareto_front
from dery_core.reassembly.hybrid import (
    Hybrid,
    assemble,
    build_hybrid,
    load_hybrid,
    save_hybrid,
    source_graphs,
)
from dery_core.reassembly.linear import LinearScore, fit_linear
from dery_core.reassembly.members import members_within
from dery_core.reassembly.naswot import Naswot, naswot
from dery_core.reassembly.official import PUBLISHED, Published
from dery_core.reassembly.program import Program
from dery_core.reassembly.reassemble import brute_force, extremes, reassemble
from dery_core.reassembly.scores import SCORE_IMAGES, Measured, Scores, measure, sampled, score_candidates
from dery_core.reassembly.seam import Seam, seam_cost
from dery_core.reassembly.search import Extremes
from dery_core.reassembly.style import SEAM_STYLES, SeamStyle
from dery_core.reassembly.table import HybridRow, hybrid_summary, hybrid_table, priced
from dery_core.reassembly.value import Budget, Choice, HybridSpec

__all__ = [
    "SCORE_IMAGES",
    "SEAM_STYLES",
    "BlockFacts",
    "Budget",
    "Candidates",
    "Choice",
    "ClosedForm",
    "Extremes",
    "Fit",
    "Hybrid",
    "HybridRow",
    "HybridSpec",
    "LinearScore",
    "Measured",
    "Naswot",
    "PUBLISHED",
    "Program",
    "Published",
    "Scores",
    "Seam",
    "SeamFit",
    "SeamStyle",
    "assemble",
    "block_named",
    "brute_force",
    "build_hybrid",
    "candidates",
    "extremes",
    "fit_closed_form",
    "fit_linear",
    "fit_report",
    "hybrid_summary",
    "hybrid_table",
    "load_hybrid",
    "measure",
    "members_within",
    "naswot",
    "pareto_front",
    "priced",
    "reassemble",
    "sampled",
    "save_hybrid",
    "score_candidates",
    "seam_cost",
    "source_graphs",
]
