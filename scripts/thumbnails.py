"""Crop every picture of a group to its common object; see `--help`."""

from gconet.cli.thumbnails import main
from gconet.errors import run_command

if __name__ == "__main__":
    run_command(main)
