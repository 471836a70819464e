"""Dump co-saliency maps: checkpoint + groups of images → one 8-bit PNG for each image.

    python test.py --checkpoint runs/gconet/last.pt --images data/images/CoCA --output results/CoCA
    gconet maps ~/photos/bikes                       to results/bikes; the same as test.py
    gconet maps bikes cats more/*.jpg --output maps  several groups; files of one folder are a group
    torchrun --nproc-per-node 2 test.py ...          the groups are shared out among GPUs

--images is one group (pictures that share an object, directly inside) or a folder of groups; a
group is seen as a whole. A map has its picture's size and goes to <output>/<group>/<stem>.png,
with value = floor(255 * co-saliency), so 0 is background; <output>/index.html shows them all.
<output>/presence.csv gives each picture a score from 0 to 1, higher if it shows the group's object, and
names what to check: likely strays, which are far below their group's median, and maps that are
empty, cover the whole picture, are mostly grey, or fall into pieces.

A picture that cannot be read is left out of its group and named at the end; with --strict it stops all.

Exit status: 0 when every map was written, 1 for failures (or files skipped), 2 for wrong arguments.
"""

import argparse
import math
import os
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import torch
import torch.distributed as dist

from gconet.applications.doubts import KINDS, find_doubts, write_presence
from gconet.applications.jobs import report_skipped
from gconet.applications.outputs import FILE, check_masks, check_output
from gconet.applications.page import write_maps_page
from gconet.cli import add_checkpoint
from gconet.data.groups import Group, leave_out, scan_sources
from gconet.data.names import name_some
from gconet.device import PATIENCE, launched_ranks, use_gpu
from gconet.errors import ConfigError, DataError, counted, one_line
from gconet.evaluation import format_table, score_folders
from gconet.predictor import Predictor, write_maps

DEMO = Path("data/demo")


def main() -> int:
    args = parse_args()
    rank, world, local = launched_ranks()
    if world > 1:
        dist.init_process_group("gloo", timeout=PATIENCE)
        if args.device in ("auto", "cuda") and torch.cuda.is_available():
            use_gpu(local)
    sources = {"--images": args.sources, "--gts": args.gts, "--distractors": args.distractors}
    groups = scan_sources(args.sources, args.gts, args.distractors)
    folders = [group.name for group in groups]
    check_output(args.output, sources, overwrite=args.overwrite, page=args.page, folders=folders)
    if args.gts:
        check_masks(args.gts, groups)
    predictor = Predictor.load(
        args.checkpoint,
        device=args.device,
        precision=args.precision,
        memory=None if args.memory is None else int(args.memory * 2**30),
    )
    if world > 1:
        dist.barrier()  # nobody writes before everybody has looked at the output folder
    presence, skipped = write_maps(
        predictor, share(groups, world)[rank], args.output, strict=args.strict, shown=rank == 0
    )
    if world > 1:
        of_ranks: list[tuple[dict[Path, float], dict[Path, DataError]]] = [({}, {}) for _ in range(world)]
        dist.all_gather_object(of_ranks, (presence, skipped))
        presence = {path: value for part, _ in of_ranks for path, value in part.items()}
        skipped = {path: error for _, part in of_ranks for path, error in part.items()}
        dist.destroy_process_group()
    if rank != 0:
        return 0  # the first rank's status counts; a failure here would end it
    errors = list(skipped.values())
    done, doubts, said = settle(groups, args.output, presence, skipped)
    if done:
        scores = None
        try:
            if args.gts:
                scores = score_folders(
                    args.output,
                    args.gts,
                    distractors=args.distractors,
                    allow_missing=True,
                    groups=[group.name for group in done],  # not those of an earlier call
                )
        except DataError as error:  # no mask at all can be read: the maps are there all the same
            errors.append(error)
        if scores:
            table = format_table(scores, segmentation=True, groups=args.distractors is not None)
            said.insert(1, table)  # what to check comes last
            errors += map(DataError, scores.unreadable)
        if args.page:
            said.append(f"to look at: {write_maps_page(args.output, done, scores, doubts)}")
        print("\n".join(said))  # when all files are written: the reader may have gone
    return report_skipped(args.sources, errors)


