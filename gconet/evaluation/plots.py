"""Curves of several methods in one picture, or in TensorBoard. Both libraries load only when used."""

from collections.abc import Sequence
from pathlib import Path

from gconet.errors import ConfigError
from gconet.evaluation.scores import FIGURES, Scores

PANELS = (  # title, x curve, y curve, x label, y label
    ("precision and recall", "recall", "precision", "recall", "precision"),
    ("F-measure", "threshold", "f", "threshold", "F (β² = 0.3)"),
    ("E-measure", "threshold", "e", "threshold", "E"),
)


def plot_curves(scores: Sequence[Scores], path: Path) -> None:
    """Draw PR, F- and E-measure curves to `path` (PNG), a row of panels per set, a line per method.

    Raises ConfigError where matplotlib is not installed.
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
    figure.savefig(path, dpi=150, format="png")


def tensorboard_run(scores: Scores, root: Path) -> Path:
    """The folder below `root` that holds the events of one method on one set."""
    return root / scores.method / scores.dataset


def write_tensorboard(scores: Scores, root: Path) -> None:
    """Write the curves and figures as scalars: run <method>/<set>, a curve's step is its threshold's index."""
    from tensorboard.summary import Writer  # of the tensorboard package: no torch, no TensorFlow

    writer = Writer(str(tensorboard_run(scores, root)))
    for name, curve in scores.curves.items():
        for step, value in enumerate(curve):
            writer.add_scalar(f"curves/{name}", value, step)
    for name in FIGURES:
        writer.add_scalar(f"scores/{name}", getattr(scores, name), 0)
    writer.close()
