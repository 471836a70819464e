"""Write co-saliency maps: checkpoint + groups of images → one PNG per image; `python test.py --help`."""

from gconet.cli.maps import main
from gconet.errors import run_command

if __name__ == "__main__":
    run_command(main)
