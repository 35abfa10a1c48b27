from itertools import chain

import numpy as np
import pytest

from newfound.blocks import BLOCK_ROWS, blocks, mean_of


@pytest.mark.parametrize(("n", "rows"), [(0, 3), (1, 3), (3, 3), (7, 3), (9, 3), (5, 100)])
def test_blocks_are_all_rows_in_order_and_none_is_larger(n: int, rows: int) -> None:
    parts = [list(range(n))[block] for block in blocks(n, rows)]
    assert list(chain(*parts)) == list(range(n))
    assert all(0 < len(part) <= rows for part in parts)
    assert len(list(blocks(BLOCK_ROWS + 1))) == 2


def test_of_one_part_the_mean_is_numpys_own() -> None:
    rows = np.random.default_rng(0).normal(size=(1001, 7)).astype(np.float32)
    np.testing.assert_array_equal(mean_of([rows]), rows.mean(axis=0))
    assert mean_of([rows]).dtype == np.float32


def test_parts_count_by_their_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(1001, 7))
    parts = (rows[block] for block in blocks(1001, 400))
    np.testing.assert_allclose(mean_of(parts), rows.mean(axis=0), rtol=1e-12)


def test_many_rows_lose_few_digits() -> None:
    """In one sum each row is small beside those summed before, and its last digits go."""
    rows = np.abs(np.random.default_rng(0).standard_normal((2**20, 4), dtype=np.float32))
    truth = rows.astype(np.float64).mean(axis=0)
    in_blocks = mean_of(rows[block] for block in blocks(len(rows)))
    assert abs(in_blocks / truth - 1).max() < 1e-5 < abs(rows.mean(axis=0) / truth - 1).max()
