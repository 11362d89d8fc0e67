"""How similar networks are at their cuts, all cuts of all models at once."""

from dery_core.similarity.cka import cka_matrix, linear_cka
from dery_core.similarity.comparison import Comparison
from dery_core.similarity.features import cut_features
from dery_core.similarity.measure import similarity_table
from dery_core.similarity.measures import MEASURES, Measure
from dery_core.similarity.table import SimilarityTable

__all__ = [
    "MEASURES",
    "Comparison",
    "Measure",
    "SimilarityTable",
    "cka_matrix",
    "cut_features",
    "linear_cka",
    "similarity_table",
]
