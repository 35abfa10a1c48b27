import base64
import io
import json
import re
import shutil
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from newfound.errors import RunFolderError
from newfound.presets import PRESETS
from newfound.report import inline_pictures
from newfound.report import page as report
from newfound.report.page import write_report
from newfound.results import tables
from newfound.results.warning_signs import find_warnings
from support.made_videos import Picture, Sound, steady, tone, write_video
from support.small_run import flags, newfound

HOSTILE = [
    "<script>alert(1)</script>.png",
    "</script><img src=x onerror=alert(2)>.png",
    "quotes \" and ' and `ticks`.png",
    "new\nline \u2028 and \u202egnp.tfel.png",
    "{{7*7}} {% raw %}.png",
    "<!-- comment --> &amp; <b>bold</b> %{x}.png",
]
HOSTILE_CLASS = "<b>cat</b></script><script>alert(3)</script>"


@dataclass(frozen=True)
class Made:
    """A run folder made up without any training, and what was written into it."""

    path: Path
    items: pd.DataFrame
    categories: list[str]


def make_run(
    path: Path,
    *,
    sizes: tuple[int, ...] = (60, 45, 40, 30, 25),
    truth: bool = True,
    epochs: int = 30,
    skipped: tuple[tuple[str, str], ...] = (),
    positions: bool = True,
    pictures: bool = True,
    warnings: tuple[str, ...] = (),
    source: str = "photos/",
    videos: Path | None = None,
) -> Made:
    """videos: the folder of the items' files, which are then videos, every fifth without sound."""
    path.mkdir()
    random = np.random.default_rng(0)
    names = [f"novel-{k + 1}" for k in range(len(sizes))]
    items = _items(random, sizes, names, positions)
    if videos is not None:
        items["path"] = [str(Path(name).with_suffix(".webm")) for name in items["path"]]
    items.to_parquet(path / "items.parquet")
    items.to_csv(path / "items.csv", index=False)
    categories = _categories(items, names)
    categories.to_csv(path / "categories.csv", index=False)
    pd.DataFrame(skipped, columns=["path", "reason"]).to_csv(path / "skipped.csv", index=False)
    rows = np.arange(len(items) if pictures else 0)
    thumbnails = {"row": rows, "pixels": _pictures(items["category"], names, rows)}
    if videos is not None:
        thumbnails |= _of_videos(thumbnails["pixels"], items["path"][rows], videos)
    np.savez(path / "thumbnails.npz", **thumbnails)
    header = {
        "format": 1,
        "newfound": "0.1.0",
        "config": PRESETS["images" if videos is None else "videos"].model_dump(),
        "data": {
            "source": source,
        },
        "known": ["dog", HOSTILE_CLASS],
        "num_novel": len(sizes),
        "versions": {"python": "3.11"},
        "hardware": "2 cores",
    }
    (path / "config.json").write_text(json.dumps(header))
    (path / "result.json").write_text(json.dumps(_result(items, names, truth, warnings)))
    log = [{"event": "start"}] + [_epoch(e, epochs, truth) for e in range(1, epochs + 1)]
    (path / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in log))
    return Made(path, items, names)


def _items(random, sizes, names, positions):
    n = sum(sizes)
    category = np.repeat(np.arange(len(sizes)), sizes)
    confidence = 1 - 0.6 * random.random(n) ** 3
    angle = 2 * np.pi * category / max(len(sizes), 1)
    centre = 12 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    position = centre + random.normal(size=(n, 2)) * (2 + 3 * (1 - confidence[:, None]))
    paths = [f"unlabelled/IMG_{i:04d}.jpg" for i in range(n)]
    paths[: len(HOSTILE)] = HOSTILE[:n]
    return pd.DataFrame(
        {
            "path": paths,
            "category": [names[k] for k in category],
            "confidence": confidence,
            "second": [names[(k + 1) % len(names)] for k in category],
            "margin": confidence - (1 - confidence),
            "x": position[:, 0] if positions else np.nan,
            "y": position[:, 1] if positions else np.nan,
            "features_kmeans": np.where(
                random.random(n) < 0.85, category, random.permutation(category)
            ),
        }
    )


def _categories(items, names):
    rows = []
    for name in names:
        members = items[items["category"] == name].sort_values("confidence", ascending=False)
        rows.append(
            {
                "category": name,
                "size": len(members),
                "mean_confidence": members["confidence"].mean(),
                "typical": json.dumps(members["path"].head(24).tolist()),
                "doubtful": json.dumps(members["path"].tail(24)[::-1].tolist()),
            }
        )
    return pd.DataFrame(rows)


def _pictures(category, names, rows):
    """A disc whose hue says which category and whose place says which item."""
    pixels = np.zeros((len(rows), 64, 64, 3), np.uint8)
    for row in rows:
        hue = 360 * names.index(category[row]) // len(names)
        picture = Image.new("RGB", (64, 64), f"hsl({hue}, 45%, 30%)")
        x, y = row * 7 % 30, row * 13 % 30
        ImageDraw.Draw(picture).ellipse((x, y, x + 32, y + 32), f"hsl({hue}, 70%, 65%)")
        pixels[row] = np.asarray(picture)
    return pixels


def _of_videos(posters, paths, folder):
    """Posters above a strip of stripes, and links to files."""
    strips = np.zeros((len(posters), 32, 64, 3), np.uint8)
    strips[:, ::4] = 180
    return {
        "pixels": np.concatenate([posters, strips], axis=1),
        "heard": np.arange(len(posters)) % 5 > 0,
        "link": np.array([f"{(folder / path).as_uri()}#t=0.5" for path in paths], dtype=np.str_),
    }


