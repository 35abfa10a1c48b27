"""Which settings a row is run with on which data set, at which scale."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from newfound.errors import InputError
from newfound.reproduce.datasets import (
    DATA_SETS,
    DataSet,
    ScaleName,
    find_data_set,
    shrink_in_words,
)
from newfound.reproduce.plan import settings_in_words
from newfound.reproduce.rows import TABLES, Row
from support.made_images import CLASSES, save_images

SCALES: tuple[ScaleName, ...] = ("full", "small")


def rows_of(data_set: DataSet) -> Iterator[Row]:
    for table in TABLES.values():
        if table.kind in (None, data_set.kind):
            yield from table.rows


def settings(name: str, number: int, data_set: str, scale: ScaleName = "full") -> dict[str, Any]:
    row = TABLES[name].row(number)
    return DATA_SETS[data_set].config(scale, row.settings).model_dump()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", DATA_SETS)
def test_every_row_can_be_run_and_its_folder_is_named_after_its_settings_alone(
    name: str, scale: ScaleName
) -> None:
    data_set, named = DATA_SETS[name], {}
    for row in rows_of(data_set):
        config = json.dumps(data_set.config(scale, row.settings).model_dump())
        named.setdefault(settings_in_words(data_set, scale, row), set()).add(config)
    assert all(len(configs) == 1 for configs in named.values())
    assert len(set.union(*named.values())) == len(named)


def test_the_same_run_in_several_tables_has_one_name() -> None:
    def name(table: str, row: int, data_set: str = "cifar10") -> str:
        return settings_in_words(DATA_SETS[data_set], "full", TABLES[table].row(row))

    assert name("table1", 11) == name("table3", 7) == name("table7", 8) == name("fig2", 2) == "ours"
    assert name("table1", 5) == name("table7", 3) == "rs"
    assert name("table1", 1) == name("fig2", 1) == "kmeans"
    assert name("table2", 7, "avdigits") == name("table4", 6, "avdigits") == "ours"
    assert name("table1", 10) == "rs-pretraining=cl"
    assert name("table3", 3) == "ours-bce_weight=0"
    assert name("table5", 1) == "ours-mu=130"
    assert name("table6", 2) == name("table5", 4) == "ours"  # the paper's own mu and k


def test_full_scale_is_the_papers() -> None:
    ours = settings("table1", 11, "cifar10")
    assert ours["method"] == "ours" and ours["pretraining"] == "none"
    for name, value in {
        "px": 32,
        "width": 64,
        "batch": 256,
        "epochs": 200,
        "hashes": 512,
        "window": 4,
        "mu": 240,
        "lr": 0.1,
        "projection_hidden": 512,
        "projection_size": 128,
    }.items():
        assert ours[name] == value, name
    assert settings("table1", 11, "imagenet")["batch"] == 1024
    videos = settings("table2", 7, "kinetics400")
    assert (videos["px"], videos["batch"], videos["mels"]) == (112, 1024, 257)
    assert (videos["clip_seconds"], videos["sound_seconds"], videos["clips"]) == (1, 2, 10)


def test_full_scale_of_a_baseline_is_its_authors() -> None:
    def has(table: dict[str, Any], **expected: Any) -> None:
        assert {name: table[name] for name in expected} == expected

    common = {"own_batch": 128, "pairs": "rank", "rank_top": 5, "epochs": 200, "weight_decay": 1e-4}
    has(
        settings("table1", 5, "cifar10"),
        **common,
        pretraining="rotnet",
        consistency_weight=5.0,
        ramp_length=0.25,
        drops=(0.85,),
        drop_factor=0.1,
    )
    has(settings("table1", 5, "cifar100"), **common, consistency_weight=50.0, ramp_length=0.75)
    has(settings("table1", 5, "svhn"), **common, consistency_weight=50.0, ramp_length=0.4)
    has(
        settings("table1", 6, "cifar100"),
        own_batch=256,
        own_epochs=400,
        consistency_weight=25.0,
        ramp_length=0.75,
        drops=(0.85,),
    )
    has(
        settings("table1", 5, "imagenet"),
        own_batch=512,
        unlabelled_share=0.25,
        own_epochs=90,
        pretraining="labels",
        consistency_weight=10.0,
        ramp_length=50 / 90,
        own_drops=(1 / 3, 2 / 3),
        weak_crop_scale=(0.5, 1.0),
    )
    has(
        settings("table1", 4, "cifar10"),
        own_batch=128,
        dtc_variant="pi",
        consistency_weight=10.0,
        ramp_length=0.05,
        own_drops=(),
        drops=(0.85,),
        weight_decay=1e-4,
    )
    has(
        settings("table1", 4, "cifar100"),
        own_drops=(0.2, 0.4, 0.6, 0.8),
        own_drop_factor=0.5,
        own_weight_decay=1e-5,
        weight_decay=1e-4,  # of RotNet and the labels
    )
    for number in (7, 8, 10):
        has(settings("table1", number, "cifar10"), pretraining="cl", batch=256)  # ours
    assert settings("table1", 10, "imagenet")["pretraining"] == "cl"  # the row's own, not labels
    has(settings("table1", 2, "cifar10"), own_batch=100, pretraining="labels")


@pytest.mark.parametrize("name", DATA_SETS)
def test_small_scale_shrinks_and_leaves_what_a_row_is_about(name: str) -> None:
    data_set = DATA_SETS[name]
    for row in rows_of(data_set):
        small = data_set.config("small", row.settings)
        full = data_set.config("full", row.settings)
        for setting in row.settings:
            assert getattr(small, setting) == getattr(full, setting)
        for setting in ("method", "pretraining", "consistency_weight", "ramp_length", "pairs"):
            assert getattr(small, setting) == getattr(full, setting), setting
        assert small.width < full.width and small.epochs < full.epochs
        assert small.batch <= full.batch
    assert f"{data_set.small.per_class} {data_set.kind} of each class" in shrink_in_words(data_set)
    assert f"{small.px} px" in shrink_in_words(data_set)


def test_a_seed_is_a_setting() -> None:
    assert DATA_SETS["cifar10"].config("small", {}, seed=3).seed == 3


def test_data_sets_are_found_by_name(tmp_path: Path) -> None:
    assert find_data_set("svhn", tmp_path, None).name == "svhn"
    with pytest.raises(InputError, match=r"no data set is named 'cifar11'; there are cifar10, .*"):
        find_data_set("cifar11", tmp_path, None)
    with pytest.raises(InputError, match="say with --labelled-classes N"):
        find_data_set("folder", tmp_path, None)
    with pytest.raises(InputError, match="goes with --dataset folder; cifar10 has its own"):
        find_data_set("cifar10", tmp_path, 3)


def test_any_folder_is_a_data_set(tmp_path: Path) -> None:
    for kind in range(5):
        save_images(tmp_path / "photos" / CLASSES[kind], kind, range(4))
    data_set = find_data_set("folder", tmp_path / "photos", 2)
    assert data_set.classes == "2 / 3"
    assert data_set.config("full", {}).preset == "small-images"
    catalogue, truth = data_set.opened(tmp_path / "photos", "small", "")
    assert len(catalogue) == 20 and len(truth.class_names) == 3
