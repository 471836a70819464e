"""Score co-saliency maps against their masks; see `--help`."""

from gconet.cli.score import main
from gconet.errors import run_command

if __name__ == "__main__":
    run_command(main)
