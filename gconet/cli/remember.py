"""Remember an object: what pictures that show it clearly have in common, as a file of a few KB.

    gconet remember photos/cats --output cat.reference
    gconet maps heap --reference cat.reference

The file works with the weights that made it. Without it, --reference photos/cats does the same each time.
"""

from pathlib import Path

from gconet.cli import add_network, load_predictor, new_parser
from gconet.errors import say
from gconet.files import check_files


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PICTURES", help="a folder, or files")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="where to write it")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    add_network(parser)
    args = parser.parse_args()
    check_files([args.output], overwrite=args.overwrite)
    predictor = load_predictor(args)
    pictures = args.pictures[0] if len(args.pictures) == 1 else args.pictures
    reference = predictor.remember(pictures, args.output.stem)
    reference.save(args.output)
    say(f"{args.output}: use it with gconet maps PHOTOS --reference {args.output}")
    return 0
