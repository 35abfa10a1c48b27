"""What is left out is judged by its share, and told with the cure."""

import numpy as np
import pytest

from newfound.data.skipped import Skipped, check_share_bad
from newfound.errors import InputError


def test_too_large_a_share_of_bad_images_is_an_error_with_the_cure() -> None:
    names = np.array([f"{i}.png" for i in range(60)])
    bad = [Skipped(i, "empty file") for i in range(4)]
    check_share_bad(bad[:3], names, "images", max_bad=0.05)
    check_share_bad([], names, "images", max_bad=0)
    with pytest.raises(InputError, match=r"4 of 60 .*: '0.png' \(empty file\), .*--max-bad 0.067"):
        check_share_bad(bad, names, "images", max_bad=0.05)
    check_share_bad(bad, names, "images", max_bad=0.067)


@pytest.mark.parametrize(
    "name", ["notes.txt", "Labels.CSV", "about.html", "more.zip", "a/b.c/d.PDF"]
)
def test_a_document_among_the_images_is_not_held_against_them(name: str) -> None:
    names = np.array(["0.png", "1.png", "2.jpg", name])
    document = Skipped(3, "no image format that Pillow reads")
    check_share_bad([document], names, "images", max_bad=0)
    broken = Skipped(1, "empty file")
    check_share_bad([broken, document], names, "images", max_bad=0.334)
    with pytest.raises(InputError, match=r"1 of 3 files \(33.3%\).*: '1.png' \(empty file\); "):
        check_share_bad([broken, document], names, "images", max_bad=0.3)
    with pytest.raises(InputError, match=f"4 of 4 .*{name}"):
        every = [Skipped(i, "empty file") for i in (3, 0, 1, 2)]
        check_share_bad(every, names, "images", max_bad=0)


@pytest.mark.parametrize(
    "name", ["a.ts", "a.mp4", "a.png", "a.bin", "a", "a.wav", "a.asf", "a.gif"]
)
def test_what_may_be_an_item_counts_where_it_is_bad(name: str) -> None:
    with pytest.raises(InputError, match="1 of 2 files"):
        check_share_bad([Skipped(1, "empty file")], np.array(["0.png", name]), "images", 0.05)


def test_where_every_image_is_bad_nothing_is_left_to_go_on_with() -> None:
    bad = [Skipped(i, "empty file") for i in range(4)]
    with pytest.raises(InputError, match=r"4 of 4 .*repair or remove them$"):
        check_share_bad(bad, np.array(["a", "b", "c", "d"]), "images", max_bad=0.05)
