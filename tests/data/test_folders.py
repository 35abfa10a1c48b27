import pytest

from newfound.data.folders import other_kind_in_words
from newfound.data.source import Kind


@pytest.mark.parametrize(
    ("names", "kind", "looks"),
    [
        (["a.mp4", "b.MKV", "c.png"], "images", "videos"),
        (["a.mp4", "b.png"], "images", None),
        (["a.mpg"], "images", "videos"),
        (["a.mpg"], "videos", None),
        (["a.jpg", "b.PNG", "c"], "videos", "images"),
        (["a.jpg", "b.mp4", "c"], "videos", None),
        (["a.png"], "images", None),
        ([], "images", None),
    ],
)
def test_most_files_decide_what_they_look_like(
    names: list[str], kind: Kind, looks: str | None
) -> None:
    hint = other_kind_in_words(names, kind)
    assert hint.startswith(f"; these look like {looks}: newfound discover {looks} (in Python ") or (
        looks is None and hint == ""
    )
