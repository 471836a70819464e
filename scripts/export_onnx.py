"""Write the network as an ONNX file; see `--help`."""

from gconet.cli.export import main
from gconet.errors import run_command

if __name__ == "__main__":
    run_command(main)
