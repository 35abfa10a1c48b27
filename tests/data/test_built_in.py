"""The digits and CIFAR come as they are known, and their truth apart."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from sklearn.datasets import load_digits

from newfound.data import digits as digits_module
from newfound.data.built_in import digits_catalogue
from newfound.data.digits import placed_digits
from newfound.data.images import ArrayImages
from newfound.data.opening import open_catalogue
from newfound.errors import InputError


def test_digits() -> None:
    catalogue, truth = open_catalogue("digits")
    assert truth is not None
    target = load_digits().target
    assert catalogue.class_names == ("0", "1", "2", "3", "4")
    assert truth.class_names == ("5", "6", "7", "8", "9")
    assert np.array_equal(catalogue.labels, np.where(target < 5, target, -1))
    assert np.array_equal(truth.labels, target[target >= 5] - 5)
    assert isinstance(catalogue.items, ArrayImages)
    pixels = catalogue.items.pixels
    assert pixels.shape == (1797, 16, 16) and pixels.dtype == np.uint8


def test_digits_are_placed_within_their_frames() -> None:
    pixels, _ = placed_digits()
    ink = pixels.reshape(len(pixels), -1).sum(axis=1).astype(float)
    as_bundled = load_digits().images.reshape(len(pixels), -1).sum(axis=1)
    # A digit 10 to 14 px wide holds 1.25^2 to 1.75^2 the ink of one 8 px wide, 255/16 as black.
    growth = ink / as_bundled * 16 / 255
    assert growth.min() > 1.25**2 * 0.9 and growth.max() < 1.75**2 * 1.1
    places = [ndimage.center_of_mass(image) for image in pixels]
    assert np.ptp(places, axis=0).min() > 4, "digits lie at different spots"
    assert np.array_equal(pixels, placed_digits()[0]), "drawn once and for all"


def test_nothing_in_a_catalogue_tells_the_unlabelled_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, _ = digits_catalogue()
    digits = load_digits()
    novel = digits.target >= 5
    digits.target[novel] = np.random.default_rng(0).permutation(digits.target[novel])
    monkeypatch.setattr(digits_module, "load_digits", lambda: digits)
    scrambled, _ = digits_catalogue()
    assert scrambled.fingerprint() == honest.fingerprint()
    for name, column in vars(honest).items():
        if name != "items":
            assert np.array_equal(column, getattr(scrambled, name))
    assert isinstance(honest.items, ArrayImages) and isinstance(scrambled.items, ArrayImages)
    assert np.array_equal(honest.items.pixels, scrambled.items.pixels)


class FakeCifar:
    """Stands for torchvision's: ten classes, two training images and one test image of each."""

    def __init__(self, root: Path, train: bool, download: bool) -> None:
        assert root == Path("data") and download
        self.targets = list(range(10)) * (2 if train else 1)
        self.data = np.zeros((len(self.targets), 32, 32, 3), np.uint8)
        self.data[:, 0, 0, 0] = np.arange(len(self.targets)) + (0 if train else 100)
        self.classes = [f"class {i}" for i in range(10)]


def test_cifar10_holds_out_the_known_classes_of_its_test_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR10", FakeCifar)
    catalogue, truth = open_catalogue("cifar10", download=True)
    assert truth is not None
    assert catalogue.class_names == tuple(f"class {i}" for i in range(5))
    assert truth.class_names == tuple(f"class {i}" for i in range(5, 10))
    assert truth.labels.tolist() == [0, 1, 2, 3, 4] * 2
    held_out = np.flatnonzero(catalogue.held_out)
    assert catalogue.labels[held_out].tolist() == [0, 1, 2, 3, 4]
    assert catalogue.names[held_out].tolist() == [f"test/{i:02}" for i in range(5)]
    assert isinstance(catalogue.items, ArrayImages)
    assert catalogue.items.pixels[held_out, 0, 0, 0].tolist() == [100, 101, 102, 103, 104]
    assert len(catalogue.trainable) == 20


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_not_fetched_unasked(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="pass --download"):
        open_catalogue(name, root=tmp_path)
    assert not any(tmp_path.iterdir())
