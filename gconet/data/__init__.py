"""Groups on disk → episodes → tensors. `groups` and `images` do not import torch."""
