"""How similar networks are at their cuts, all cuts of all models at once."""

from dery_core.similarity.build import similarity_table
from dery_core.similarity.comparison import Comparison
from dery_core.similarity.cut_map import CutMap, cut_map
from dery_core.similarity.examples import CutExamples, cut_examples
from dery_core.similarity.features import cut_features
from dery_core.similarity.matrix import MEMORY, similarity_matrix
from dery_core.similarity.measures import MEASURES, Measure
from dery_core.similarity.table import SimilarityTable

__all__ = [
    "MEASURES",
    "MEMORY",
    "Comparison",
    "CutExamples",
    "CutMap",
    "Measure",
    "SimilarityTable",
    "cut_examples",
    "cut_features",
    "cut_map",
    "similarity_matrix",
    "similarity_table",
]