def _result(items, names, truth, warnings):
    sizes = items["category"].value_counts().reindex(names, fill_value=0)
    baselines = {"kmeans_features": {"agreement": 0.81}, "kmeans_pixels": {"agreement": 0.32}}
    result = {
        "counts": {"labelled": 100, "unlabelled": len(items), "skipped": 0},
        "seconds": {"training": 83.2, "total": 101.0},
        "baselines": baselines,
        "warnings": list(warnings),
    }
    if truth:
        classes = [HOSTILE_CLASS, *(f"class {k}" for k in range(1, len(names)))]
        counts = np.diag(sizes).astype(int)
        counts[0, -1] += 5
        per_category = [
            {"category": c, "truth": t, "size": int(s), "correct": int(s), "acc": 0.97}
            for c, t, s in zip(names, classes, sizes)
        ]
        result["novel"] = {
            "acc": 0.9425,
            "nmi": 0.88,
            "ari": 0.869,
            "per_category": per_category,
            "confusion": {"truth": classes, "category": names, "counts": counts.tolist()},
        }
        result["known"] = {"acc": 0.981}
        baselines["kmeans_features"] |= {"acc": 0.853, "nmi": 0.8, "ari": 0.75}
        baselines["kmeans_pixels"] |= {"acc": 0.611, "nmi": 0.5, "ari": 0.4}
        baselines["kmeans_labelled_only"] = {"acc": 0.7, "nmi": 0.6, "ari": 0.5, "agreement": 0.5}
    return result


def _epoch(epoch, epochs, truth):
    r = epoch / epochs
    record = {
        "event": "epoch",
        "epoch": epoch,
        "step": 14 * epoch,
        "total": 9 - 4 * r,
        "ce": 1.6 * np.exp(-4 * r),
        "bce": 0.6 - 0.3 * r,
        "nce_instance": 5 - 1.5 * r,
        "nce_category": 4 - 2 * r,
        "mse": 0.02 * r,
        "omega": float(np.exp(-5 * (1 - r) ** 2)),
        "pairs_share": 0.13 - 0.01 * np.sin(9 * r),
        "pairs_labelled_share": 0.18,
        "pairs_precision": 0.5 + 0.45 * r,
        "pairs_recall": 0.3 + 0.5 * r,
        "entropy": 0.99,
        "churn": None if epoch == 1 else 0.3 * np.exp(-6 * r),
        "items_per_second": 812.0,
    }
    return record | ({"novel_acc": 0.3 + 0.64 * r} if truth else {})


