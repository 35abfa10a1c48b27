from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pyarrow.parquet import ParquetFile

import newfound
from newfound import conclusion, embedding
from newfound.baselines import kmeans
from newfound.discovery import choose_preset
from support.made_images import made_arrays, make_folder
from support.small_run import TINY

TINY_IN_PYTHON = TINY | {"epochs": 1}


pytestmark = pytest.mark.usefixtures("one_thread")


def discovered(data: Any, **more: Any) -> newfound.Discovery:
    runtime = newfound.Runtime(device="cpu", workers=0)
    return newfound.discover(
        data, num_novel=2, quiet=True, runtime=runtime, **TINY_IN_PYTHON | more
    )


def test_a_path_arrays_and_a_catalogue_are_all_taken(tmp_path: Path) -> None:
    pixels, kinds = made_arrays((0, 1, 2, 3), 6)
    labels = np.where(kinds < 2, kinds, -1)
    catalogue = newfound.from_arrays(pixels, labels)
    by_arrays = discovered((pixels, labels), out=tmp_path / "arrays")
    by_catalogue = discovered(catalogue, out=tmp_path / "catalogue")
    pd.testing.assert_frame_equal(by_arrays.table(), by_catalogue.table())
    by_path = discovered(str(make_folder(tmp_path / "photos", each=6)), out=tmp_path / "path")
    assert len(by_path.labels_) == len(by_arrays.labels_) == 12
    assert by_path.known_ == ("green-square", "red-disc")


def test_a_call_goes_on_where_it_was(tmp_path: Path) -> None:
    photos = make_folder(tmp_path / "photos", each=6)
    first = discovered(photos, out=tmp_path / "run")
    weights = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    again = discovered(photos, out=tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == weights
    pd.testing.assert_frame_equal(first.table(), again.table())
    with pytest.raises(newfound.RunFolderError, match=r"config\.epochs: 1 there, 2 asked"):
        discovered(photos, out=tmp_path / "run", epochs=2)


def test_without_a_folder_the_result_can_be_saved(tmp_path: Path) -> None:
    found = discovered(make_folder(tmp_path / "photos", each=6))
    found.save(tmp_path / "saved")
    loaded = newfound.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.embedding_, found.embedding_)
    predicted = loaded.predict(tmp_path / "photos" / "unlabelled", workers=0)
    assert len(predicted) == 12


def test_stopped_without_a_folder_it_does_not_promise_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    pixels, kinds = made_arrays((0, 1, 2, 3), 6)
    monkeypatch.setattr("newfound.run.conclude", interrupted)
    with pytest.raises(newfound.Stopped, match="without `out`, nothing of the run is kept"):
        discovered((pixels, np.where(kinds < 2, kinds, -1)))


def test_the_saved_network_has_its_outputs_in_the_order_of_the_categories(tmp_path: Path) -> None:
    """Untrained, so that sizes are unequal and the largest category is not the first output."""
    photos = make_folder(tmp_path / "photos", novel=(2, 3, 4), each=6)
    runtime = newfound.Runtime(device="cpu", workers=0)
    orders = []
    for seed in range(3):
        found = newfound.discover(
            photos, num_novel=3, quiet=True, runtime=runtime, **TINY | {"epochs": 1, "seed": seed}
        )
        items = found.table().assign(path=lambda t: t["path"].str.removeprefix("unlabelled/"))
        predicted = found.predict(photos / "unlabelled", workers=0)
        both = items.merge(predicted[predicted["kind"] == "novel"], on="path")
        orders += [*zip(both["category_x"], both["category_y"])]
    assert len(orders) > 10
    assert all(ours == theirs for ours, theirs in orders)


def test_what_is_written_in_parts_and_fitted_on_a_sample_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_folder(tmp_path / "photos", each=10)
    whole = discovered(photos, out=tmp_path / "whole")
    monkeypatch.setattr(embedding, "PART_ROWS", 8)
    monkeypatch.setattr(conclusion, "PART_ROWS", 8)
    monkeypatch.setattr(kmeans, "FITTED_ON", 12)
    parts = discovered(photos, out=tmp_path / "parts")
    names = {path.name for path in (tmp_path / "parts").glob("embedding*")}
    assert names == {"embedding.npz", "embedding-00001.npz", "embedding-00002.npz"}
    assert ParquetFile(tmp_path / "parts" / "items.parquet").num_row_groups == 3
    np.testing.assert_array_equal(parts.embedding_, whole.embedding_)
    np.testing.assert_array_equal(parts.probabilities_, whole.probabilities_)
    pd.testing.assert_frame_equal(
        parts.table().drop(columns="features_kmeans"), whole.table().drop(columns="features_kmeans")
    )


