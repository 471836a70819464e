"""The sub-command `evaluate` of benchmark.py: the scorer's speed."""

import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from tqdm import tqdm

from gconet.evaluation import score_map
from gconet.opencv import cv2

HEIGHT, WIDTH, WORKERS = 300, 400, 2


def make_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a blurred blob as map and another with anti-aliased edges as mask: (H, W) each, 8-bit."""
    coarse = np.random.RandomState(seed).rand(2, 6, 8).astype(np.float32)
    m, g = (cv2.resize(c, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for c in coarse)
    m = np.clip(0.5 + 2 * (0.7 * g + 0.3 * m - 0.6), 0, 1)
    return (255 * m).astype(np.uint8), (255 * np.clip(20 * (g - 0.6), 0, 1)).astype(np.uint8)


def time_maps(count: int) -> None:
    """Print the median time per map of the loop, pysodmetrics and our scorer, in one process."""
    import torch
    from py_sod_metrics import MAE, Emeasure, Fmeasure, Smeasure

    from tests.thresholding_loop import score_by_thresholding

    warnings.simplefilter("ignore")  # Fmeasure's deprecation warning
    metrics = [metric() for metric in (MAE, Fmeasure, Emeasure, Smeasure)]
    torch.set_num_threads(1)
    rivals: dict[str, Callable[[np.ndarray, np.ndarray], object]] = {
        "thresholding loop": score_by_thresholding,
        "pysodmetrics": lambda m, g: [metric.step(m, g) for metric in metrics],
        "ours": score_map,
        "ours, as pysodmetrics": lambda m, g: score_map(m, g, "pysodmetrics"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for seed in tqdm(range(count), desc="time maps", unit="map", disable=None):
        pair = make_pair(seed)
        for name, score in rivals.items():
            start = time.perf_counter()
            score(*pair)
            seconds[name].append(time.perf_counter() - start)
    print(f"{count} maps of {HEIGHT}x{WIDTH}, one process, medians per map")
    for name, spent in seconds.items():
        ratio = median(spent) / median(seconds["ours"])
        beside = "" if "ours" in name else f"{ratio:8.1f} times ours"
        print(f"{name:22}{1e3 * median(spent):8.2f} ms{beside}")


def time_folder(count: int) -> None:
    """Print the time and an upper bound on the memory of scripts/evaluate.py on `count` maps."""
    with tempfile.TemporaryDirectory() as folder:
        for seed in tqdm(range(count), desc="write maps", unit="map", disable=None):
            for kind, picture in zip(("maps", "gts"), make_pair(seed), strict=True):
                path = Path(folder, kind, f"group{seed // 40:03d}", f"{seed}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture)
        command = [sys.executable, str(Path(__file__).parents[1] / "evaluate.py"), "--workers", str(WORKERS)]
        command += ["--maps", f"{folder}/maps", "--gts", f"{folder}/gts"]
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        seconds = time.perf_counter() - start
    # as if every process were as large as the largest one (ru_maxrss in KiB on Linux)
    peak = (WORKERS + 1) * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    print(
        f"{count} maps of {HEIGHT}x{WIDTH} from PNG files, {WORKERS} workers: {seconds:.1f} s, "
        f"{count / seconds:.0f} maps/s, at most {peak:.0f} MiB in all processes"
    )
