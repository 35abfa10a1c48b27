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
