"""What Figures 2 and 3 show of a run: the true classes of its items, at most ten of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from newfound.data.arrays import from_arrays
from newfound.data.catalogue import Truth
from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError
from newfound.reproduce.datasets import DATA_SETS
from newfound.reproduce.figures import check_drawable, places
from newfound.reproduce.plan import PlannedProblem, PlannedRun
from support.made_images import made_arrays


def trial(folder: Path, classes: int, each: int) -> PlannedRun:
    """A run whose features tell the class; two items are left out, the rest in reversed order."""
    n = classes * each
    pixels, _ = made_arrays((0, 1), (n + 4) // 2)
    labels = [0, 0, 1, 1] + [-1] * n
    catalogue = from_arrays(pixels[: n + 4], labels)
    truth = Truth(np.arange(n) // each, tuple(f"class {c:02}" for c in range(classes)))
    rows = np.arange(n)[::-1][2:]
    paths = catalogue.names[catalogue.unlabelled][rows]
    folder.mkdir()
    pd.DataFrame({"path": paths}).to_parquet(folder / "items.parquet")
    features = np.eye(classes, dtype=np.float32)[truth.labels[rows]]
    noise = np.random.default_rng(0).normal(0, 0.01, features.shape).astype(np.float32)
    np.savez(folder / "embedding.npz", features=features + noise)
    config = DATA_SETS["cifar10"].config("small", {})
    return PlannedRun(RunFolder(folder), PlannedProblem("", catalogue, truth, classes), config)


def test_items_are_coloured_by_their_own_class(tmp_path: Path) -> None:
    where, classes = places(trial(tmp_path / "run", classes=3, each=12))
    assert where.shape == (34, 2) and np.isfinite(where).all()
    assert sorted(set(classes)) == ["class 00", "class 01", "class 02"]
    middles = {name: where[classes == name].mean(axis=0) for name in set(classes)}
    nearest = [min(middles, key=lambda m: np.hypot(*(at - middles[m]))) for at in where]
    assert nearest == classes.tolist()


def test_of_many_classes_the_same_ten_are_drawn(tmp_path: Path) -> None:
    _, left = places(trial(tmp_path / "left", classes=14, each=5))
    _, right = places(trial(tmp_path / "right", classes=14, each=5))
    assert set(left) == set(right) and len(set(left)) == 10
    assert len(left) > 40


def test_without_matplotlib_it_is_said_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    check_drawable()
    monkeypatch.setattr("newfound.reproduce.figures.importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'newfound\[figures\]' brings it"):
        check_drawable()
