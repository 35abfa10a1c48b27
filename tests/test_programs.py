"""The programs beside the package still run: each once, as small as it gets."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]


def run(*arguments: object) -> str:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=True
    ).stdout


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def test_the_example_reads_mnist_and_scores_its_run(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    digits = np.arange(140) % 10
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", random.integers(0, 256, (140, 28, 28)))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", digits)
    said = run(ROOT / "examples/mnist.py", tmp_path, "--out", tmp_path / "run", "--epochs", 4)
    assert said.startswith("ACC 0.")
    assert (tmp_path / "run" / "report.html").exists()
