"""How similar networks are at their cuts: linear CKA over all cuts of all models."""

from dery_core.similarity.cka import cka_matrix, linear_cka
from dery_core.similarity.features import cut_features
from dery_core.similarity.measure import similarity_table
from dery_core.similarity.table import SimilarityTable

__all__ = ["SimilarityTable", "cka_matrix", "cut_features", "linear_cka", "similarity_table"]
