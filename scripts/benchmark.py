"""Measure speed and memory on this machine: `python scripts/benchmark.py --help`."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("benchmark")), run_name="__main__")
