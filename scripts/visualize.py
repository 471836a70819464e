"""Draw the paper's figures for your own pictures; see `--help`."""

from gconet.cli.figures import main
from gconet.errors import run_command

if __name__ == "__main__":
    run_command(main)
