"""What a training run needs: its folder and log, resuming, the optimizer, CUDA graphs, validation."""
