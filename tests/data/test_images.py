"""Every kind of image comes out as the same uint8 square; what cannot be read says why."""

import io
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional as torchvision_functional

from newfound.data.folders import files_below
from newfound.data.images import (
    ArrayImages,
    FileImages,
    decode_side,
    image_sides,
    square_pixels,
    to_eight_bits,
)
from newfound.data.source import UnreadableError
from newfound.errors import InputError

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def load_one(path: Path, px: int = 16, channels: int = 3) -> torch.Tensor:
    return FileImages([path]).load(0, px, channels)


def reason_for(path: Path) -> str:
    with pytest.raises(UnreadableError) as caught:
        load_one(path)
    return caught.value.reason


def noise(height: int, width: int, channels: int = 3) -> NDArray[Any]:
    shape = (height, width, channels) if channels == 3 else (height, width)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("px", "side"), [(8, 8), (32, 32), (64, 64), (112, 128), (224, 256)])
def test_the_decoded_square_leaves_a_margin_for_large_networks_only(px: int, side: int) -> None:
    assert decode_side(px) == side


@pytest.mark.parametrize("size", [(64, 128), (128, 64), (96, 32), (16, 48)])
def test_the_square_is_torchvisions_resize_and_centre_crop(size: tuple[int, int]) -> None:
    image = Image.fromarray(noise(*size))
    resized = torchvision_functional.resize(
        image, 32, interpolation=torchvision_functional.InterpolationMode.BICUBIC
    )
    expected = torchvision_functional.center_crop(resized, [32, 32])
    pixels = square_pixels(image, 32, 3)
    assert pixels.dtype == torch.uint8 and pixels.shape == (3, 32, 32)
    difference = pixels.int() - torchvision_functional.pil_to_tensor(expected).int()
    assert difference.abs().max() <= 2  # either rounds between its two passes


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("px", [8, 32, 80])
def test_files_and_arrays_decode_alike(tmp_path: Path, px: int, channels: int) -> None:
    pixels = noise(20, 30)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    from_array = ArrayImages(pixels[None]).load(0, px, channels)
    assert torch.equal(load_one(tmp_path / "a.png", px, channels), from_array)
    assert from_array.shape == (channels, decode_side(px), decode_side(px))


def test_grey_arrays_become_equal_colour_channels() -> None:
    pixels = ArrayImages(noise(8, 8, channels=1)[None]).load(0, 8, 3)
    assert torch.equal(pixels[0], pixels[1]) and torch.equal(pixels[0], pixels[2])
    assert np.array_equal(pixels[0].numpy(), noise(8, 8, channels=1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_every_mode_of_8_bits_keeps_its_colour(mode: str) -> None:
    grey = mode in ("1", "L", "LA")
    image = Image.new("RGB", (16, 16), WHITE if grey else RED).convert(mode)
    colour = np.asarray(to_eight_bits(image, "RGB")).reshape(-1, 3).mean(axis=0)
    assert np.abs(colour - (WHITE if grey else RED)).max() <= 3


def test_lab_keeps_its_colour() -> None:
    lab_of_red = np.full((4, 4, 3), (136, 80, 67), np.uint8)  # L* = 53%, a* = 80, b* = 67
    lab = Image.frombytes("LAB", (4, 4), lab_of_red.tobytes())
    colour = np.asarray(to_eight_bits(lab, "RGB"))[0, 0]
    assert colour[0] > 240 and colour[1] < 40 and colour[2] < 40


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_becomes_white(mode: str) -> None:
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0)).convert(mode)
    assert np.asarray(to_eight_bits(image, "RGB")).min() == 255
    assert np.asarray(to_eight_bits(image, "L")).min() == 255


def test_a_transparent_palette_entry_becomes_white(tmp_path: Path) -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(tmp_path / "a.png", transparency=1)
    assert load_one(tmp_path / "a.png").min() == 255


def test_16_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        decoded = load_one(tmp_path / name, channels=1)[0].numpy()
        assert np.array_equal(decoded, np.round(values / 257))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_are_scaled_by_those_that_are_used(tmp_path: Path, bits: int, ending: str) -> None:
    """The brightest pixel takes half of the full scale and a bit."""
    values = np.linspace(0, 2 ** (bits - 1), 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / f"a.{ending}")
    decoded = load_one(tmp_path / f"a.{ending}", channels=1)[0].numpy()
    assert np.array_equal(decoded, np.round(values * (255 / (2**bits - 1))))


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_a_black_image_stays_black(tmp_path: Path, kind: type) -> None:
    Image.fromarray(np.zeros((16, 16), kind)).save(tmp_path / "a.tif")
    assert (load_one(tmp_path / "a.tif") == 0).all()


