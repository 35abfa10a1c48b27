"""The textbook forms, which newfound is measured against, equal the equations as loops."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks import textbook
from newfound.objective.pairs import wta_windows
from reference import equations

M, SIZE = 6, 12
WINDOWS = wta_windows(SIZE, 20, 3, torch.Generator().manual_seed(0))


def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(M, SIZE, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("n", [M, 2])
def test_codes_are_counted_as_in_eq_6(n: int) -> None:
    counted = textbook.equal_codes(textbook.wta_codes(features(), WINDOWS), n)
    expected = equations.wta_agreement(features(), WINDOWS, 3)[:n]
    torch.testing.assert_close(counted, expected, check_dtype=False)


@pytest.mark.parametrize("n", [M, 2])
def test_ranks_are_compared_as_sets(n: int) -> None:
    values = features()
    values[3] = values[0].flip(0)
    values[4] = 2 * values[1]
    first, second = values[0].argsort(descending=True)[:2]
    values[5] = values[0]
    values[5, [first, second]] = values[0, [second, first]]  # the same ones, in another order
    same = textbook.equal_tops(textbook.ranked(values), n, top=3)
    expected = [[equations.same_greatest(a, b, 3) for b in values] for a in values[:n]]
    assert same.tolist() == expected
    assert same[1, 4] and same[0, 5]


@pytest.mark.parametrize("n", [M, 2])
def test_cosines_and_the_nearest_are_those_of_loops(n: int) -> None:
    values = features()
    for i in range(n):
        cosines = [float(a @ values[i] / (a.norm() * values[i].norm())) for a in values]
        assert textbook.cosines(values, n)[i].tolist() == pytest.approx(cosines)
        others = [j for j in range(M) if j != i]
        nearest = max(others, key=lambda j: cosines[j])
        assert textbook.nearest(values, n)[i].nonzero().flatten().tolist() == [nearest]


@pytest.mark.parametrize("across", [False, True])
def test_nce_is_that_of_the_equations(across: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    visual, audio = F.normalize(
        torch.randn(2, M, 4, generator=generator, dtype=torch.float64), dim=2
    )
    labels = torch.tensor([0, -1, 0] * 2)
    expected = equations.multimodal_contrastive(
        visual,
        audio,
        labels.tolist(),
        [True] * M,
        0.5,
        "cross" if across else "within",
        "cross" if across else "within",
        kept=across,
    )
    if across:
        given = textbook.nce(visual, audio, labels, 0.5, across=True)
    else:
        of_each = [textbook.nce(z, z, labels, 0.5) for z in (visual, audio)]
        given = tuple(map(sum, zip(*of_each)))  # type: ignore[assignment]
    torch.testing.assert_close(given, expected)
