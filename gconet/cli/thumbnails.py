"""Crop every picture of a group to its common object, from the maps that test.py saved.

    gconet thumbnails --images photos --maps results/photos --output results/thumbnails
    python scripts/thumbnails.py --images data/demo/images --maps results/demo --output results/thumbnails

writes <output>/crops/<group>/<stem>.jpg, with the object about equally large and central in each, all of
one size, whose longer side is 256 pixels; and <output>/index.html, a page that shows them all. Needs no
GPU; about 30 pictures per second.
"""

import re
from pathlib import Path

from gconet.cli import new_parser
from gconet.cli.results import add_results, make_results
from gconet.errors import ConfigError


def main() -> int:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="DIR", help="one group, or a folder of groups")
    add("--maps", type=Path, required=True, metavar="DIR", help="their maps, in the same tree")
    add_results(parser, "Thumbnails")
    add("--aspect", default="1:1", metavar="W:H", help="shape of the thumbnails (default: %(default)s)")
    args = parser.parse_args()
    if not re.fullmatch(r"[1-9]\d{0,3}:[1-9]\d{0,3}", args.aspect):
        raise ConfigError(f"--aspect {args.aspect}: give two whole numbers, width:height, like 1:1 or 16:9")
    args.sources = [args.images]
    width, height = map(int, args.aspect.split(":"))
    return make_results(args, ["thumbnail"], (width, height))
