"""List the names that --object knows.

    gconet objects
    gconet objects car

With a WORD, only those that --object WORD would use; it takes the mean if there are several. A name stands
for a reference made from pictures of a training set, so it works with the default weights only.
"""

from gconet.cli import new_parser
from gconet.errors import say
from gconet.inference.reference import find_objects


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("word", nargs="?", default="", metavar="WORD", help="a name, or a word of names")
    say(*sorted(one.name for one in find_objects(parser.parse_args().word)))
    return 0