@pytest.mark.parametrize(
    ("brightest", "white"),
    [(1.0, 1.0), (1.02, 1.02), (200.0, 255.0), (4095.0, 4095.0), (1e6, 1e6)],
)
def test_floats_are_scaled_by_the_least_usual_full_scale(
    tmp_path: Path, brightest: float, white: float
) -> None:
    values = np.linspace(0, brightest, 256, dtype=np.float32).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.tif")
    decoded = load_one(tmp_path / "a.tif", channels=1)[0].numpy()
    assert np.abs(decoded - values * (255 / white)).max() <= 0.51


@pytest.mark.parametrize(("darkest", "brightest"), [(-1.0, 1.0), (-1024.0, 3071.0), (-3.0, -1.0)])
@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_of_negative_pixels_the_least_is_black_and_the_brightest_white(
    tmp_path: Path, darkest: float, brightest: float, kind: type
) -> None:
    values = np.linspace(darkest, brightest, 256).astype(kind).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.tif")
    decoded = load_one(tmp_path / "a.tif", channels=1)[0].numpy()
    expected = (values - darkest) * (255 / (brightest - darkest))
    assert np.abs(decoded - expected).max() <= 0.51


def test_pixels_that_are_all_of_one_negative_value_are_black(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), -5, np.float32)).save(tmp_path / "a.tif")
    assert (load_one(tmp_path / "a.tif") == 0).all()


