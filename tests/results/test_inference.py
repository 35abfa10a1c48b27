"""A video's answer is the mean over its clips, however many are asked at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from newfound.batch import Media
from newfound.config import VideoConfig
from newfound.data.image_loader import KeptImages
from newfound.data.items import Draw
from newfound.errors import NonFiniteLossError
from newfound.models.heads import NearestCentre
from newfound.models.network import Network, make_network
from newfound.results import inference
from newfound.results.inference import Answers, answers_to, ask
from newfound.settings import make_config
from newfound.views.viewer import Viewer
from support.small_run import tiny_config

CPU = torch.device("cpu")


class MadeClips:
    """Noise in place of videos, which notes how much is asked for at a time."""

    def __init__(self, n: int, clips: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.clips = clips
        self.all = Media(
            torch.randint(0, 256, (n * clips, 3, 2, 9, 9), generator=generator).byte(),
            torch.randint(-9999, 9999, (n * clips, 7200), generator=generator).short(),
            torch.rand(n * clips, generator=generator) > 0.3,
        )
        self.asked: list[int] = []

    def batches(self, rows: Sequence[Tensor], draw: Draw | None = None) -> Iterator[Media]:
        assert draw is None
        for batch in rows:
            media = self.all.select(torch.cat([self.of(row) for row in batch.tolist()]))
            self.asked.append(len(media))
            yield media

    def of(self, row: int) -> Tensor:
        return torch.arange(row * self.clips, (row + 1) * self.clips)


def video_config(**changed: Any) -> VideoConfig:
    settings: dict[str, Any] = {
        "px": 8,
        "width": 4,
        "clip_frames": 2,
        "sound_seconds": 0.4,
        "sound_offset_seconds": 0.025,
        "mels": 8,
        "fusion_size": 8,
        "hashes": 16,
        "precision": "float32",
    }
    config = make_config("quick-videos", **settings | changed)
    assert isinstance(config, VideoConfig)
    return config


@pytest.fixture(scope="module")
def network() -> Network:
    """Not as it begins: with statistics of its own, and sure of some of its answers."""
    made = make_network(video_config(), 3, 4)
    clips = MadeClips(8, 4)
    viewer = Viewer(video_config(), CPU)
    with torch.no_grad():
        made.train()(viewer.plain(clips.all))
        for head in (made.known, made.novel):
            head.weight.mul_(40)
    return made


def asked(network: Network, items: Any, rows: Sequence[int], **how: Any) -> Answers:
    return ask(network, items, np.array(rows), config=video_config(), device=CPU, **how)


@torch.no_grad()
def answers_by_loops(network: Network, items: MadeClips, rows: Sequence[int]) -> list[np.ndarray]:
    """Each clip alone; then the mean of features and of probabilities, in float64."""
    viewer = Viewer(video_config(), CPU)
    network.eval()
    found: list[list[np.ndarray]] = [[], [], []]
    for row in rows:
        outputs = [network(viewer.plain(items.all.select(i[None]))) for i in items.of(row)]
        fused = sum(one.fused[0].double() for one in outputs) / items.clips
        known = sum(one.known[0].double().softmax(0) for one in outputs) / items.clips
        novel = sum(one.novel[0].double().softmax(0) for one in outputs) / items.clips
        for part, value in zip(found, (fused, known, novel)):
            part.append(value.numpy())
    return [np.stack(part) for part in found]


@pytest.mark.parametrize("clips", [1, 3, 4])
def test_a_videos_answer_is_the_mean_over_single_clips(network: Network, clips: int) -> None:
    items, rows = MadeClips(6, clips), [4, 0, 5, 1]
    answers = asked(network, items, rows)
    fused, known, novel = answers_by_loops(network, items, rows)
    np.testing.assert_allclose(answers.features, fused, rtol=1e-4, atol=1e-5)
    for logits, probabilities in ((answers.known, known), (answers.novel, novel)):
        ours = torch.from_numpy(logits).double().softmax(1).numpy()
        np.testing.assert_allclose(ours, probabilities, rtol=1e-4, atol=1e-6)
    if clips > 1:  # the logits are logarithms of probabilities
        np.testing.assert_allclose(np.exp(answers.novel.astype(float)).sum(1), 1, rtol=1e-5)
    assert {part.dtype for part in vars(answers).values()} == {np.dtype(np.float32)}


def test_kmeans_names_the_centre_that_is_nearest_to_a_videos_mean_features() -> None:
    """As it clusters these; the most probable over the clips would now and then be another."""
    config, items = video_config(method="kmeans", pretraining="labels"), MadeClips(12, 4)
    network = make_network(config, 3, 4)
    assert isinstance(network.novel, NearestCentre)
    first = ask(network, items, np.arange(12), config=config, device=CPU).features
    network.novel.place(torch.from_numpy(first[:4]), 1e-3)
    answers = ask(network, items, np.arange(12), config=config, device=CPU)
    np.testing.assert_array_equal(answers.novel[:4].argmax(axis=1), np.arange(4))
    distances = np.linalg.norm(first[:, None] - first[:4], axis=2)
    np.testing.assert_array_equal(answers.novel.argmax(axis=1), distances.argmin(axis=1))


def test_clips_disagree_in_this_test(network: Network) -> None:
    """Else the mean of probabilities could not be told from the softmax of mean logits."""
    items = MadeClips(6, 4)
    with torch.no_grad():
        logits = network.eval()(Viewer(video_config(), CPU).plain(items.all)).novel.double()
    of_items = logits.unflatten(0, (6, 4))
    difference = of_items.mean(1).softmax(1) - of_items.softmax(2).mean(1)
    assert difference.abs().max() > 0.05


@pytest.mark.parametrize(("clips", "expected"), [(1, [8, 8, 4]), (4, [8] * 10), (10, [10] * 20)])
def test_as_many_clips_are_asked_at_a_time_as_images(
    network: Network, clips: int, expected: list[int]
) -> None:
    items = MadeClips(20, clips)
    done: list[int] = []
    asked(network, items, range(20), batch=8, advance=done.append)
    assert items.asked == expected
    assert sum(done) == 20 and [clips * items for items in done] == expected


def test_how_many_are_asked_at_a_time_changes_nothing(network: Network) -> None:
    one, other = (asked(network, MadeClips(7, 3), range(7), batch=batch) for batch in (1, 256))
    for name in ("features", "known", "novel"):
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("held", [1, 2, 3])
def test_how_many_batches_are_held_changes_nothing(
    network: Network, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    whole = asked(network, MadeClips(7, 3), range(7), batch=3)
    fetched: list[int] = []
    fetch = inference._fetched

    def counted(batches: list[Any]) -> Answers:
        fetched.append(len(batches))
        return fetch(batches)

    monkeypatch.setattr(inference, "HELD_BATCHES", held)
    monkeypatch.setattr(inference, "_fetched", counted)
    parts = asked(network, MadeClips(7, 3), range(7), batch=3)
    assert sum(fetched) == 7 and max(fetched) == held
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(getattr(parts, name), value)


def test_answers_come_while_items_come(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is bounded, however many items there are."""
    monkeypatch.setattr(inference, "HELD_BATCHES", 2)
    items = MadeClips(9, 2)
    batches = [torch.arange(at, at + 3) for at in range(0, 9, 3)]
    parts = answers_to(items.batches(batches), network, 2, video_config(), CPU)
    first = next(parts)
    assert (len(first), len(items.asked)) == (6, 2)
    assert [len(part) for part in parts] == [3]
    assert not torch.is_inference_mode_enabled()


def test_nothing_asked_is_nothing_answered(network: Network) -> None:
    items = MadeClips(2, 3)
    answers = asked(network, items, [])
    assert (answers.features.shape, answers.known.shape) == ((0, 8), (0, 3))
    assert answers.novel.shape == (0, 4)
    assert items.asked == []


def test_an_image_is_its_own_mean() -> None:
    config = tiny_config()
    network = make_network(config, 2, 3)
    images = KeptImages(torch.arange(5 * 16 * 16).reshape(5, 1, 16, 16).byte())
    answers = ask(network, images, np.array([3, 1]), config=config, device=CPU)
    with torch.no_grad():
        outputs = network(Viewer(config, CPU).plain(Media(images.pixels[[3, 1]])))
    np.testing.assert_array_equal(answers.novel, outputs.novel.numpy())  # logits, unchanged
    np.testing.assert_array_equal(answers.features, outputs.fused.numpy())


def test_outputs_that_are_no_numbers_are_an_error() -> None:
    broken = make_network(video_config(), 2, 2)
    with torch.no_grad():
        broken.novel.bias[0] = torch.nan
    with pytest.raises(NonFiniteLossError, match="outputs are not finite"):
        asked(broken, MadeClips(2, 3), [0, 1])
