from pathlib import Path

import numpy as np
import pytest

from newfound.disk import embedding
from newfound.disk.embedding import read_embedding, write_embedding
from newfound.errors import RunFolderError


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "PART_ROWS", 4)


def arrays(n: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(n)
    return random.normal(size=(n, 3)).astype(np.float32), random.random((n, 2))


@pytest.mark.parametrize(
    ("n", "names"),
    [
        (1, ["embedding.npz"]),
        (4, ["embedding.npz"]),
        (5, ["embedding-00001.npz", "embedding.npz"]),
        (11, ["embedding-00001.npz", "embedding-00002.npz", "embedding.npz"]),
    ],
)
def test_what_is_written_in_parts_is_read_whole(tmp_path: Path, n: int, names: list[str]) -> None:
    features, probabilities = arrays(n)
    first = tmp_path / "embedding.npz"
    write_embedding(first, features, lambda rows: probabilities[rows])
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name, whole in (("features", features), ("probabilities", probabilities)):
        read = read_embedding(first, name, n)
        np.testing.assert_array_equal(read, whole)
        assert read.dtype == whole.dtype
    with np.load(first, allow_pickle=False) as part:
        assert set(part) == {"features", "probabilities"}
        np.testing.assert_array_equal(part["features"], features[:4])


def test_no_more_than_a_part_is_made_at_a_time(tmp_path: Path) -> None:
    features, probabilities = arrays(10)
    asked: list[slice] = []

    def made(rows: slice) -> np.ndarray:
        asked.append(rows)
        return probabilities[rows]

    write_embedding(tmp_path / "embedding.npz", features, made)
    assert asked == [slice(0, 4), slice(4, 8), slice(8, 10)]


def test_parts_of_a_larger_embedding_do_not_stay(tmp_path: Path) -> None:
    first = tmp_path / "embedding.npz"
    (tmp_path / "embedding-of-mine.npz").write_text("dear")
    for n in (11, 6):
        features, probabilities = arrays(n)
        write_embedding(first, features, lambda rows, of=probabilities: of[rows])
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"embedding.npz", "embedding-00001.npz", "embedding-of-mine.npz"}
    np.testing.assert_array_equal(read_embedding(first, "features", 6), arrays(6)[0])


@pytest.mark.parametrize("damage", ["absent", "cut", "another run's"])
def test_a_part_that_does_not_fit_is_named(tmp_path: Path, damage: str) -> None:
    features, probabilities = arrays(9)
    write_embedding(tmp_path / "embedding.npz", features, lambda rows: probabilities[rows])
    part = tmp_path / "embedding-00001.npz"
    if damage == "absent":
        part.unlink()
    elif damage == "cut":
        part.write_bytes(part.read_bytes()[:100])
    else:
        np.savez(part, features=np.zeros((8, 3), np.float32))
    with pytest.raises(RunFolderError, match=r"embedding-00001\.npz"):
        read_embedding(tmp_path / "embedding.npz", "features", 9)


def test_no_code_is_run_from_a_part(tmp_path: Path) -> None:
    first = tmp_path / "embedding.npz"
    np.savez(first, features=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RunFolderError, match="allow_pickle=False"):
        read_embedding(first, "features", 1)
