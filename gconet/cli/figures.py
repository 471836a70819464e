"""Draw the paper's figures for your own pictures.

    gconet figures attention --images data/demo/images --output results/attention
    gconet figures consensus --images data/demo/images --output results/consensus

attention  Figure 5: GAM's attention to what a group shares, overlaid on every picture; a page shows them all
consensus  Figure 1: how similar the groups' consensus vectors are (similarity.csv, similarity.png)
"""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from gconet.applications.desk import PICTURE, Desk
from gconet.applications.drawing import write_attention, write_consensus
from gconet.applications.jobs import make_jobs, run_jobs
from gconet.applications.outputs import new_results
from gconet.applications.page import write_page
from gconet.cli import add_network, load_predictor, new_parser, report
from gconet.data.groups import Group, leave_out, scan_groups
from gconet.data.images import load_image
from gconet.errors import DataError, counted
from gconet.progress import progress


def main() -> int:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("figure", choices=("attention", "consensus"))
    add("--images", type=Path, required=True, metavar="DIR", help="one group, or a folder of groups")
    add("--output", type=Path, required=True, metavar="DIR", help="where the results go")
    add("--overwrite", action="store_true", help="move earlier results to OUTPUT.old")
    add_network(parser)
    args = parser.parse_args()
    from gconet.data.pictures import read_groups  # loads PyTorch

    groups: Sequence[Group] = scan_groups(args.images)
    output, errors = args.output, list[DataError]()
    files = [[item.image for item in group.items] for group in groups]
    desk = Desk(output, groups)
    with new_results(output, {"--images": args.images}, groups, overwrite=args.overwrite):
        predictor = load_predictor(args)
        predictor.check(max(map(len, files)))
        attends = args.figure == "attention"
        look, load = (predictor.attention, desk.load) if attends else (predictor.consensus, load_image)
        read = read_groups(files, predictor.size, load=load)
        seen = [look(pictures) for pictures in progress(read, "groups", len(groups), unit="group")]
        if attends:
            jobs = make_jobs(groups, output, ["attention"])
            pairs = list(zip(jobs, chain.from_iterable(seen), strict=True))
            done, errors = run_jobs(partial(write_attention, desk=desk), pairs, desc="overlays")
            shown = {job.item.image: {PICTURE: job.item.image, **job.files} for (job, _), _ in done}
            groups = leave_out(groups, {job.item.image for job in jobs} - set(shown))
            page = write_page(output, groups, shown, desk, title="Attention of GAM")
            said = f"{counted(len(shown), 'picture')} of {counted(len(groups), 'group')}", f"open: {page}"
        else:
            vectors = np.stack([parts.mean(0) for parts in seen])
            write_consensus(output, [group.name for group in groups], vectors)
            said = f"similarity of {counted(len(groups), 'group')}", f"open: {output / 'similarity.png'}"
    return report(said, [args.images], errors)
