"""How similar networks are at their cuts: linear CKA over all cuts of all models."""

from dery_core.similarity.cka import cka_matrix, linear_cka
from dery_core.similarity.table import SimilarityTable

__all__ = ["SimilarityTable", "cka_matrix", "linear_cka"]
