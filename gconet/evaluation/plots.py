"""Plots curves of several methods; imports matplotlib on use."""

import io
from collections.abc import Sequence

from gconet.errors import ConfigError
from gconet.evaluation.scores import Scores

PANELS = (  # x curve, y curve, y label
    ("recall", "precision", "precision"), ("threshold", "f", "F (β² = 0.3)"), ("threshold", "e", "E"),
)  # fmt: skip


def plot_curves(scores: Sequence[Scores], kind: str) -> bytes:
    """Return PR, F and E curves as a png, pdf or svg file: one row of panels per set, one line per method.
    Raises ConfigError if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("plots need matplotlib: pip install 'gconet[plot]'") from None
    datasets = list(dict.fromkeys(one.dataset for one in scores))
    figure = Figure(figsize=(13, 4 * len(datasets)), layout="constrained")
    axes = figure.subplots(len(datasets), len(PANELS), squeeze=False)
    for row, dataset in zip(axes, datasets, strict=True):
        for axis, (x, y, label) in zip(row, PANELS, strict=True):
            for one in scores:
                if one.dataset == dataset:
                    axis.plot(one.curves[x], one.curves[y], label=one.method)
            axis.set(title=dataset, xlabel=x, ylabel=label, xlim=(0, 1), ylim=(0, 1))
            axis.grid(alpha=0.3)
        row[0].legend(loc="lower left")
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=150)
    return file.getvalue()