class Page(HTMLParser):
    """What a browser would build: the tags, the visible text and the attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.headings: list[int] = []
        self.classes: list[str | None] = []
        self.text = ""
        self._inside: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.text += " "
        self.attributes += attrs
        self.classes.append(dict(attrs).get("class"))
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._inside.pop()

    def handle_data(self, data):
        if not self._inside:
            self.text += data


def payload(source: str) -> dict:
    found = re.search(r'<script type="application/json" id="payload">(.*?)</script>', source, re.S)
    return json.loads(found[1], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def write(made: Made) -> tuple[str, Page]:
    source = write_report(made.path).read_text(encoding="utf-8")
    return source, Page(source)


def squeezed(text: str) -> str:
    return " ".join(text.split())


class TestWhatThePageSays:
    def test_one_category_is_one(self, tmp_path):
        made = make_run(tmp_path / "run", sizes=(40, 0))
        text = squeezed(Page(write_report(made.path).read_text(encoding="utf-8")).text)
        assert "40 pictures fell into 1 new category " in text

    def test_found_and_measured_in_plain_words(self, tmp_path):
        _, page = write(make_run(tmp_path / "run", warnings=("novel-5 is empty.",)))
        text = squeezed(page.text)
        assert "200 pictures fell into 5 new categories" in text
        assert "94.2% of the pictures are in the category that matches" in text
        assert "k-means on the same features 85.3% 0.800 0.750" in text
        assert "k-means on the plain pixels 61.1%" in text
        assert "k-means on features learnt from the labelled pictures only 70.0%" in text
        assert "novel-5 is empty." in text
        assert "training 1 min 23 s, 1 min 41 s in all" in text
        assert "Every file was read." in text

    def test_without_truth_k_means_is_still_beside_ours(self, tmp_path):
        _, page = write(make_run(tmp_path / "run", truth=False))
        text = squeezed(page.text)
        assert "no accuracy can be given" in text
        assert "ACC" not in text
        assert "finds nearly the same groups (ARI 0.81" in text
        assert "k-means on the same features 0.810" in text
        assert "Truth beside categories" not in text

    def test_every_gallery_picture_has_an_alternative_text(self, tmp_path):
        made = make_run(tmp_path / "run")
        _, page = write(made)
        alternatives = [value for name, value in page.attributes if name == "alt"]
        assert len(alternatives) == page.tags.count("img") == 2 * 24 * 5
        typical = made.items[made.items["category"] == "novel-2"]["confidence"].idxmax()
        path = made.items["path"][typical]
        assert any(alt.startswith(f"Typical member of novel-2: {path}") for alt in alternatives)

    def test_headings_never_skip_a_level(self, tmp_path):
        _, page = write(make_run(tmp_path / "run", warnings=("Beware.",)))
        assert page.headings[0] == 1 and page.headings.count(1) == 1
        assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:]))

    def test_skipped_files_are_listed_with_their_reasons(self, tmp_path):
        skipped = (("a.png", "cut short"), ("<i>b</i>.png", "cut short"), ("NA", "empty file"))
        source, page = write(make_run(tmp_path / "run", skipped=skipped))
        text = squeezed(page.text)
        assert "3 files were left out:" in text and "2 × cut short" in text
        assert "NA empty file" in text and "<i>b</i>.png" in text and "<i>" not in source

    def test_curves_leave_gaps_where_nothing_was_logged(self, tmp_path):
        source, _ = write(make_run(tmp_path / "run", epochs=4))
        curves = {t["name"]: t for t in payload(source)["figures"]["steadiness"]["data"]}
        churn = curves["churn (share that changed category)"]
        assert churn["x"] == [1, 2, 3, 4] and churn["y"][0] is None and None not in churn["y"][1:]

    def test_warnings_logged_on_the_way_are_shown_once(self, tmp_path):
        made = make_run(tmp_path / "run", warnings=("one picture only",))
        with (made.path / "log.jsonl").open("a") as log:
            for message in ("one picture only", "<u>slow disk</u>"):
                log.write(json.dumps({"event": "warning", "message": message}) + "\n")
        _, page = write(made)
        assert page.text.count("one picture only") == 1 and "<u>slow disk</u>" in page.text

    def test_map_carries_every_placed_item_and_its_own_picture(self, tmp_path):
        made = make_run(tmp_path / "run")
        data = payload(write(made)[0])
        columns = data["sheet"]["columns"]
        sheet = Image.open(io.BytesIO(base64.b64decode(data["sheet"]["source"].split(",")[1])))
        pixels = np.load(made.path / "thumbnails.npz")["pixels"]
        row_of = {path: row for row, path in enumerate(made.items["path"])}
        seen = 0
        for trace in data["figures"]["map"]["data"]:
            for path, _, cell in trace["customdata"]:
                top, left = 64 * (cell // columns), 64 * (cell % columns)
                shown = np.asarray(sheet)[top : top + 64, left : left + 64].astype(float)
                assert np.abs(shown - pixels[row_of[path]]).mean() < 4
                seen += 1
        assert seen == len(made.items)


class TestHostileNames:
    def test_names_are_text_and_nothing_else(self, tmp_path):
        made = make_run(tmp_path / "run", source="<script>alert(4)</script>")
        source, page = write(made)
        assert page.tags.count("script") == 3
        assert not any(name.startswith("on") for name, _ in page.attributes)
        assert "<script>alert" not in source and "<b>cat" not in source
        assert "49 " not in page.text
        for name in HOSTILE:
            assert (
                name.replace("\n", r"\n").replace("\u2028", r"\u2028").replace("\u202e", r"\u202e")
                in page.text
            )
        assert HOSTILE_CLASS in page.text

    def test_names_survive_inside_the_script_data(self, tmp_path):
        made = make_run(tmp_path / "run")
        source, _ = write(made)
        traces = payload(source)["figures"]["map"]["data"]
        paths = {point[0] for trace in traces for point in trace["customdata"]}
        assert paths == set(made.items["path"])

    def test_plotly_is_given_inert_labels(self, tmp_path):
        made = make_run(tmp_path / "run", sizes=(20, 20))
        for name in ("items.parquet", "categories.csv"):
            file = made.path / name
            table = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
            table["category"] = table["category"].replace("novel-1", "<b>&amp;</b>")
            table.to_parquet(file) if file.suffix == ".parquet" else table.to_csv(file, index=False)
        figures = payload(write(made)[0])["figures"]
        assert figures["map"]["data"][0]["name"] == "&lt;b&gt;&amp;amp;&lt;/b&gt;"
        assert figures["sizes"]["data"][0]["y"][0] == "&lt;b&gt;&amp;amp;&lt;/b&gt;"

    def test_a_folder_name_that_is_no_utf_8_can_be_shown(self, tmp_path):
        _, page = write(make_run(tmp_path / "run", source="caf\udce9/"))
        assert r"caf\udce9/" in page.text


class TestVideos:
    def test_are_called_videos(self, tmp_path):
        made = make_run(tmp_path / "run", videos=tmp_path)
        _, page = write(made)
        text = squeezed(page.text)
        assert "200 videos fell into 5 new categories" in text
        assert "learnt from the labelled videos only" in text
        assert "Choose one to play its file" in text
        assert "picture" not in text.lower()
        figures = payload((made.path / "report.html").read_text())["figures"]
        assert "picture" not in json.dumps([figures["sizes"], figures["confidences"]])

    def test_of_a_whole_run_have_their_posters_and_links(self, tmp_path):
        listed = ["path,label,start_seconds"]
        for k in range(16):
            sound = None if k == 15 else Sound(tone(0.5, 300 * (1 + k % 4)))
            write_video(tmp_path / f"#{k}.mp4", Picture(steady(0.5), width=32, height=32), sound)
            listed.append(f"#{k}.mp4,{'ab'[k % 2] if k < 8 else ''},{0.1 if k == 14 else ''}")
        (tmp_path / "list.csv").write_text("\n".join(listed) + "\n")
        settings = flags(
            preset="quick-videos",
            epochs=1,
            warmup_epochs=0,
            batch=8,
            width=4,
            px=16,
            clips=1,
            places=1,
            missing_audio="zeros",
            workers=0,
            precision="float32",  # in bfloat16 a CPU's convolutions of maps this small may give NaN
        )
        command = ["discover", "videos", tmp_path / "list.csv", "--num-novel", 2, *settings]
        assert newfound(*command, "--out", tmp_path / "run", "--quiet") == 0
        page = Page((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
        urls = {value for name, value in page.attributes if name == "href"}
        files = {(tmp_path / f"#{k}.mp4").as_uri() for k in range(8, 16) if k != 14}
        assert urls == files | {(tmp_path / "#14.mp4").as_uri() + "#t=0.1"}
        silent = [v for name, v in page.attributes if name == "alt" and v.endswith("no sound")]
        assert len(silent) == 1 and "#15.mp4" in silent[0]
        assert "8 videos fell into" in squeezed(page.text)

    def test_pictures_are_not(self, tmp_path):
        source, page = write(make_run(tmp_path / "run"))
        assert "video" not in page.text and "no sound" not in page.text
        assert "a" not in page.tags and "video" not in json.dumps(payload(source))

    def test_each_leads_to_its_file(self, tmp_path):
        made = make_run(tmp_path / "run", videos=tmp_path)
        source, page = write(made)
        urls = [value for name, value in page.attributes if name == "href"]
        assert len(urls) == page.tags.count("img") == 2 * 24 * 5
        assert {url_of(tmp_path / path) for path in made.items["path"]} > set(urls)
        data = payload(source)
        for trace in data["figures"]["map"]["data"]:
            for path, _, cell in trace["customdata"]:
                assert data["sheet"]["urls"][cell] == url_of(tmp_path / path)

    def test_those_without_sound_are_shown_as_such(self, tmp_path):
        made = make_run(tmp_path / "run", videos=tmp_path)
        source, page = write(made)
        silent = set(made.items["path"][::5])
        sheet = payload(source)["sheet"]
        traces = payload(source)["figures"]["map"]["data"]
        cells = {path: cell for trace in traces for path, _, cell in trace["customdata"]}
        assert {path for path, cell in cells.items() if sheet["without_sound"][cell]} == silent
        alternatives = [value for name, value in page.attributes if name == "alt"]
        told = sum(text.endswith(" confident, no sound") for text in alternatives)
        shown = [path for name, path in page.attributes if name == "href"]
        assert told == sum(url in {url_of(tmp_path / path) for path in silent} for url in shown)
        assert squeezed(page.text).count("no sound") == told + 1  # and once on the map's card

    def test_names_are_text_and_nothing_else(self, tmp_path):
        source, page = write(make_run(tmp_path / "run", videos=tmp_path))
        assert page.tags.count("script") == 3 and "<script>alert" not in source
        assert not any(name.startswith("on") for name, _ in page.attributes)

    def test_nothing_but_files_is_linked_to(self, tmp_path):
        made = make_run(tmp_path / "run", videos=tmp_path)
        with np.load(made.path / "thumbnails.npz") as arrays:
            changed = dict(arrays)
        changed["link"] = np.array(
            ["javascript:alert(1)", "https://example.org/", "file://host/share/"] * 70
        )
        np.savez(made.path / "thumbnails.npz", **changed)
        source, page = write(made)
        assert "javascript:alert" not in source and "example.org" not in source
        assert "a" not in page.tags and "file://host" not in source

    def test_the_policy_is_as_strict_as_ever(self, tmp_path):
        _, of_pictures = write(make_run(tmp_path / "pictures"))
        _, of_videos = write(make_run(tmp_path / "videos", videos=tmp_path))
        policies = [
            [value for name, value in page.attributes if value and "default-src 'none'" in value]
            for page in (of_pictures, of_videos)
        ]
        assert policies[0] == policies[1] and len(policies[0]) == 1

    def test_tall_pictures_keep_their_own_place_on_the_map(self, tmp_path):
        made = make_run(tmp_path / "run", videos=tmp_path)
        data = payload(write(made)[0])
        columns = data["sheet"]["columns"]
        sheet = Image.open(io.BytesIO(base64.b64decode(data["sheet"]["source"].split(",")[1])))
        pixels = np.load(made.path / "thumbnails.npz")["pixels"]
        row_of = {path: row for row, path in enumerate(made.items["path"])}
        for trace in data["figures"]["map"]["data"]:
            for path, _, cell in trace["customdata"]:
                top, left = 96 * (cell // columns), 64 * (cell % columns)
                shown = np.asarray(sheet)[top : top + 96, left : left + 64].astype(float)
                assert np.abs(shown - pixels[row_of[path]]).mean() < 8


@pytest.mark.parametrize(
    ("told", "is_said"),
    [
        ({}, False),
        ({"classes": 2}, False),
        ({"classes": 1}, True),
        ({"classes": 1, "known_names": ["dog"]}, False),
    ],
)
def test_of_how_many_classes_held_out_items_are(
    tmp_path: Path, told: dict[str, int | list[str]], is_said: bool
) -> None:
    """Where that is fewer than are known; a class that was left out is none of these."""
    made = make_run(tmp_path / "run")
    result = json.loads((made.path / "result.json").read_text())
    if "known_names" in told:
        result["known_names"] = told["known_names"]
    result["known"] |= {name: value for name, value in told.items() if name == "classes"}
    (made.path / "result.json").write_text(json.dumps(result))
    text = squeezed(Page(write_report(made.path).read_text(encoding="utf-8")).text)
    assert "kept from training" in text
    known = told.get("known_names", ["dog", HOSTILE_CLASS])
    assert f"pictures of {len(known)} known classes, then" in text
    assert squeezed(f"Known classes: {', '.join(known)}") in text
    assert ("which are of 1 known classes alone" in text) == is_said


def url_of(path: Path) -> str:
    return f"{path.as_uri()}#t=0.5"


class TestAllKindsOfRuns:
    @pytest.mark.parametrize(
        "difference",
        [
            {"sizes": (30, 20, 0)},
            {"sizes": (7,) * 30},
            {"positions": False},
            {"pictures": False},
            {"epochs": 0},
            {"epochs": 1},
            {"truth": False, "epochs": 0, "positions": False, "pictures": False},
        ],
        ids=str,
    )
    def test_is_written(self, tmp_path, difference):
        made = make_run(tmp_path / "run", **difference)
        source, page = write(made)
        assert squeezed(page.text).count("mean confidence") == made.items["category"].nunique()
        assert ('id="chart-map"' in source) == difference.get("positions", True)
        assert ('id="chart-losses"' in source) == (difference.get("epochs", 30) > 0)

    def test_nan_positions_are_left_off_the_map(self, tmp_path):
        made = make_run(tmp_path / "run")
        made.items.loc[::2, "x"] = np.nan
        made.items.to_parquet(made.path / "items.parquet")
        traces = payload(write(made)[0])["figures"]["map"]["data"]
        assert sum(len(trace["x"]) for trace in traces) == len(made.items) // 2

    def test_the_page_stays_small(self, tmp_path):
        made = make_run(tmp_path / "run", sizes=(400,) * 5)
        assert write_report(made.path).stat().st_size < 8e6

    def test_of_many_categories_the_largest_are_shown_with_few_pictures(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(report, "CATEGORIES_SHOWN", 20)
        monkeypatch.setattr(tables, "MEMBERS_SHOWN", 180)
        made = make_run(tmp_path / "run", sizes=(6,) * 30, truth=False, pictures=False)
        source, page = write(made)
        text = squeezed(page.text)
        assert "180 pictures fell into 30 new categories" in text
        assert "These are the 20 largest of 30 categories" in text
        assert "Of either kind 3 are shown; categories.csv names 24" in text
        assert page.classes.count("category") == 20
        assert page.classes.count("missing") == 20 * 3 * 2
        assert "novel-20" in text and "novel-21" not in text
        assert len(payload(source)["figures"]["map"]["data"]) == 20
        assert "a picture, 120 of 180" in text

    def test_a_large_confusion_matrix_is_cut_and_says_so(self, tmp_path, monkeypatch):
        monkeypatch.setattr(report, "CONFUSION_SIDE", 6)
        source, page = write(make_run(tmp_path / "run", sizes=(9,) * 7, positions=False))
        text = squeezed(page.text)
        assert "The first 6 classes and 6 categories are shown; result.json has all" in text
        confusion = source[source.index('<table class="confusion">') :]
        confusion = confusion[: confusion.index("</table>")]
        assert confusion.count("<td") == 6 * 6
        whole, _ = write(make_run(tmp_path / "small", sizes=(9,) * 6, positions=False))
        assert "result.json has all" not in whole

    def test_a_map_of_a_sample_says_of_how_many(self, tmp_path):
        made = make_run(tmp_path / "run")
        assert "drawn at random" not in write(made)[1].text
        made.items.loc[::2, ["x", "y"]] = np.nan
        made.items.to_parquet(made.path / "items.parquet")
        assert "a picture, 100 of 200 drawn at random" in squeezed(write(made)[1].text)

    def test_k_means_of_a_sample_says_so(self, tmp_path, monkeypatch):
        made = make_run(tmp_path / "run")
        assert "its centres found on" not in write(made)[1].text
        monkeypatch.setattr(report, "FITTED_ON", 150)
        told = "k-means on the plain pixels, its centres found on 150 of the pictures"
        assert told in squeezed(write(made)[1].text)

    def test_only_what_is_shown_is_drawn(self, tmp_path, monkeypatch):
        made = make_run(tmp_path / "run", sizes=(80,) * 5, truth=False)
        drawn = []
        original = inline_pictures._jpeg_uri
        monkeypatch.setattr(
            inline_pictures, "_jpeg_uri", lambda pixels: drawn.append(1) or original(pixels)
        )
        write(made)
        assert len(drawn) == 5 * 48 + 1  # the members, and the map's sheet

    def test_can_be_written_elsewhere(self, tmp_path):
        made = make_run(tmp_path / "run")
        elsewhere = tmp_path / "page.html"
        assert write_report(made.path, elsewhere) == elsewhere
        assert elsewhere.exists() and not (made.path / "report.html").exists()

    def test_the_same_run_gives_the_same_page(self, tmp_path):
        made = make_run(tmp_path / "run")
        assert write_report(made.path).read_bytes() == write_report(made.path).read_bytes()


class TestDamagedRuns:
    def test_no_run(self, tmp_path):
        with pytest.raises(RunFolderError, match="holds no run"):
            write_report(tmp_path)

    def test_a_run_that_has_not_ended(self, tmp_path):
        made = make_run(tmp_path / "run")
        (made.path / "result.json").unlink()
        with pytest.raises(RunFolderError, match="has not ended"):
            write_report(made.path)

    @pytest.mark.parametrize("name", ["items.parquet", "thumbnails.npz", "categories.csv"])
    def test_a_damaged_file_leaves_the_old_page(self, tmp_path, name):
        made = make_run(tmp_path / "run")
        before = write_report(made.path).read_bytes()
        (made.path / name).write_bytes(b"")
        with pytest.raises(RunFolderError, match=f"{name} is absent or damaged.*command again"):
            write_report(made.path)
        assert (made.path / "report.html").read_bytes() == before
        assert not list(made.path.glob(".report*"))

    @pytest.mark.parametrize(
        ("name", "column"),
        [("items.parquet", "category"), ("categories.csv", "size"), ("skipped.csv", "reason")],
    )
    def test_a_table_without_a_column_is_named(self, tmp_path, name, column):
        made = make_run(tmp_path / "run")
        path = made.path / name
        if path.suffix == ".csv":
            pd.read_csv(path).drop(columns=column).to_csv(path, index=False)
        else:
            pd.read_parquet(path).drop(columns=column).to_parquet(path)
        with pytest.raises(RunFolderError, match=f"{name} .*lacks {column}.*command again"):
            write_report(made.path)


def items_of(*groups: tuple[str, int, float, str, float]) -> pd.DataFrame:
    """Items from (category, how many, confidence, second, margin)."""
    rows = [
        {"category": c, "confidence": p, "second": s, "margin": m}
        for c, n, p, s, m in groups
        for _ in range(n)
    ]
    return pd.DataFrame(rows)


SOUND = [("a", 40, 0.95, "b", 0.93), ("b", 40, 0.95, "c", 0.93), ("c", 40, 0.95, "a", 0.93)]


class TestWarnings:
    def warnings(
        self,
        *groups,
        epochs=(),
        noun="picture",
        method="ours",
        pairs="wta",
        head_changed_since=False,
    ):
        items = items_of(*groups)
        return find_warnings(
            items, ["a", "b", "c"], epochs, noun, method, pairs, head_changed_since
        )

    @pytest.mark.parametrize(
        ("pairs", "cure"),
        [("wta", "--mu,"), ("cosine", "--cosine-"), ("rank", "--rank-top"), ("nearest", "--pairs")],
    )
    def test_collapse_is_cured_by_what_the_pairs_read(self, pairs, cure):
        [found] = self.warnings(*SOUND, epochs=[{"epoch": 1, "entropy": 0.2}], pairs=pairs)
        assert cure in found

    def test_none_for_a_sound_run(self):
        epochs = [
            {"epoch": e, "entropy": 0.98, "churn": 0.5 / e, "novel_acc": 0.9} for e in range(1, 61)
        ]
        assert self.warnings(*SOUND, epochs=epochs) == []

    def test_none_where_figures_are_missing(self):
        assert self.warnings(*SOUND, epochs=[{"epoch": 1, "entropy": None, "churn": None}]) == []

    def test_empty_and_nearly_empty(self):
        found = self.warnings(*SOUND[:2])
        assert len(found) == 1 and "1 of 3 categories" in found[0] and ": c (0)," in found[0]
        assert "even split would give 27" in found[0] and "--num-novel 2" in found[0]
        found = self.warnings(SOUND[0], ("b", 1, 0.95, "a", 0.9))
        assert len(found) == 1 and ": b (1), c (0)," in found[0] and "--num-novel 2" in found[0]
        assert self.warnings(*SOUND[:2], ("c", 9, 0.95, "a", 0.9)) == []

    def test_of_two_categories_none_is_taken_away(self):
        one = items_of(("a", 40, 0.95, "b", 0.93))
        (found,) = find_warnings(one, ["a", "b"], (), "picture")
        assert ": b (0)," in found and "more --epochs" in found and "--num-novel" not in found
        torn = items_of(("a", 40, 0.9, "b", 0.2), ("b", 40, 0.9, "a", 0.3))
        (found,) = find_warnings(torn, ["a", "b"], (), "picture")
        assert "a and b may be one category" in found and "--num-novel" not in found

    def test_empty_ones_and_twins_add_up_to_one_number(self):
        """Two empty, and three that are one."""
        torn = [("a", 40, 0.9, "b", 0.2), ("b", 40, 0.9, "c", 0.2), ("b", 40, 0.9, "a", 0.2)]
        torn += [("c", 40, 0.9, "b", 0.2), ("d", 40, 0.9, "a", 0.9)]
        found = find_warnings(items_of(*torn), [*"abcdef"], (), "picture")
        assert [f.partition(" may be")[0] for f in found[1:]] == ["a and b", "b and c"]
        assert all("try --num-novel 2." in text for text in found) and len(found) == 3

    def test_a_nearly_empty_twin_is_counted_once(self):
        torn = [("a", 40, 0.9, "c", 0.2), ("b", 40, 0.9, "d", 0.9), ("d", 40, 0.9, "b", 0.9)]
        found = find_warnings(items_of(*torn, ("c", 1, 0.9, "a", 0.2)), [*"abcd"], (), "picture")
        assert len(found) == 2 and all("try --num-novel 3." in text for text in found)

    def test_a_restless_training_is_to_go_on_before_there_are_fewer(self):
        epochs = [{"epoch": e, "churn": 0.2} for e in range(1, 41)]
        first, second = self.warnings(*SOUND[:2], epochs=epochs)
        assert "train for more --epochs first" in first and first.endswith("try --num-novel 2.")
        assert "had not settled" in second

    def test_two_that_should_be_one(self):
        torn = [("a", 40, 0.9, "b", 0.2), ("b", 40, 0.9, "a", 0.3), SOUND[2]]
        found = self.warnings(*torn)
        assert len(found) == 1 and "a and b may be one category" in found[0]

    @pytest.mark.parametrize("seed", range(8))
    def test_twins_by_loops(self, seed):
        """Every pair of categories, in their order, however many of them have close members."""
        random = np.random.default_rng(seed)
        names = ["a", "b", "c", "d"]
        items = pd.DataFrame(
            {
                "category": random.choice(names[:3], 12),
                "confidence": 0.9,
                "second": random.choice(names, 12),
                "margin": random.choice([0.2, 0.2, 0.9], 12),
            }
        )
        items = items[items["category"] != items["second"]].reset_index(drop=True)
        expected = []
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                towards = [
                    [
                        row.second == b and row.margin < 0.5
                        for row in items.itertuples()
                        if row.category == a
                    ]
                    for a, b in ((one, other), (other, one))
                ]
                if all(close and sum(close) / len(close) >= 0.5 for close in towards):
                    expected.append(f"{one} and {other} may be one category")
        found = [text for text in find_warnings(items, names, (), "picture") if "may be" in text]
        assert [text[: text.index(":")] for text in found] == expected

    def test_of_many_the_first_are_named_and_the_others_counted(self):
        names = [f"c{k:02d}" for k in range(40)]
        pairs = [(a, b) for a, b in zip(names[:30:2], names[1:30:2])]
        groups = [(a, 9, 0.9, b, 0.2) for a, b in pairs] + [(b, 9, 0.9, a, 0.2) for a, b in pairs]
        empty, *twins, others = find_warnings(items_of(*groups), names, (), "picture")
        assert "10 of 40 categories" in empty and "more" not in empty.split(", where")[0]
        assert len(twins) == 10 and "c18 and c19" in twins[-1]
        assert "5 more pairs" in others
        empty, *_ = find_warnings(items_of(*groups[:4]), names, (), "picture")
        assert ": c01 (0), c03 (0)," in empty and " and 26 more, where" in empty
        assert empty.count(" (0)") == 10

    def test_categories_that_may_be_known_are_named_with_their_classes(self):
        known = [(f"c{k}", f"class {k}", 0.97) for k in range(12)]
        items = items_of(*SOUND)
        [found] = find_warnings(items, [*"abc"], (), "picture", known=known[:1])
        assert found.startswith("c0 may be the known class 'class 0', or hold much of it: ")
        assert "97% of its pictures" in found
        found = find_warnings(items, [*"abc"], (), "picture", known=known)
        assert len(found) == 11
        assert found[-1] == "Likewise these: c10 ('class 10'), c11 ('class 11')."

    def test_doubt_on_one_side_only_is_no_twin(self):
        assert self.warnings(("a", 40, 0.9, "b", 0.2), *SOUND[1:]) == []

    def test_collapse(self):
        found = self.warnings(*SOUND, epochs=[{"epoch": 1, "entropy": 0.31}])
        assert len(found) == 1 and "collapsed" in found[0] and "0.31" in found[0]

    def test_pairs_of_which_most_are_wrong(self):
        def found(right, share, **of_run):
            pairs = {"pairs_precision": right, "pairs_labelled_share": share}
            sound = {"epoch": 1, "pairs_precision": 0.9, "pairs_labelled_share": 0.12}
            return self.warnings(*SOUND, epochs=[sound, {"epoch": 2, **pairs}], **of_run)

        (ours,) = found(0.414, 0.11)
        assert "only 41% are of one class" in ours and "--method kcl" in ours
        (theirs,) = found(0.414, 0.11, method="rs", noun="video")
        assert "labelled videos" in theirs and "--method kcl" not in theirs
        assert found(0.5, 0.11) == found(0.2, 0.009) == found(None, 0.0) == []

    def test_few_confident(self):
        unsure = [(c, n, 0.5, s, 0.9) for c, n, _, s, _ in SOUND]
        found = self.warnings(*unsure)
        assert len(found) == 1 and "0 of 120 reach 80%" in found[0]

    @pytest.mark.parametrize(
        ("churn", "word"),
        [
            ([0.2] * 40, "had not settled"),
            ([0.5, 0.4], "had not settled"),
            ([0.01] * 36 + [0.08] * 4, "grew restless"),
        ],
    )
    def test_unsettled_at_the_end(self, churn, word):
        epochs = [{"epoch": e, "churn": c} for e, c in enumerate(churn, 1)]
        found = self.warnings(*SOUND, epochs=epochs)
        assert len(found) == 1 and word in found[0]

    def test_a_head_that_has_settled_since_is_told_of(self):
        epochs = [
            {"epoch": e, "churn": 0.2, "entropy": 0.3, "novel_acc": 0.9 - e / 100}
            for e in range(1, 41)
        ]
        as_left = self.warnings(*SOUND, epochs=epochs)
        settled = self.warnings(*SOUND, epochs=epochs, head_changed_since=True)
        assert len(as_left) == 3 and "collapsed" in as_left[0] and "fell before" in as_left[2]
        assert len(settled) == 1 and "has settled since" in settled[0]
        assert "settled since" not in as_left[1]

    def test_of_videos_speak_of_videos(self):
        torn = [("a", 40, 0.5, "b", 0.2), ("b", 40, 0.5, "a", 0.3)]
        for churn in ([0.2] * 40, [0.01] * 36 + [0.08] * 4):
            epochs = [{"epoch": e, "churn": c} for e, c in enumerate(churn, 1)]
            found = self.warnings(*torn, epochs=epochs, noun="video")
            assert len(found) == 4 and all("videos" in text for text in found)
            assert not any("picture" in text for text in found)

    def test_a_baseline_is_not_given_the_cures_of_our_method(self):
        churn = [0.01] * 36 + [0.08] * 4
        epochs = [
            {"epoch": e, "churn": c, "entropy": 0.3, "novel_acc": 1 - c}
            for e, c in enumerate(churn, 1)
        ]
        ours = " ".join(self.warnings(*SOUND, epochs=epochs))
        theirs = " ".join(self.warnings(*SOUND, epochs=epochs, method="dtc"))
        assert ours.count("--ramp-scale") == 2 and "--share-factor" in ours
        assert "--ramp-scale" not in theirs and "--share-factor" not in theirs
        for sign in ("collapsed", "grew restless", "fell before the end"):
            assert sign in ours and sign in theirs

    def test_accuracy_that_fell_names_the_epoch_and_the_cure(self):
        accuracy = [0.5, 0.8, 0.94, 0.9, 0.71]
        epochs = [{"epoch": e, "novel_acc": a} for e, a in enumerate(accuracy, 1)]
        found = self.warnings(*SOUND, epochs=epochs)
        assert len(found) == 1
        assert "94.0% at epoch 3 to 71.0% at epoch 5" in found[0] and "--ramp-scale" in found[0]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        try:
            started = driver.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
        except playwright.Error as error:
            pytest.skip(f"no Chromium to open the report in: {error}")
        yield started
        started.close()


@pytest.fixture(scope="module")
def page_of_a_run(tmp_path_factory) -> tuple[Made, Path]:
    made = make_run(tmp_path_factory.mktemp("report") / "run", warnings=(HOSTILE[1],))
    return made, write_report(made.path)


class Opened:
    """A page in a browser, with everything noted that should never happen."""

    def __init__(self, browser, report: Path, **options) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}} | options)
        self.page = self.context.new_page()
        self.mishaps: list[str] = []
        self.requests: list[str] = []
        self.page.on(
            "console", lambda m: self.mishaps.append(m.text) if m.type == "error" else None
        )
        self.page.on("pageerror", lambda error: self.mishaps.append(str(error)))
        self.page.on("dialog", lambda d: (self.mishaps.append(d.message), d.dismiss()))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.goto(report.as_uri())
        self.page.wait_for_selector("#chart-map .point", state="attached")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def point(self, path: str) -> tuple[float, float]:
        """Where on the screen the map shows this item."""
        place = self.page.evaluate(
            """path => {
                const plot = document.getElementById("chart-map");
                plot.scrollIntoView({block: "center"});
                for (const trace of plot.data) {
                    const i = trace.customdata.findIndex((point) => point[0] === path);
                    if (i < 0) continue;
                    const frame = plot.getBoundingClientRect();
                    const {xaxis, yaxis} = plot._fullLayout;
                    return [frame.left + xaxis._offset + xaxis.l2p(trace.x[i]),
                            frame.top + yaxis._offset + yaxis.l2p(trace.y[i])];
                }
            }""",
            path,
        )
        return tuple(place)

    def card(self) -> str:
        self.page.wait_for_selector("#card:not([hidden])")
        return self.page.inner_text("#card")


class TestInABrowser:
    def test_draws_everything_quietly_and_offline(self, browser, page_of_a_run):
        made, report = page_of_a_run
        with Opened(browser, report) as opened:
            assert opened.page.locator("#chart-map .point").count() == len(made.items)
            charts = opened.page.locator(".plot .main-svg")
            assert charts.count() >= opened.page.locator(".plot").count() == 7
            assert opened.mishaps == []
            outside = [url for url in opened.requests if not url.startswith(("file:", "data:"))]
            assert outside == [] and sum(url.startswith("file:") for url in opened.requests) == 1

    @pytest.mark.parametrize("name", [HOSTILE[0], HOSTILE[3], "unlabelled/IMG_0100.jpg"])
    def test_hover_shows_the_picture_and_the_name_as_text(self, browser, page_of_a_run, name):
        made, report = page_of_a_run
        row = made.items.set_index("path").loc[name]
        with Opened(browser, report) as opened:
            opened.page.mouse.move(*opened.point(name))
            card = opened.card()
            assert f"{row['category']}, {row['confidence']:.1%} confident" in card
            assert (
                name.replace("\n", "\\u000a")
                .replace("\u2028", r"\u2028")
                .replace("\u202e", r"\u202e")
                in card
            )
            picture = opened.page.locator("#card-picture")
            assert picture.evaluate("e => e.style.backgroundImage").startswith('url("data:image/')
            assert picture.bounding_box()["height"] > 60
            assert opened.mishaps == []

    def test_a_tap_shows_the_picture(self, browser, page_of_a_run):
        _, report = page_of_a_run
        phone = {"viewport": {"width": 375, "height": 700}, "has_touch": True, "is_mobile": True}
        with Opened(browser, report, **phone) as opened:
            opened.page.touchscreen.tap(*opened.point("unlabelled/IMG_0100.jpg"))
            assert "confident" in opened.card()

    def test_a_chip_shows_one_category_alone_and_all_again(self, browser, page_of_a_run):
        made, report = page_of_a_run
        points = "#chart-map .point"
        with Opened(browser, report) as opened:
            chip = opened.page.locator("#map-chips button").nth(1)
            chip.click()
            assert opened.page.locator(points).count() == 45
            assert chip.get_attribute("aria-pressed") == "true"
            chip.click()
            assert opened.page.locator(points).count() == len(made.items)

    @pytest.mark.parametrize("categories", [5, 30])
    def test_a_phone_scrolls_in_one_direction(self, browser, tmp_path, categories):
        made = make_run(tmp_path / "run", sizes=(8,) * categories, warnings=("w" * 300,))
        with Opened(
            browser, write_report(made.path), viewport={"width": 375, "height": 700}
        ) as opened:
            width = opened.page.evaluate("document.documentElement.scrollWidth")
            assert width <= 375

    def test_dark_scheme_turns_page_and_charts_dark(self, browser, page_of_a_run):
        _, report = page_of_a_run
        tick = "document.querySelector('#chart-losses .xtick text').style.fill"
        look = f"[getComputedStyle(document.body).backgroundColor, {tick}]"
        with Opened(browser, report, color_scheme="light") as opened:
            light = opened.page.evaluate(look)
            opened.page.emulate_media(color_scheme="dark")
            opened.page.wait_for_function(f"before => {tick} != before", arg=light[1])
            dark = opened.page.evaluate(look)
        assert brightness(light[0]) > 230 and brightness(dark[0]) < 40
        assert brightness(dark[1]) > brightness(light[1])


def brightness(colour: str) -> float:
    return sum(float(part) for part in re.findall(r"\d+", colour)[:3]) / 3


PLAYED = [
    "<script>alert(1)</script>.webm",
    "quotes \" and ' #1 100% ?x=%20&amp;.webm",
    "new\nline.webm",
]


@pytest.fixture(scope="module")
def page_of_videos(tmp_path_factory) -> tuple[Made, Path]:
    """Whose first files are there and can be played."""
    folder = tmp_path_factory.mktemp("videos")
    made = make_run(folder / "run", videos=folder / "data", sizes=(10, 10))
    made.items.loc[: len(PLAYED) - 1, "path"] = PLAYED
    made.items["x"], made.items["y"] = divmod(np.arange(20.0), 5)  # no two in one place
    made.items.to_parquet(made.path / "items.parquet")
    _categories(made.items, made.categories).to_csv(made.path / "categories.csv", index=False)
    with np.load(made.path / "thumbnails.npz") as arrays:
        thumbnails = dict(arrays)
    thumbnails["link"] = np.array([url_of(folder / "data" / path) for path in made.items["path"]])
    np.savez(made.path / "thumbnails.npz", **thumbnails)
    for name in PLAYED:
        file = folder / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_video(file, Picture(steady(1.0), codec="libvpx"), Sound(tone(1.0), codec="libopus"))
    return made, write_report(made.path)


class TestVideosInABrowser:
    @pytest.mark.parametrize("name", PLAYED)
    def test_a_click_plays_the_file_from_its_second(self, browser, page_of_videos, name):
        made, report = page_of_videos
        url = url_of(made.path.parent / "data" / name)
        with Opened(browser, report) as opened:
            link = opened.page.locator(f'.gallery a[href="{url}"]').first
            with opened.context.expect_page(timeout=5000) as played:
                link.click()
            assert played.value.url == url
            played.value.wait_for_function(
                "() => document.querySelector('video')?.currentTime >= 0.5"
            )
            assert opened.page.url == report.as_uri() and opened.mishaps == []

    def test_a_click_on_the_map_plays_the_file(self, browser, page_of_videos):
        made, report = page_of_videos
        with Opened(browser, report) as opened:
            x, y = opened.point(PLAYED[1])
            opened.page.mouse.move(x, y)
            assert "no sound" not in opened.card()
            with opened.context.expect_page(timeout=5000) as played:
                opened.page.mouse.click(x, y)
            assert played.value.url == url_of(made.path.parent / "data" / PLAYED[1])
            assert opened.page.url == report.as_uri() and opened.mishaps == []

    def test_a_file_that_has_gone_does_no_harm(self, browser, page_of_videos):
        _, report = page_of_videos
        with Opened(browser, report) as opened:
            with opened.context.expect_page(timeout=5000):
                opened.page.locator(".gallery a[href*=IMG_0008]").first.click()
            assert opened.page.url == report.as_uri()

    def test_a_phone_has_the_link_on_the_card_and_scrolls_in_one_direction(
        self, browser, page_of_videos
    ):
        made, report = page_of_videos
        phone = {"viewport": {"width": 375, "height": 700}, "has_touch": True, "is_mobile": True}
        with Opened(browser, report, **phone) as opened:
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= 375
            opened.page.touchscreen.tap(*opened.point(PLAYED[2]))
            assert "Play" in opened.card() and len(opened.context.pages) == 1
            with opened.context.expect_page(timeout=5000) as played:
                opened.page.locator("#card-play").tap()
            assert played.value.url == url_of(made.path.parent / "data" / PLAYED[2])

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_no_sound_is_written_below_the_poster(self, browser, page_of_videos, scheme):
        made, report = page_of_videos
        with Opened(browser, report, color_scheme=scheme) as opened:
            member = opened.page.locator(".gallery a", has_text="no sound").first
            picture = member.locator("img").bounding_box()
            words = member.locator(".without-sound").bounding_box()
            assert picture["height"] == pytest.approx(1.5 * picture["width"], abs=1)
            assert words["y"] == pytest.approx(picture["y"] + 2 / 3 * picture["height"], abs=1)
            assert words["y"] + words["height"] == pytest.approx(
                picture["y"] + picture["height"], abs=1
            )
            opened.page.mouse.move(*opened.point(made.items["path"][5]))
            assert "no sound" in opened.card()
            assert opened.mishaps == []
