"""Cut the common object out of every picture of a group: maps, cut-outs and a page in one go.

    gconet cutouts photos/bikes --thumbnails                   to results/bikes
    gconet cutouts bikes cats more/*.jpg --output out          several groups; files from one folder form one
    gconet cutouts heap --reference cats                       what the pictures in cats show, if it is there
    gconet cutouts data/demo/images --maps results/demo --output results/cutouts

writes, for every picture, <output>/maps/<group>/<stem>.png, its co-saliency map, unless --maps gives it;
masks/…png, the object in white; cutouts/…png, only the object, with soft, transparent edges; with
--background, backgrounds/…jpg, the object in front of it; with --thumbnails, crops/…jpg; and index.html, a
page that shows them all. The last lines name the maps to check: likely strays, and maps that are empty,
cover the whole picture, fall into pieces, or are mostly grey ("unsure"). With --reference or --object,
pictures that lack the object get a map but no cut-out, and are listed. With --maps, no network runs: about
15 pictures per second on each core. The results get a folder of their own; --overwrite moves earlier ones
to <output>.old.
"""

from pathlib import Path

from gconet.applications.cutting import read_background
from gconet.cli import new_parser
from gconet.cli.results import add_photos, make_results, settle


def main() -> int:
    parser = new_parser(__doc__)
    add_photos(parser, "Cut-outs")
    add = parser.add_argument
    add("--maps", type=Path, metavar="DIR", help="maps, in the same tree (default: made here)")
    add("--thumbnails", action="store_true", help="also crops of 256x256 around the object")
    about = "also objects in front of a colour (white, #ffcc00), a picture or their blurred background"
    add("--background", metavar="COLOUR|FILE|blur", help=about)
    args = parser.parse_args()
    settle(args)
    kinds = ["mask", "cut-out"] + ["new background"] * bool(args.background) + ["thumbnail"] * args.thumbnails
    args.background = read_background(args.background)
    return make_results(args, kinds)
