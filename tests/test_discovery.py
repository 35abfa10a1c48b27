import gc
import math
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pyarrow.parquet import ParquetFile

import newfound
from newfound import conclusion
from newfound.baselines import kmeans
from newfound.cli.main import run_command_line
from newfound.discovery import choose_preset
from newfound.disk import embedding
from newfound.machine.surroundings import plain_surroundings
from newfound.models.network import Network
from support.made_images import made_arrays, make_folder
from support.small_run import TINY, assert_same_run, discover_command

TINY_IN_PYTHON = TINY | {"epochs": 1}


pytestmark = pytest.mark.usefixtures("one_thread")


def discovered(data: Any, **more: Any) -> newfound.Discovery:
    runtime = newfound.Runtime(device="cpu", workers=0)
    quiet = {"quiet": True} | more
    return newfound.discover(data, num_novel=2, runtime=runtime, **TINY_IN_PYTHON | quiet)


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


@pytest.mark.parametrize("as_given", [np.asarray, torch.from_numpy])
def test_images_in_memory_are_named_as_their_files_are(
    tmp_path: Path, as_given: Callable[[np.ndarray], Any]
) -> None:
    photos = make_folder(tmp_path / "photos", each=6)
    found = discovered(photos)
    more = sorted((photos / "unlabelled").iterdir())
    pixels = as_given(np.stack([np.asarray(Image.open(path)) for path in more]))
    of_pixels = found.predict(pixels, workers=0)
    pd.testing.assert_frame_equal(of_pixels, found.predict(list(pixels), workers=0))
    of_files = found.predict(photos / "unlabelled", workers=0)
    assert list(of_pixels["path"]) == [f"{row:02}" for row in range(12)]
    columns = ["category", "kind", "confidence", "second", "margin"]
    pd.testing.assert_frame_equal(of_pixels[columns], of_files[columns])
    with pytest.raises(newfound.InputError, match="the pixels are float32; give uint8"):
        found.predict(pixels / np.float32(255))
    for nothing in (pixels[:0], [], ()):
        with pytest.raises(newfound.InputError, match="there are no images; give at least one"):
            found.predict(nothing)
    for one in (pixels[0], pixels[0, :, :, 0]):
        with pytest.raises(newfound.InputError, match=r"of one.* pixels\[None\]"):
            found.predict(one)
    of_paths = found.predict(more, workers=0)
    assert list(of_paths["path"]) == [str(path) for path in more]
    pd.testing.assert_frame_equal(of_paths[columns], of_files[columns])
    with pytest.raises(newfound.InputError, match=r"data is given as .* an array of numpy$"):
        found.predict(torch.zeros(2, 8, 8, dtype=torch.bfloat16))  # type: ignore[arg-type]


def test_answers_to_a_dataframe_have_its_rows(tmp_path: Path) -> None:
    """So that they can be put beside them, whatever is left out or there twice."""
    photos = make_folder(tmp_path / "photos", each=6)
    found = discovered(photos)
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    paths = sorted((photos / "unlabelled").iterdir())[:3]
    table = pd.DataFrame({"path": [bad, *paths, paths[0]]}, index=[5, 3, 8, 2, 4])
    with pytest.warns(
        UserWarning, match=r"1 of 5 are left out: '.*bad\.png' \(not an image"
    ) as told:
        answers = found.predict(table, workers=0)
    assert told[0].filename == __file__
    assert answers.index.tolist() == [3, 8, 2, 4]
    assert answers["path"].tolist() == [*map(str, [*paths, paths[0]])]
    one_by_one = [found.predict(path, workers=0)["category"].item() for path in paths]
    table["category"] = answers["category"]
    assert table["category"].isna().tolist() == [True, False, False, False, False]
    assert table["category"].tolist()[1:] == [*one_by_one, one_by_one[0]]


