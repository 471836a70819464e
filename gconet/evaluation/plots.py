"""Plots curves of several methods; imports matplotlib on use."""

import io
from collections.abc import Sequence

from gconet.errors import ConfigError
from gconet.evaluation.scores import Scores

PANELS = (  # title, x curve, y curve, x label, y label
    ("precision and recall", "recall", "precision", "recall", "precision"),
    ("F-measure", "threshold", "f", "threshold", "F (β² = 0.3)"),
    ("E-measure", "threshold", "e", "threshold", "E"),
)


def plot_curves(scores: Sequence[Scores], kind: str) -> bytes:
    """Return PR, F and E curves as a png, pdf or svg file: one row of panels per set, one line per method.

    Raises ConfigError if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("plots need matplotlib: pip install 'gconet[plot]'") from None
    datasets = list(dict.fromkeys(one.dataset for one in scores))
    figure = Figure(figsize=(13, 4 * len(datasets)), layout="constrained")
    axes = figure.subplots(len(datasets), len(PANELS), squeeze=False)
    for row, dataset in zip(axes, datasets, strict=True):
        for axis, (title, x, y, x_label, y_label) in zip(row, PANELS, strict=True):
            for one in scores:
                if one.dataset == dataset:
                    axis.plot(one.curves[x], one.curves[y], label=one.method)
            axis.set(title=f"{dataset}: {title}", xlabel=x_label, ylabel=y_label, xlim=(0, 1), ylim=(0, 1))
            axis.grid(alpha=0.3)
        row[0].legend(loc="lower left")
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=150)
    return file.getvalue()
