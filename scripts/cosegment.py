"""Cut the common object out of every picture of a group; see `--help`."""

from gconet.cli.cutouts import main
from gconet.errors import run_command

if __name__ == "__main__":
    run_command(main)
