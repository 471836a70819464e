"""Write co-saliency maps: checkpoint + groups of images → one 8-bit PNG for each image.

    python test.py --checkpoint runs/gconet/last.pt --images data/images/CoCA --output results/CoCA
    gconet maps ~/photos/bikes                       to results/bikes; the same as test.py
    gconet maps bikes cats more/*.jpg --output maps  several groups; files from one folder form one
    gconet maps heap --reference cats                a map of what the pictures in cats show, for each in heap

--images is one group (pictures that share an object, directly inside) or a folder of groups. A map has
its picture's size and goes to <output>/<group>/<stem>.png, with value = floor(255 * co-saliency), so 0 is
background; <output>/index.html shows them all. <output>/presence.csv gives each picture a score from 0 to 1,
higher if it shows the group's object, and lists what to check: likely strays, which are far below their
group's median, and maps that are empty, cover the whole picture, are mostly grey, or fall into pieces.
The results get a folder of their own; --overwrite moves earlier ones to <output>.old.

With --reference or --object, each picture is processed by itself, and any number fits into memory.
An unreadable picture is left out of its group and named at the end.
Without PHOTOS and --images, the maps of data/demo go to results/demo and are scored by its masks.
"""

from pathlib import Path

from gconet.cli import new_parser
from gconet.cli.results import add_photos, make_results, settle
from gconet.errors import ConfigError

DEMO = Path("data/demo")


def main() -> int:
    parser = new_parser(__doc__)
    add_photos(parser, "Co-saliency maps")
    about = "with --gts, masks of the other objects in the same tree: scores the maps on both, for each group"
    parser.add_argument("--distractors", type=Path, metavar="DIR", help=about)
    args = parser.parse_args()
    if not args.sources and not args.images:
        args.images = DEMO / "images"
    if [args.images, *args.sources] in ([DEMO / "images"], [None, DEMO / "images"]):
        args.gts, args.distractors = args.gts or DEMO / "gts", args.distractors or DEMO / "others"
        args.output = args.output or Path("results/demo")
    settle(args)
    if args.distractors and not args.gts:
        raise ConfigError(f"--distractors {args.distractors} without --gts; give the masks of both")
    return make_results(args, ())