@pytest.mark.parametrize("quiet", [False, True])
def test_what_a_run_warns_of_is_told_in_python_too(
    quiet: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = discovered(make_folder(tmp_path / "photos", each=6), quiet=quiet)
    printed = " ".join("".join(capsys.readouterr()).split())
    assert found.result_["warnings"]
    for warning in found.result_["warnings"]:
        assert (f"warning: {warning}" in printed) != quiet


def test_a_call_goes_on_where_it_was(tmp_path: Path) -> None:
    photos = make_folder(tmp_path / "photos", each=6)
    first = discovered(photos, out=tmp_path / "run")
    weights = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    again = discovered(photos, out=tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == weights
    pd.testing.assert_frame_equal(first.table(), again.table())
    with pytest.raises(newfound.RunFolderError, match=r"config\.epochs: 1 there, 2 asked"):
        discovered(photos, out=tmp_path / "run", epochs=2)


def test_a_result_stays_where_it_is_when_the_current_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = discovered(make_folder(tmp_path / "photos", each=6), out="run")
    loaded = newfound.load("run")
    monkeypatch.chdir("/")
    for result in (found, loaded):
        assert len(result.embedding_) == len(result.predict(tmp_path / "photos", workers=0)) - 12
        assert result.report() == tmp_path / "run" / "report.html"


def test_a_result_is_not_that_of_another_run_in_its_folder(tmp_path: Path) -> None:
    photos = make_folder(tmp_path / "photos", each=6)
    found = discovered(photos, out=tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    again = discovered(photos, out=tmp_path / "run", seed=5)
    assert len(again.embedding_) == len(again.categories()) * 6
    for ask in (
        lambda: found.embedding_,
        lambda: found.probabilities_,
        found.categories,
        found.report,
        lambda: found.predict(photos, workers=0),
        lambda: found.save(tmp_path / "saved"),
    ):
        with pytest.raises(newfound.RunFolderError, match="another result than this one"):
            ask()


def test_what_is_warned_of_at_the_start_is_in_the_result_too(tmp_path: Path) -> None:
    photos = make_folder(tmp_path / "photos", each=6)
    file = next((photos / "unlabelled").iterdir())
    shutil.copy(file, photos / "labelled" / "red-disc" / "copy.png")
    told = [
        text
        for text in discovered(photos, out=tmp_path / "run").result_["warnings"]
        if "1 of the unlabelled images are labelled, too" in text
    ]
    assert len(told) == 1
    assert (tmp_path / "run" / "report.html").read_text().count("are labelled, too, such as") == 1


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


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


def settings_of_torch_and_numpy() -> dict[str, Any]:
    return {
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "errors": np.geterr(),
    }


@pytest.mark.parametrize(
    "surroundings",
    [
        torch.no_grad(),
        torch.inference_mode(),
        default_dtype(torch.float64),
        default_dtype(torch.float16),
        default_device("meta"),
        torch.device("meta"),
        np.errstate(all="raise"),
        torch.autocast("cpu", torch.bfloat16),
    ],
    ids=[
        "no_grad",
        "inference_mode",
        "float64",
        "float16",
        "default_device",
        "device",
        "errstate",
        "autocast",
    ],
)
def test_what_a_notebook_set_around_it_changes_nothing(
    tmp_path: Path, surroundings: AbstractContextManager[Any]
) -> None:
    """In bfloat16, to which torch may keep weights as cast until the outermost autocast ends."""
    photos = make_folder(tmp_path / "photos", each=6)
    plain = discovered(photos, out=tmp_path / "plain", precision="bfloat16")
    predicted = plain.predict(photos / "unlabelled", workers=0)
    usual = settings_of_torch_and_numpy()
    with surroundings:
        before = settings_of_torch_and_numpy()
        assert before != usual
        with plain_surroundings():
            assert settings_of_torch_and_numpy() == usual
        found = discovered(photos, out=tmp_path / "within", precision="bfloat16")
        again = found.predict(photos / "unlabelled", workers=0)
        assert settings_of_torch_and_numpy() == before
    assert_same_run(tmp_path / "plain", tmp_path / "within")
    pd.testing.assert_frame_equal(again, predicted, check_exact=True)


def test_products_that_a_notebook_made_coarse_are_exact_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    forward = Network.forward

    def noting(network: Network, *given: Any) -> Any:
        seen.append(torch.get_float32_matmul_precision())
        return forward(network, *given)

    monkeypatch.setattr(Network, "forward", noting)
    photos = make_folder(tmp_path / "photos", each=6)
    torch.set_float32_matmul_precision("medium")
    try:
        found = discovered(photos, out=tmp_path / "run")
        trained = len(seen)
        found.predict(photos / "unlabelled", workers=0)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert len(seen) > trained and set(seen) == {"highest"}


def test_a_call_from_python_is_the_command(tmp_path: Path) -> None:
    """To the bit in bfloat16, though what surrounds the call is an autocast, too."""
    photos = make_folder(tmp_path / "photos", each=6)
    command = discover_command(photos, tmp_path / "there", precision="bfloat16")
    assert run_command_line(command) == 0
    discovered(photos, out=tmp_path / "here", precision="bfloat16", epochs=TINY["epochs"])
    assert_same_run(tmp_path / "there", tmp_path / "here")


def test_it_works_where_nothing_can_be_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_folder(tmp_path / "photos", each=6)
    for number, stream in enumerate((None, object())):
        monkeypatch.setattr("sys.stderr", stream)
        found = discovered(photos, out=tmp_path / str(number))
        assert len(found.predict(photos / "unlabelled", workers=0)) == 12


def test_a_temporary_run_is_removed_with_its_result_without_a_warning() -> None:
    pixels, kinds = made_arrays((0, 1, 2, 3), 6)
    found = discovered((pixels, np.where(kinds < 2, kinds, -1)))
    place = found.folder.path
    assert place.is_dir()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del found
        gc.collect()
    assert not place.exists() and not told


def test_a_catalogue_brings_its_truth(tmp_path: Path) -> None:
    photos = make_folder(tmp_path / "photos", each=6)
    catalogue, _ = newfound.open_catalogue(photos)
    truth = newfound.Truth(np.repeat([0, 1], 6), ("bar", "cross"))
    assert "novel" in discovered((catalogue, truth), out=tmp_path / "run").result_


@pytest.mark.parametrize("runtime", [{"workers": 0}, "cpu", newfound.Runtime])
def test_a_runtime_that_is_none_is_refused_at_once(runtime: Any) -> None:
    with pytest.raises(newfound.InputError, match=r"runtime is given as .*; give a newfound\.Run"):
        newfound.discover("nowhere", num_novel=2, runtime=runtime)


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
    with pytest.raises(newfound.InputError, match="photos is a folder; give another place"):
        found.report(photos)
    for odd in (None, ["a"], found.table()):
        with pytest.raises(newfound.InputError, match=r"the truth is given as .*; give a dict of"):
            found.evaluate(odd)  # type: ignore[arg-type]
    truth = dict.fromkeys(found.table()["path"], 1)  # as whole numbers, in place of text
    assert found.evaluate(truth | {next(iter(truth)): "b"})["per_category"]  # type: ignore[arg-type, dict-item]
    with pytest.raises(newfound.InputError, match=r"truth is of 'else', .* as items.csv has them"):
        found.evaluate({"else": "a"})
    with pytest.raises(newfound.InputError, match=r"the truth is of nothing, \.\.\. and the items"):
        found.evaluate({})
    some = dict.fromkeys([*truth][9:], "a")
    with pytest.raises(newfound.InputError, match=r"the truth lacks 9 of 12 .* by --partial"):
        found.evaluate(some)
    found._items["category"] = ["novel-1"] * 8 + ["novel-2"] * 4
    by_some = found.evaluate(dict.fromkeys(truth, "") | some, partial=True)
    assert by_some["acc"] == 1
    assert by_some["confusion"]["category"] == ["novel-2", "novel-1"]
    assert by_some["confusion"]["counts"] == [[3, 0]]
    with pytest.raises(newfound.InputError, match="the truth lacks 12 of 12 items"):
        found.evaluate(dict.fromkeys(truth, ""), partial=True)
    for none in (None, math.nan, np.nan, pd.NA, pd.NaT, "", "  ", -1, np.int64(-1), -1.0, "-1"):
        with pytest.raises(newfound.InputError, match="the truth lacks 12 of 12 items"):
            found.evaluate(dict.fromkeys(truth, none))  # type: ignore[arg-type]
    assert set(newfound.__all__) <= set(dir(newfound))
    with pytest.raises(newfound.InputError, match="max_bad"):  # of a run, not of prediction
        found.predict(photos, max_bad=0.5)
    for what in ({3}, None, 3):
        with pytest.raises(newfound.InputError, match=r"data is given as .* the pixels of images"):
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
