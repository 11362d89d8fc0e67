"""Reassembly: blocks, seams between them, the hybrids they make, and what these cost."""

from dery_core.reassembly.candidates import BlockFacts, Candidates, block_named, candidates
from dery_core.reassembly.closed_form import ClosedForm, SeamFit, fit_closed_form
from dery_core.reassembly.fit import Fit, fit_report
from dery_core.reassembly.hybrid import (
    Hybrid,
    assemble,
    build_hybrid,
    load_hybrid,
    save_hybrid,
    source_graphs,
)
from dery_core.reassembly.members import members_within
from dery_core.reassembly.official import PUBLISHED, Published
from dery_core.reassembly.seam import Seam, seam_cost
from dery_core.reassembly.style import SEAM_STYLES, SeamStyle
from dery_core.reassembly.table import HybridRow, hybrid_summary, hybrid_table, priced
from dery_core.reassembly.value import Budget, Choice, HybridSpec

__all__ = [
    "SEAM_STYLES",
    "BlockFacts",
    "Budget",
    "Candidates",
    "Choice",
    "ClosedForm",
    "Fit",
    "Hybrid",
    "HybridRow",
    "HybridSpec",
    "PUBLISHED",
    "Published",
    "Seam",
    "SeamFit",
    "SeamStyle",
    "assemble",
    "block_named",
    "build_hybrid",
    "candidates",
    "fit_closed_form",
    "fit_report",
    "hybrid_summary",
    "hybrid_table",
    "load_hybrid",
    "members_within",
    "priced",
    "save_hybrid",
    "seam_cost",
    "source_graphs",
]
