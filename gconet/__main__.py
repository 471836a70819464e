"""`python -m gconet`, the same as the command `gconet`."""

from gconet.cli import run

run()