def test_a_benchmarks_pixels_are_clustered_by_a_sample_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two kinds of plain colour: whichever images the sample has, every image goes to its kind."""
    monkeypatch.setattr(kmeans, "FITTED_ON", 8)  # the first eight are of one kind
    random = np.random.default_rng(0)
    for kind, colour in enumerate((20, 90, 160, 230)):
        folder = tmp_path / "data" / f"class-{kind}"
        folder.mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(colour - 9, colour + 9, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    found = discovered(str(tmp_path / "data"), labelled_classes=2, out=tmp_path / "run")
    assert len(found.labels_) == 20
    assert found.result_["baselines"]["kmeans_pixels"]["acc"] == 1


def test_tables_are_copies(tmp_path: Path) -> None:
    found = discovered(make_folder(tmp_path / "photos", each=6), out=tmp_path / "run")
    table = found.table()
    table["category"] = "mine"
    assert "mine" not in set(found.table()["category"])


@pytest.mark.parametrize(
    ("shape", "preset"),
    [
        ((64, 64), "digits"),
        ((64, 64, 3), "small-images"),
        ((65, 65), "images"),
        ((200, 64, 3), "small-images"),
        ((65, 200, 3), "images"),
    ],
)
def test_the_preset_follows_size_and_colour(shape: tuple[int, ...], preset: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (4, *shape), dtype=np.uint8)
    assert choose_preset(newfound.from_arrays(pixels, [0, 1, -1, -1])) == preset


def test_the_digits_have_a_preset_of_their_own() -> None:
    catalogue, truth = newfound.open_catalogue("digits")
    assert choose_preset(catalogue) == "digits"
    assert truth is not None


def test_no_run_no_result(tmp_path: Path) -> None:
    with pytest.raises(
        newfound.RunFolderError, match="holds no run of newfound; give the folder that was"
    ):
        newfound.load(tmp_path)


@pytest.mark.parametrize("num_novel", ["2", 2.0, float("nan"), None])
def test_a_number_of_categories_that_is_none_is_refused_at_once(num_novel: Any) -> None:
    with pytest.raises(newfound.InputError, match=r"num_novel is .*; give a whole number"):
        newfound.discover("nowhere", num_novel=num_novel)


def test_processes_without_a_folder_in_common_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_folder(tmp_path / "photos", each=6)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(newfound.InputError, match="2 processes work on one run folder; give out"):
        newfound.discover(photos, num_novel=2, **TINY_IN_PYTHON)


def test_a_number_of_numpy_is_one(tmp_path: Path) -> None:
    photos = make_folder(tmp_path / "photos", each=6)
    runtime = newfound.Runtime(device="cpu", workers=0)
    found = newfound.discover(
        photos, num_novel=np.int64(2), quiet=True, runtime=runtime, **TINY_IN_PYTHON
    )
    assert len(found.categories_) == 2
    with pytest.raises(newfound.InputError, match="nowhere is no folder"):
        found.report(tmp_path / "nowhere" / "page.html")
    truth = dict.fromkeys(found.table()["path"], 1)  # as whole numbers, in place of text
    assert found.evaluate(truth | {next(iter(truth)): "b"})["per_category"]  # type: ignore[arg-type, dict-item]
    with pytest.raises(newfound.InputError, match="the truth lacks 12 of 12 items"):
        found.evaluate(dict.fromkeys(truth, None))  # type: ignore[arg-type]
    with pytest.raises(newfound.InputError, match="max_bad"):  # of a run, not of prediction
        found.predict(photos, max_bad=0.5)
    for what in ([photos], None, 3):
        with pytest.raises(newfound.InputError, match=r"data is given as .*; give its path"):
            found.predict(what)  # type: ignore[arg-type]
        with pytest.raises(newfound.InputError, match="; give its path"):
            found.save(what)  # type: ignore[arg-type]
    with pytest.raises(newfound.InputError, match="lies in the run's own folder"):
        found.save(found.folder.path / "copy")


@pytest.mark.parametrize("run", [None, 3, ["run"]])
def test_a_run_is_given_by_its_path(run: Any) -> None:
    with pytest.raises(newfound.InputError, match=r"a run is given as .*; give its path"):
        newfound.load(run)


def test_a_run_does_not_go_among_its_data(tmp_path: Path) -> None:
    photos = make_folder(tmp_path / "photos", each=6)
    with pytest.raises(newfound.InputError, match="are data; give a folder outside"):
        discovered(photos, out=photos / "unlabelled" / "run")
    with pytest.raises(newfound.InputError, match="are data; give a folder outside"):
        discovered(
            labelled=photos / "labelled",
            unlabelled=photos / "unlabelled",
            data=None,
            out=photos / "labelled" / "run",
        )
    assert not list(photos.rglob("run"))
