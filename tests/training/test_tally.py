"""What is counted of an epoch, against counting by hand."""

import copy
import math

import pytest
import torch

from newfound.batch import Batch, Media
from newfound.training.tally import Tally

LABELS = torch.tensor([0, 1, 1, -1, -1, -1, -1])


def batch(*rows: int) -> Batch:
    index = torch.tensor(rows)
    return Batch(Media(torch.zeros(len(rows), 1, 8, 8, dtype=torch.uint8)), LABELS[index], index)


def pairs(*positive: tuple[int, int], items: int) -> torch.Tensor:
    """(items, items) bool: these pairs either way round, and each item with itself."""
    made = torch.eye(items, dtype=torch.bool)
    for i, j in positive:
        made[i, j] = made[j, i] = True
    return made


def test_shares_of_pairs_over_all_batches_of_an_epoch() -> None:
    """Ordered pairs of different items: of unlabelled ones, and how right those of labels are."""
    tally = Tally(LABELS, 2)
    first, second = batch(0, 1, 2, 3), batch(1, 2, 4, 5, 6)
    tally.note_pairs(pairs((0, 1), (1, 2), (2, 3), items=4), first.label)
    tally.note_pairs(pairs((2, 3), (0, 4), items=5), second.label)
    figures = tally.close()
    # Unlabelled pairs: none in the first batch; (4, 5), (4, 6), (5, 6) in the second.
    assert figures["pairs_share"] == pytest.approx(1 / 3)
    # Labelled: (0, 1), (0, 2), (1, 2) and (1, 2). Found: (0, 1) wrongly, (1, 2) in the first.
    assert figures["pairs_labelled_share"] == pytest.approx(2 / 4)
    assert figures["pairs_precision"] == pytest.approx(1 / 2)
    assert figures["pairs_recall"] == pytest.approx(1 / 2)


def test_evenness_is_the_entropy_of_the_mean_prediction_of_unlabelled_items() -> None:
    tally = Tally(LABELS, 3)
    surely = torch.eye(3)
    tally.note_predictions(batch(0, 3), surely[[2, 0]])  # what is said of item 0 does not count
    tally.note_predictions(batch(4), torch.tensor([[0.0, 0.5, 0.5]]))
    expected = -(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25)) / math.log(3)
    assert tally.close()["entropy"] == pytest.approx(expected)

    tally.note_predictions(batch(3, 4, 5), surely)
    assert tally.close()["entropy"] == pytest.approx(1)
    tally.note_predictions(batch(3, 4, 5), surely[[1, 1, 1]])
    assert tally.close()["entropy"] == pytest.approx(0)


def test_churn_counts_unlabelled_items_that_were_seen_before() -> None:
    tally = Tally(LABELS, 2)
    one, other = torch.eye(2)
    tally.note_predictions(batch(0, 3, 4, 5), torch.stack([one, one, one, other]))
    assert tally.categories.tolist() == [0, -1, -1, 0, 0, 1, -1]
    assert math.isnan(tally.close()["churn"])  # nothing was seen before the first epoch
    tally.note_predictions(batch(0, 3, 6), torch.stack([other, other, other]))
    # Items 3, 4 and 5 were seen; of these 3 changed, 4 and 5 were not drawn. 6 is new.
    assert tally.churn() == pytest.approx(1 / 3)
    assert tally.close()["churn"] == pytest.approx(1 / 3)
    assert tally.categories.tolist() == [1, -1, -1, 1, 0, 1, 1]
    assert tally.close()["churn"] == 0


def test_an_epoch_begins_anew_and_one_without_counts_has_no_shares() -> None:
    tally = Tally(LABELS, 2)
    for _ in range(2):
        tally.note_pairs(pairs((0, 1), items=2), LABELS[3:5])
        tally.note_predictions(batch(3), torch.tensor([[0.5, 0.5]]))
        figures = tally.close()
        assert (figures["pairs_share"], figures["entropy"]) == (1, pytest.approx(1))
        assert math.isnan(figures["pairs_precision"])
    empty = tally.close()
    assert all(math.isnan(value) for name, value in empty.items() if name != "churn")


def test_a_checkpoint_goes_on_counting() -> None:
    cut, whole = Tally(LABELS, 2), Tally(LABELS, 2)
    for tally in (cut, whole):
        tally.note_predictions(batch(3, 4), torch.eye(2))
        tally.close()
        tally.note_pairs(pairs((0, 1), items=4), LABELS[3:])
        tally.note_predictions(batch(3), torch.tensor([[0.0, 1.0]]))
    resumed = Tally(LABELS, 2)
    resumed.load_state_dict(copy.deepcopy(cut.state_dict()))
    for tally in (resumed, whole):
        tally.note_pairs(pairs(items=2), LABELS[3:5])
        tally.note_predictions(batch(5), torch.tensor([[1.0, 0.0]]))
    ours, theirs = resumed.close(), whole.close()
    assert ours == pytest.approx(theirs, nan_ok=True)
    assert ours["churn"] == 0.5 and ours["pairs_share"] == pytest.approx(2 / 14)
