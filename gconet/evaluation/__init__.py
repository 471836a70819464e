"""Scores co-saliency maps as the published tables do.

Works from saved maps and does not import torch, so scoring starts at once.
"""

from gconet.evaluation.metrics import CONVENTIONS, MapScore, score_map
from gconet.evaluation.scorer import score_folders
from gconet.evaluation.scores import Scores, score_arrays
from gconet.evaluation.tables import format_table

__all__ = ["CONVENTIONS", "MapScore", "Scores", "format_table", "score_arrays", "score_folders", "score_map"]
