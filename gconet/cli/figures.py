"""The paper's figures, of your own pictures.

    python scripts/visualize.py attention --images data/demo/images --output results/attention
    python scripts/visualize.py consensus --images data/demo/images --output results/consensus
    python scripts/visualize.py grid --images data/demo/images --gts data/demo/gts \\
        --maps GCoNet=results/demo --output results/grid.png

attention  Figure 5: where GAM looks for what a group shares, laid over every picture; a page shows them all
consensus  Figure 1: how alike the groups' consensus vectors are (similarity.csv, similarity.png), how far
           apart the images are within and between groups (distances.csv), and for t-SNE in TensorBoard's
           projector every image's part of the consensus (tensorboard --logdir OUTPUT)
grid       Figures 6 and 7: image, ground truth and the maps of several methods side by side; needs no network

A picture that cannot be read is left out of its group and named at the end; with --strict it stops all.

Exit status: 0 if everything was written, 1 for failures (or files skipped), 2 for wrong arguments.
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from gconet.applications.consensus import cosine_similarity, group_distances
from gconet.applications.figures import RGB, draw_grid, draw_matrix, overlay, spread_attention
from gconet.applications.jobs import Job, check_sides, make_entries, report_skipped, run_jobs
from gconet.applications.outputs import check_output
from gconet.applications.page import write_page
from gconet.applications.previews import shrink
from gconet.applications.projector import PROJECTOR, check_projector, write_projector
from gconet.cli import add_checkpoint
from gconet.data.groups import Group, leave_out, scan_groups
from gconet.data.images import load_image, load_map
from gconet.data.names import name_folders, name_some
from gconet.errors import ConfigError, DataError, counted
from gconet.progress import progress

if TYPE_CHECKING:
    from gconet.data.pictures import Pictures
    from gconet.predictor import Predictor


def main() -> int:
    args = parse_args()
    return {"attention": show_attention, "consensus": show_consensus, "grid": show_grid}[args.figure](args)


def show_attention(args: argparse.Namespace) -> int:
    """Figure 5; returns the exit status, as the others do."""
    groups = scan_groups(args.images)
    names = [group.name for group in groups]
    check_output(args.output, {"--images": args.images}, overwrite=args.overwrite, folders=names)
    planned = {
        item.image: Job(group.name, item, {"overlay": args.output / group.name / f"{item.stem}.jpg"})
        for group in groups
        for item in group.items
    }
    groups, seen, errors = look_inside(args, groups, lambda predictor, group: predictor.attention(group))
    for job in planned.values():  # earlier overlays must not pass for those of pictures that are left out
        job.files["overlay"].unlink(missing_ok=True)
    for group in groups:
        (args.output / group.name).mkdir(parents=True, exist_ok=True)
    jobs = [planned[item.image] for group in groups for item in group.items]
    maps = [attention for group in seen for attention in group]
    planned_overlays = list(zip(jobs, maps, strict=True))
    done, failed = run_jobs(write_attention, planned_overlays, desc="overlays", strict=args.strict)
    errors += failed
    jobs = [job for (job, _), _ in done]
    entries = make_entries(jobs, "overlay", lambda job: [load(job.item.image), load(job.files["overlay"])])
    page = write_page(
        args.output,
        entries,
        title="Attention of GAM",
        legend="Picture, attention",
        headings=("picture", "attention"),
    )
    print(f"{counted(len(jobs), 'picture')} of {counted(len(groups), 'group')}\nto look at: {page}")
    return report_skipped(args.images, errors)


def write_attention(drawn: tuple[Job, np.ndarray]) -> None:
    """Save one picture under its attention."""
    job, attention = drawn
    picture = load(job.item.image)
    check_sides(job.item.image, picture)
    shown = overlay(picture, spread_attention(attention, *picture.shape[:2]))
    Image.fromarray(shown).save(job.files["overlay"], quality=90)


def show_consensus(args: argparse.Namespace) -> int:
    """Figure 1."""
    groups = scan_groups(args.images)
    check_output(args.output, {"--images": args.images}, overwrite=args.overwrite, page=False)
    check_projector(args.output / PROJECTOR)
    groups, parts, errors = look_inside(args, groups, lambda predictor, group: predictor.consensus(group))
    names = [group.name for group in groups]
    similarity = cosine_similarity(np.stack([part.mean(0) for part in parts]))
    within, between = group_distances(parts)

    args.output.mkdir(parents=True, exist_ok=True)
    write_csv(
        args.output / "similarity.csv",
        ["", *names],
        [[n, *row] for n, row in zip(names, similarity, strict=True)],
    )
    table = [[g.name, len(g.items), w, b] for g, w, b in zip(groups, within, between, strict=True)]
    write_csv(args.output / "distances.csv", ["group", "images", "within", "between"], table)
    low = min(float(similarity.min()), 0.99)
    title = f"cosine similarity of consensus vectors, dark {low:.2f} to yellow 1"
    picture = draw_matrix((similarity - low) / (1 - low), names, title)
    Image.fromarray(picture).save(args.output / "similarity.png")
    write_projector(args.output, groups, np.concatenate(parts))
    known = {"within": within[~np.isnan(within)], "between": between[~np.isnan(between)]}
    means = [f"{name} {values.mean():.3f}" for name, values in known.items() if len(values)]
    of = counted(len(groups), "group")
    print(f"cosine distance of images, mean over {of}: {', '.join(means) or 'one image alone'}")
    print(
        f"to look at: {args.output / 'similarity.png'}; tensorboard --logdir {args.output} (Projector, t-SNE)"
    )
    return report_skipped(args.images, errors)


def show_grid(args: argparse.Namespace) -> int:
    """Figures 6 and 7."""
    methods = name_folders(args.maps, "--maps")
    check_picture(args.output, [args.images, args.gts, *methods.values()], overwrite=args.overwrite)
    scanned = [scan_groups(args.images, args.gts, folder) for folder in methods.values()]
    names = [group.name for group in scanned[0]]
    wanted = args.groups.split(",") if args.groups else names
    if unknown := [name for name in wanted if name not in names]:
        there = name_some(names)
        raise ConfigError(f"--groups {','.join(unknown)}: no such group in {args.images}; there: {there}")
    picked = []
    for number in (names.index(name) for name in wanted):
        for index, item in list(enumerate(scanned[0][number].items))[: args.count]:
            masks = [groups[number].items[index].map for groups in scanned]
            if None in masks:
                raise DataError(
                    f"{item.image} lacks a map in {args.maps[masks.index(None)]}; make it with test.py"
                )
            masks = [item.mask, *masks] if args.gts else masks
            picked.append((item.image, [path for path in masks if path]))
    drawn, errors = run_jobs(load_row, picked, desc="pictures", strict=args.strict)
    rows = [row for _, row in drawn]
    if not rows:
        raise errors[0]
    titles = ["image", *(["ground truth"] if args.gts else []), *methods]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_grid(rows, titles)).save(args.output)
    print(f"{counted(len(rows), 'picture')} of {counted(len(wanted), 'group')}\nto look at: {args.output}")
    return report_skipped(args.images, errors)


def load_row(files: tuple[Path, Sequence[Path]]) -> list[RGB]:
    """A row of the grid: the picture, then its mask and maps, small."""
    image, masks = files
    return [shrink(load(image)), *(shrink(grey(path)) for path in masks)]


def check_picture(output: Path, folders: Sequence[Path | None], *, overwrite: bool) -> None:
    """Raise ConfigError if `output` is not a PNG file, would replace one, or lies among the inputs."""
    if output.suffix.lower() != ".png":
        raise ConfigError(f"--output {output}: the grid is a PNG file; name one")
    for folder in folders:
        if folder and output.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"--output {output} lies in {folder}, which is read; name another place")
    if output.exists() and not overwrite:
        raise ConfigError(f"--output {output} exists already; name another file, or --overwrite it")


def look_inside(
    args: argparse.Namespace, groups: Sequence[Group], look: "Callable[[Predictor, Pictures], np.ndarray]"
) -> "tuple[tuple[Group, ...], list[np.ndarray], list[DataError]]":
    """What `look` sees in each group without the pictures that cannot be read, and the errors of those.

    Raises the first error if `args` are strict, or no group is left.
    """
    from gconet.data.pictures import read_groups
    from gconet.predictor import Predictor

    predictor = Predictor.load(args.checkpoint, device=args.device, precision=args.precision)
    skipped: dict[Path, DataError] = {}
    files = [[item.image for item in group.items] for group in groups]
    read = read_groups(files, predictor.size, skipped=None if args.strict else skipped)
    bar = progress(read, desc="groups", total=len(groups), unit="group")
    seen = [look(predictor, pictures) for pictures in bar if pictures.sizes]
    if not seen:
        raise next(iter(skipped.values()))
    return tuple(leave_out(groups, skipped)), seen, list(skipped.values())


def load(path: Path) -> RGB:
    return np.asarray(load_image(path))


def grey(path: Path) -> RGB:
    return np.asarray(load_map(path).convert("RGB"))


def write_csv(path: Path, header: Sequence[object], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([[f"{v:.4f}" if isinstance(v, np.floating) else v for v in row] for row in rows])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    figures = parser.add_subparsers(dest="figure", required=True, metavar="attention|consensus|grid")
    for name, what in (("attention", "Figure 5"), ("consensus", "Figure 1"), ("grid", "Figures 6 and 7")):
        figure = figures.add_parser(name, help=f"{what} of the paper")
        add = figure.add_argument
        add("--images", type=Path, required=True, metavar="DIR", help="one group, or a folder of groups")
        if name == "grid":
            add("--gts", type=Path, metavar="DIR", help="masks in the same tree")
            add(
                "--maps", action="append", required=True, metavar="[NAME=]DIR", help="of a method; repeatable"
            )
            add("--groups", metavar="A,B", help="only these groups (default: all)")
            add("--count", type=int, default=3, metavar="N", help="images of a group (default: %(default)s)")
            add("--output", type=Path, required=True, metavar="FILE", help="a PNG file")
        else:
            add_checkpoint(figure)
            add("--device", default="auto", help="auto, cpu, cuda, … (default: %(default)s)")
            add("--precision", default="auto", help="auto, fp32, tf32 or bf16 (default: %(default)s)")
            add("--output", type=Path, required=True, metavar="DIR", help="where the results go")
        add("--strict", action="store_true", help="stop at the first picture that cannot be read")
        add("--overwrite", action="store_true", help="replace files of the same names")
    args = parser.parse_args()
    if args.figure == "grid" and args.count < 1:
        raise ConfigError(f"--count {args.count}: give at least 1")
    return args
