"""Applications of saved maps: cut-outs, thumbnails, figures and pages. Does not import torch."""
