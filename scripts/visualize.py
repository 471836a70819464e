"""The paper's figures, of your own pictures; `--help` tells how."""

from gconet.cli.figures import main
from gconet.errors import run_command

if __name__ == "__main__":
    run_command(main)