def settle(
    groups: Sequence[Group], output: Path, presence: Mapping[Path, float], skipped: Container[Path]
) -> tuple[list[Group], dict[Path, tuple[str, ...]], list[str]]:
    """The groups without the pictures `skipped`, what is doubtful about their maps, and what to say of both.

    Writes `FILE` beside the maps in `output`, and removes what earlier calls left for the pictures skipped.
    """
    for group in groups:
        for item in group.items:
            if item.image in skipped:  # an earlier map must not pass for this picture's
                (output / group.name / f"{item.stem}.png").unlink(missing_ok=True)
    done = leave_out(groups, skipped)
    if not done:
        return [], {}, []
    total = sum(len(group.items) for group in done)
    said = [f"{counted(total, 'map')} of {counted(len(done), 'group')} in {output}"]
    doubts = find_doubts(done, output, presence)
    write_presence(output / FILE, done, presence, doubts)
    if doubts:
        found = [(doubts[i.image], f"{g.name}/{i.stem}") for g in done for i in g.items if i.image in doubts]
        found.sort(key=lambda one: KINDS.index(one[0][0]))  # the worst first
        names = name_some([f"{name} ({', '.join(own)})" for own, name in found])
        said.append(f"check {len(doubts)} of {total}: {one_line(names)}; all are in {output / FILE}")
    for group in done:
        if len(group.items) > 1 and 2 * sum(i.image in doubts for i in group.items) > len(group.items):
            said.append(
                f"{one_line(group.name)}: most maps are doubtful. If some pictures may lack the object, take "
                "them out, the lowest presence first, and run again"
            )
    if alone := [group.name for group in done if len(group.items) == 1]:
        names = one_line(name_some(alone))
        said.append(f"{names}: a picture by itself has no group; its map marks what is salient")
    return done, doubts, said


def share(groups: Sequence[Group], world: int) -> list[list[Group]]:
    """The groups of each rank: the largest ones first, each to the rank with the fewest images."""
    shares: list[list[Group]] = [[] for _ in range(world)]
    for group in sorted(groups, key=lambda group: -len(group.items)):
        min(shares, key=lambda own: sum(len(g.items) for g in own)).append(group)
    return shares


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_checkpoint(parser)
    parser.add_argument(
        "sources", nargs="*", type=Path, metavar="PHOTOS", help="folders, as --images, or single pictures"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help=f"one group, or a folder of groups (default: {DEMO / 'images'}, with its masks)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where the maps go (default: results/ and the folder's name; for the demo results/demo)",
    )
    parser.add_argument(
        "--gts", type=Path, metavar="DIR", help="masks in the same tree as the images: prints the scores"
    )
    parser.add_argument(
        "--distractors",
        type=Path,
        metavar="DIR",
        help="with --gts, masks of the other objects in the same tree: scores how high the map is on the "
        "common object and on these, for each group",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, … (default: %(default)s)")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "fp32", "tf32", "bf16"),
        help="auto takes bf16 where the hardware computes it natively (default: %(default)s)",
    )
    parser.add_argument(
        "--memory",
        type=float,
        metavar="GIB",
        help="what a group may take beyond the network (default: on a GPU what is free; on a CPU half "
        "of it, at most 1 unless the group needs more); with less, more is computed twice, down to a least "
        "that grows with the group",
    )
    parser.add_argument(
        "--page",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="index.html with previews of all maps (default: yes)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first picture that cannot be read (default: leave it out of its group)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the page and maps of the same names"
    )
    args = parser.parse_args()
    if args.memory is not None and not 0 < args.memory < math.inf:
        raise ConfigError(f"--memory {args.memory}: give a number of GiB above 0")
    if args.sources and args.images:
        raise ConfigError(f"{args.sources[0]} and --images {args.images}: give one of them")
    args.sources = args.sources or [args.images or DEMO / "images"]
    demo = args.sources == [DEMO / "images"]
    if len(args.sources) > 1 and (args.gts or not args.output):
        wrong = "--gts goes with" if args.gts else "without --output, give"
        raise ConfigError(f"{len(args.sources)} folders or pictures: {wrong} one folder alone")
    name = "demo" if demo else Path(os.path.realpath(args.sources[0])).name
    args.output = args.output or Path("results") / name
    if demo:
        args.gts = args.gts or DEMO / "gts"
        args.distractors = args.distractors or DEMO / "others"
    if args.distractors and not args.gts:
        raise ConfigError(f"--distractors {args.distractors} without --gts; give the masks of both")
    return args
