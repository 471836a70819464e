"""Check the data sets below a root folder: counts, pairs, sizes, readable files.

    data/images/<set>/<class>/<stem>.jpg         an image
    data/gts/<set>/<class>/<stem>.png            its mask: the same stem, the same size
    data/distractors/<set>/<class>/<stem>.png    optional: a mask of the other objects, for every image

All problems are listed, each with the path to fix:

    CoCA: 80 groups, 1295 images, 1295 masks: 1 problem
      mask size: data/gts/CoCA/Frog/a.png: is 64×48, its image 640×480 (data/images/CoCA/Frog/a.jpg)

Exit status: 0 if every set checked is complete and has no problems, 1 if something is wrong, 2 for wrong
arguments. DUTS_class takes about half a minute."""

from pathlib import Path

from gconet.cli import new_parser
from gconet.data.check import check_set
from gconet.data.groups import list_sets
from gconet.errors import DataError, counted, note, run_command, say


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--root", type=Path, default=Path("data"), help="default data")
    parser.add_argument("--set", nargs="+", metavar="NAME", dest="names", help="default: all sets")
    args = parser.parse_args()
    names = args.names or list_sets(args.root)
    if not names:
        raise DataError(f"no data sets: expected {args.root}/images/<set>/<class>/; see data/README.md")
    broken = []
    for name in names:
        report = check_set(args.root, name)
        counts = f"{counted(report.groups, 'group')}, {report.images} images, {report.masks} masks"
        counts += f", {report.distractors} distractor masks" if report.distractors else ""
        verdict = counted(len(report.problems), "problem") if report.problems else "no problems"
        problems = [f"  {problem.kind}: {problem.path}: {problem.detail}" for problem in report.problems]
        say(f"{name}: {counts}: {verdict}", *problems)
        broken += [name] if report.problems else []
    if broken:
        note(
            f"{len(broken)} of {len(names)} sets have problems ({', '.join(broken)}): replace, add "
            "or remove the files listed above (their sources: data/README.md), then run this again"
        )
    return 1 if broken else 0


if __name__ == "__main__":
    run_command(main)
