"""Groups on disk → episodes → tensors. `groups` and `images` import no torch."""
