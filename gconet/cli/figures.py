"""Draw the paper's figures for your own pictures.

    gconet figures attention --images data/demo/images --output results/attention
    gconet figures consensus --images data/demo/images --output results/consensus

attention  Figure 5: GAM's attention to what a group shares, overlaid on every picture; a page shows them all
consensus  Figure 1: how similar the groups' consensus vectors are (similarity.csv, similarity.png)
"""

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
from gconet.data.groups import leave_out, scan_groups
from gconet.errors import counted


def main() -> int:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("figure", choices=("attention", "consensus"))
    add("--images", type=Path, required=True, metavar="DIR", help="one group, or a folder of groups")
    add("--output", type=Path, required=True, metavar="DIR", help="where the results go")
    add("--overwrite", action="store_true", help="move earlier results to OUTPUT.old")
    add_network(parser)
    args = parser.parse_args()
    from gconet.inference.folders import look_inside  # loads PyTorch

    wanted, output = scan_groups(args.images), args.output
    desk = Desk(output, wanted)
    with new_results(output, {"--images": args.images}, wanted, overwrite=args.overwrite):
        predictor = load_predictor(args)
        if args.figure == "attention":
            groups, seen, errors = look_inside(predictor, predictor.attention, wanted, load=desk.load)
            jobs = make_jobs(groups, output, ["attention"])
            pairs = list(zip(jobs, chain.from_iterable(seen), strict=True))
            done, failed = run_jobs(partial(write_attention, desk=desk), pairs, desc="overlays")
            errors += failed
            files = {job.item.image: {PICTURE: job.item.image, **job.files} for (job, _), _ in done}
            groups = leave_out(groups, {job.item.image for job in jobs} - set(files))
            page = write_page(output, groups, files, desk, title="Attention of GAM")
            said = f"{counted(len(files), 'picture')} of {counted(len(groups), 'group')}", f"open: {page}"
        else:
            groups, seen, errors = look_inside(predictor, predictor.consensus, wanted)
            vectors = np.stack([parts.mean(0) for parts in seen])
            write_consensus(output, [group.name for group in groups], vectors)
            said = f"similarity of {counted(len(groups), 'group')}", f"open: {output / 'similarity.png'}"
    return report(said, [args.images], errors)