def test_floats_that_are_not_finite_are_unreadable(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), np.nan, np.float32)).save(tmp_path / "a.tif")
    assert "finite" in reason_for(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    stored = Image.fromarray(noise(24, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as reopened:
        upright = ImageOps.exif_transpose(reopened)
    assert torch.equal(load_one(tmp_path / "a.png"), square_pixels(upright, 16, 3))
    if orientation == 6:  # independently of Pillow's table: 6 is a quarter turn clockwise
        turned = Image.fromarray(np.rot90(np.asarray(stored), -1).copy())
        assert torch.equal(load_one(tmp_path / "a.png"), square_pixels(turned, 16, 3))


def test_damaged_exif_does_not_cost_the_image(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), RED).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert load_one(tmp_path / "a.jpg")[0].min() > 240


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.fromarray(noise(64, 64)).resize((512, 512), Image.Resampling.NEAREST)
    image.save(tmp_path / "a.jpg", quality=95, subsampling=0)
    image.save(tmp_path / "a.png")
    sizes = []
    really = ImageOps.exif_transpose

    def note_size(image: Image.Image) -> Image.Image:
        sizes.append(image.size)
        return really(image)

    monkeypatch.setattr(ImageOps, "exif_transpose", note_size)
    difference = load_one(tmp_path / "a.jpg", 64).int() - load_one(tmp_path / "a.png", 64).int()
    assert sizes == [(128, 128), (512, 512)]
    assert difference.abs().float().mean() < 4


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert torch.equal(load_one(tmp_path / "a.gif")[:, 0, 0], torch.tensor(RED, dtype=torch.uint8))


def png_header(width: int, height: int) -> bytes:
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    chunks.append((b"IDAT", zlib.compress(bytes(1000))))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("pillow_limit", [Image.MAX_IMAGE_PIXELS, None])
def test_a_decompression_bomb_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pillow_limit: int | None
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow_limit)
    (tmp_path / "bomb.png").write_bytes(png_header(30_000, 30_000))
    started = time.monotonic()
    assert "too large: make " in reason_for(tmp_path / "bomb.png")
    assert time.monotonic() - started < 1


def test_unreadable_files_say_why(tmp_path: Path) -> None:
    encoded = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(encoded, "PNG")
    for name, content, reason in [
        ("empty.jpg", b"", "empty file"),
        ("text.png", b"not an image", "not an image that Pillow reads"),
        ("cut.png", encoded.getvalue()[:3000], "truncated"),
        ("head.png", encoded.getvalue()[:40], ""),
    ]:
        (tmp_path / name).write_bytes(content)
        assert reason in reason_for(tmp_path / name)
    assert reason_for(tmp_path / "missing.png") == "no such file"
    assert reason_for(tmp_path) == "not a regular file"


def test_a_pipe_does_not_make_us_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert reason_for(tmp_path / "a.png") == "not a regular file"


def test_a_loop_of_links_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("a.png")
    assert "symbolic link" in reason_for(tmp_path / "a.png")


def test_a_forbidden_file_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    (tmp_path / "a.png").write_bytes(b"x")
    monkeypatch.setattr(Image, "open", refuse)
    assert reason_for(tmp_path / "a.png") == "permission denied"


def test_damage_anywhere_is_read_or_explained_and_never_crashes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        encoded = io.BytesIO()
        Image.fromarray(noise(24, 24)).save(encoded, kind)
        for _ in range(40):
            content = bytearray(encoded.getvalue())
            for at in generator.integers(0, min(len(content), 200), 4):
                content[at] = generator.integers(256)
            (tmp_path / "a").write_bytes(content)
            try:
                assert load_one(tmp_path / "a").shape == (3, 16, 16)
            except UnreadableError as error:
                assert error.reason and error.reason.isprintable()


def test_names_that_are_not_utf8_are_opened_and_shown(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b'/caf\xe9 "x"\n<script>.png'
    Image.new("RGB", (4, 4), RED).save(os.fsdecode(path), "PNG")
    source = FileImages([path])
    assert source.load(0, 8, 3)[0].min() == 255
    Path(os.fsdecode(path)).write_bytes(b"")
    with pytest.raises(UnreadableError) as caught:
        source.load(0, 8, 3)
    assert caught.value.path.endswith('/caf\\xe9 "x"\n<script>.png')


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((2, 8, 8), np.float32), r"float32.*\* 255"),
        (np.zeros((2, 8, 8), bool), "bool"),
        (np.zeros((2, 8, 8), np.uint16), "uint16"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 8, 8, 1), np.uint8), r"pixels\[\.\.\., 0\]"),
        (np.zeros((2, 1, 8, 8), np.uint8), r"pixels\[:, 0\]"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"pixels\[\.\.\., :3\]"),
        (np.zeros((2, 64), np.uint8), r"\(2, 64\)"),
        (np.zeros((2, 0, 8), np.uint8), r"\(2, 0, 8\)"),
    ],
)
def test_arrays_of_another_kind_are_refused_with_the_cure(
    pixels: NDArray[Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ArrayImages(pixels)


def test_the_median_shorter_side_comes_from_headers(tmp_path: Path) -> None:
    paths = []
    for i, (width, height) in enumerate([(20, 30), (50, 40), (60, 70), (9000, 9000)]):
        paths.append(tmp_path / f"{i}.png")
        paths[-1].write_bytes(png_header(width, height))
    paths.append(tmp_path / "missing.png")
    assert image_sides(FileImages(paths)) == 50
    assert image_sides(FileImages(paths), sample=1) == 20
    assert image_sides(ArrayImages(np.zeros((3, 8, 12, 3), np.uint8))) == 8
    with pytest.raises(InputError, match="no such file"):
        image_sides(FileImages(paths[-1:]))


def test_stamps_follow_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    files = FileImages([tmp_path / "a", tmp_path / "missing"])
    assert files.stamps().tolist() == [3, -1]
    pixels = np.zeros((2, 4, 4), np.uint8)
    pixels[1, 0, 0] = 1
    stamps = ArrayImages(pixels).stamps()
    assert stamps[0] != stamps[1] and ArrayImages(pixels[1:]).stamps()[0] == stamps[1]


def test_a_subset_keeps_the_order_asked_for(tmp_path: Path) -> None:
    rows = np.array([2, 0])
    assert FileImages(["a", "b", "c"]).subset(rows).path(0) == "c"
    pixels = np.arange(3, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    assert ArrayImages(pixels).subset(rows).load(0, 8, 1).flatten().tolist() == [2] * 64


def test_images_tell_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = FileImages([tmp_path / "a/b/1.png", tmp_path / "a/c/2.png"])
    assert files.name(1) == str(tmp_path / "a/c/2.png")
    (tmp_path / "d/b").mkdir(parents=True)
    for name in ("d/b/1.png", "d/b/2.png", "d/0.png"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path / "d", Path("d")):
        [paths] = files_below([root])
        found = FileImages(paths)
        assert found.place() == found.subset(np.array([1])).place() == str(tmp_path / "d")
    arrays = ArrayImages(np.zeros((3, 4, 4), np.uint8))
    assert arrays.name(2) == "image 2" and arrays.place() == ""
    assert arrays.marks().tolist() == [0, 0, 0]
