"""Discover MNIST's digits 5-9, knowing 0-4, and score the result against the truth.

    python examples/mnist.py DIR --out runs/mnist

DIR holds MNIST's published test part, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz.
It shows the Python way in: arrays, labels with -1, and truth that only `evaluate` ever sees.
"""

import argparse
from pathlib import Path

import numpy as np

import newfound
from newfound.av_digits.material import LABELS, PICTURES, read_idx

KNOWN = 5


def main() -> None:
    """Run and print ACC, NMI and ARI."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--mu", type=float, default=0.65)
    arguments = parser.parse_args()

    pixels = read_idx(arguments.directory / PICTURES)
    digits = read_idx(arguments.directory / LABELS).astype(np.int64)
    labels = np.where(digits < KNOWN, digits, -1)

    found = newfound.discover(
        (pixels, labels),
        num_novel=5,
        out=arguments.out,
        preset="digits",
        seed=arguments.seed,
        epochs=arguments.epochs,
        mu=arguments.mu,
    )
    unlabelled = digits[labels == -1].astype(str)
    scores = found.evaluate(dict(zip(found.table()["path"], unlabelled)))
    print("ACC {acc:.3f}  NMI {nmi:.3f}  ARI {ari:.3f}".format(**scores))


if __name__ == "__main__":
    main()
