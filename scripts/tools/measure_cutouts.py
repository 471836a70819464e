"""Measure how close cut-out masks are to true masks: J, and boundary F within 3 pixels.

    python scripts/tools/measure_cutouts.py --masks results/cutouts/masks --gts data/gts/PASCAL_coseg

Precision is the share of the mask's outline that lies near the true outline, and recall the share of the
true outline near the mask's. F is their harmonic mean, 0 if only one of the two has an outline. All figures
are means over pictures.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gconet.cli import new_parser
from gconet.errors import DataError, run_command
from gconet.evaluation.histogram import HALF, joint_histogram, precision_jaccard
from gconet.opencv import cv2

TOLERANCE = 3  # pixels
Mask = npt.NDArray[np.bool_]


def main() -> int:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--masks", type=Path, required=True, metavar="DIR", help="OUTPUT/masks of cosegment.py")
    add("--gts", type=Path, required=True, metavar="DIR", help="true masks in the same tree")
    args = parser.parse_args()
    figures = []
    truths = {path.relative_to(args.gts).with_suffix(""): path for path in args.gts.rglob("*.*")}
    for path in sorted(args.masks.rglob("*.png")):
        name = path.relative_to(args.masks).with_suffix("")
        if name not in truths:
            raise DataError(f"{name} has no mask in {args.gts}")
        levels, true_levels = (np.asarray(Image.open(p).convert("L")) for p in (path, truths[name]))
        _, j = precision_jaccard(joint_histogram(levels, true_levels), HALF)
        figures.append((j, *boundary(levels >= HALF, true_levels >= HALF)))
    if not figures:
        raise DataError(f"no mask in {args.masks}")
    j, precision, recall, f = np.mean(figures, axis=0)
    print(
        f"{len(figures)} masks: J {j:.4f}; boundary within {TOLERANCE} pixels: "
        f"F {f:.4f}, precision {precision:.4f}, recall {recall:.4f}"
    )
    return 0


def boundary(mask: Mask, truth: Mask) -> tuple[float, float, float]:
    """Precision, recall and F of the boundary of `mask` within TOLERANCE pixels of that of `truth`."""
    own, true = outline(mask), outline(truth)
    if not own.any() or not true.any():
        return (float(own.any() == true.any()),) * 3
    far_true, far_own = (
        cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for edge in (true, own)
    )
    precision = float((far_true[own] <= TOLERANCE).mean())
    recall = float((far_own[true] <= TOLERANCE).mean())
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def outline(mask: Mask) -> Mask:
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return np.asarray(mask & (cv2.erode(mask.astype(np.uint8), cross) == 0))  # without the picture's rim


if __name__ == "__main__":
    run_command(main)
