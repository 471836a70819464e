"""Plots curves of several methods in one picture or in TensorBoard; imports either on use."""

import io
from collections.abc import Sequence
from pathlib import Path

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


def find_events(run: Path) -> list[Path]:
    """List TensorBoard's event files directly in the folder `run`."""
    return sorted(run.glob("events.out.tfevents.*"))


def write_tensorboard(scores: Sequence[Scores], root: Path) -> None:
    """Write curves and figures as scalars to the runs `<root>/<method>/<set>`, replacing earlier ones.

    A curve's step is the index of its threshold, rising from 0.
    """
    # tensorboard's own writer needs neither torch nor TensorFlow
    from tensorboard.summary import Writer  # type: ignore[import-untyped]

    for one in scores:
        run = root / one.method / one.dataset
        for event in find_events(run):
            event.unlink()
        writer = Writer(str(run))
        for name, curve in one.curves.items():
            for step, value in enumerate(curve):
                writer.add_scalar(f"curves/{name}", value, step)
        for name, value in one.figures.items():
            writer.add_scalar(f"scores/{name}", value, 0)
        writer.close()
