import numpy as np
import pytest
import torch

from newfound.data.image_loader import KeptImages
from newfound.errors import InputError
from newfound.mu_search import begin_trial, make_rehearsal, score_trial
from newfound.results.evaluate import clustering_accuracy
from newfound.results.inference import ask
from newfound.training.train import train
from support.made_images import made_arrays
from support.small_run import one_thread, tiny_config

LABELS = np.array([0, 1, 2, 3, 4, -1, 0, 1, 2, 3, 4, -1, -1])
LABELLED = np.array([0, 1, 2, 3, 4, 6, 7, 8, 9])  # row 10 is held out


def test_the_last_classes_are_pretended_unlabelled() -> None:
    rehearsal = make_rehearsal(LABELS, LABELLED, num_novel=2)
    assert (rehearsal.known, rehearsal.novel) == (3, 2)
    assert rehearsal.labels.tolist() == [0, 1, 2, -1, -1, -1, 0, 1, 2, -1, -1, -1, -1]
    assert rehearsal.pretended.tolist() == [3, 4, 9]
    assert rehearsal.hidden.tolist() == [3, 4, 3]
    assert rehearsal.rows.tolist() == LABELLED.tolist()  # no unlabelled item takes part


def test_half_of_the_classes_stay_known() -> None:
    rehearsal = make_rehearsal(LABELS, LABELLED, num_novel=9)
    assert (rehearsal.known, rehearsal.novel) == (3, 2)


def test_a_class_that_is_only_held_out_is_none() -> None:
    """Of five classes, four are there to train on: 0, 2, 3, 4."""
    rehearsal = make_rehearsal(LABELS, np.flatnonzero((LABELS >= 0) & (LABELS != 1)), num_novel=2)
    assert (rehearsal.known, rehearsal.novel) == (2, 2)
    assert rehearsal.labels.tolist() == [0, -1, 1, -1, -1, -1, 0, -1, 1, -1, -1, -1, -1]
    assert rehearsal.hidden.tolist() == [2, 3, 2, 3]


def test_three_classes_are_too_few() -> None:
    labels = np.array([0, 1, 2, -1])
    with pytest.raises(InputError, match="at least 4 labelled classes to choose by, there are 3"):
        make_rehearsal(labels, np.arange(3), 2)


def test_a_trial_is_trained_on_labelled_items_and_scored_on_pretended_ones() -> None:
    pixels, kinds = made_arrays((0, 1, 2, 3), 6)
    grey = KeptImages(torch.from_numpy(pixels).float().mean(dim=3).byte()[:, None])
    rehearsal = make_rehearsal(kinds.astype(np.int64), np.arange(24), 2)
    config = tiny_config(heldout_epochs=2, warmup_epochs=2, epochs=9, batch=64)
    with one_thread():
        ground, training = begin_trial(rehearsal, 0.5, config, torch.device("cpu"), False)
        assert training.total_steps == 2
        assert ground.threshold == 16
        assert training.config.warmup_epochs == 0.5
        assert train(training, grey)
        acc = score_trial(rehearsal, ground, grey)
    answers = ask(
        ground.network, grey, rehearsal.pretended, config=config, device=torch.device("cpu")
    )
    assert acc == clustering_accuracy(rehearsal.hidden, answers.novel.argmax(axis=1)) >= 0.5
