import weakref
from collections.abc import Iterator

import pytest
import torch

from newfound.batch import Media

PIXELS = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
SOUND = torch.zeros(3, 100, dtype=torch.int16)
HEARD = torch.tensor([True, False, True])


@pytest.mark.parametrize(
    "media", [Media(PIXELS), Media(PIXELS, SOUND, HEARD), Media(None, SOUND, HEARD)]
)
def test_media_of_any_modality_are_counted_and_moved_whole(media: Media) -> None:
    assert len(media) == 3
    moved = media.to(torch.device("meta"))
    for name in ("pixels", "sound", "heard"):
        before, after = getattr(media, name), getattr(moved, name)
        assert (before is None) == (after is None)
        if after is not None:
            assert after.device.type == "meta"
            assert (after.shape, after.dtype) == (before.shape, before.dtype)


@pytest.mark.parametrize(
    "parts",
    [(None,), (PIXELS, SOUND), (PIXELS, None, HEARD), (PIXELS, SOUND[:2], HEARD)],
    ids=["nothing", "sound unsaid to be heard", "heard without sound", "unequal counts"],
)
def test_media_check_themselves(parts: tuple[torch.Tensor | None, ...]) -> None:
    with pytest.raises(AssertionError):
        Media(*parts)


@pytest.mark.parametrize(
    "media", [Media(PIXELS), Media(PIXELS, SOUND, HEARD), Media(None, SOUND, HEARD)]
)
def test_pieces_are_joined_in_order(media: Media) -> None:
    """Also if there are fewer items than there may be."""
    random = Media(
        *(
            None if part is None else torch.randint_like(part, 2)
            for part in (media.pixels, media.sound, media.heard)
        )
    )
    rows = [torch.tensor(part, dtype=torch.int64) for part in ([2], [0, 1], [], [1])]
    joined = Media.joined((random.select(part) for part in rows), at_most=6)
    expected = random.select(torch.tensor([2, 0, 1, 1]))
    assert joined is not None and len(joined) == 4
    for name in ("pixels", "sound", "heard"):
        ours, theirs = getattr(joined, name), getattr(expected, name)
        assert ours is theirs is None or torch.equal(ours, theirs)
        assert ours is None or ours.dtype == theirs.dtype
    assert Media.joined([], at_most=6) is None


def test_joining_holds_one_piece_at_a_time() -> None:
    """Else all of them and the whole would be in memory at once."""
    pieces: list[weakref.ref[torch.Tensor]] = []

    def made() -> Iterator[Media]:
        for _ in range(8):
            pixels = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
            pieces.append(weakref.ref(pixels))
            assert sum(piece() is not None for piece in pieces) <= 2
            yield Media(pixels)

    joined = Media.joined(made(), at_most=16)
    assert joined is not None and len(joined) == 16
