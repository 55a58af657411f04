from __future__ import annotations

import errno
import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from annotator.errors import ItemError
from annotator.media.image import ImageLimits, read_image


def put(folder, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def error(uri: str, limits: ImageLimits | None = None) -> tuple[str, str]:
    with pytest.raises(ItemError) as caught:
        read_image(uri, limits)
    assert caught.value.message
    return caught.value.stage, caught.value.kind


def opencv(data: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_photos_equal_opencv(assets):
    for path in sorted(assets.photos.iterdir()):
        image = read_image(str(path))
        expected = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        assert np.array_equal(image.pixels, expected), path.name
        assert (image.height, image.width, 3) == expected.shape
        assert image.scale == 1
        assert image.pixels.flags.c_contiguous and image.pixels.flags.writeable


FORMATS = [
    ("JPEG", {"quality": 95}),
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("AVIF", {"quality": 95}),
    ("HEIF", {"quality": 95}),
]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("form", "options"), FORMATS)
def test_every_orientation_is_turned_upright_as_pillow_does(
    tmp_path, picture, encode, form, options, orientation
):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture, form, exif=exif, **options)
    stored = PIL.Image.open(io.BytesIO(data))
    expected = np.asarray(PIL.ImageOps.exif_transpose(stored).convert("RGB"))
    image = read_image(put(tmp_path, "photo", data))
    assert np.array_equal(image.pixels, expected)
    assert (image.width, image.height) == (expected.shape[1], expected.shape[0])
    if form not in ("HEIF", "TIFF"):  # those are turned inside their decoders
        assert image.pixels.shape[:2] == ((96, 64) if orientation >= 5 else (64, 96))


def test_png_orientation_behind_the_pixels(tmp_path, picture, encode):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    data = encode(picture, "PNG", exif=exif)
    at = data.index(b"eXIf") - 4
    size = 12 + struct.unpack(">I", data[at : at + 4])[0]
    late = data[:at] + data[at + size : -12] + data[at : at + size] + data[-12:]
    assert np.array_equal(read_image(put(tmp_path, "late.png", late)).pixels, opencv(late))
    assert read_image(str(tmp_path / "late.png")).width == 64


@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0", b"garbage", b"Exif\0\0" + bytes(40)])
def test_damaged_exif_costs_only_the_orientation(tmp_path, picture, encode, exif):
    image = read_image(put(tmp_path, "a.jpg", encode(picture, "JPEG", exif=exif)))
    plain = read_image(put(tmp_path, "b.jpg", encode(picture, "JPEG")))
    assert np.array_equal(image.pixels, plain.pixels)


def odd_pictures(picture: PIL.Image.Image, encode):
    half = np.zeros((64, 96), np.uint8)
    half[:, 48:] = 255
    alpha = picture.copy()
    alpha.putalpha(PIL.Image.fromarray(half))
    grey16 = PIL.Image.fromarray((np.arange(64 * 96, dtype=np.uint16) * 10).reshape(64, 96))
    turned = picture.rotate(180)
    palette = picture.convert("P")
    yield "cmyk.jpg", encode(picture.convert("CMYK"), "JPEG")
    yield "grey.jpg", encode(picture.convert("L"), "JPEG")
    yield "progressive.jpg", encode(picture, "JPEG", progressive=True)
    yield "rgb.jpg", encode(picture, "JPEG", keep_rgb=True)
    yield "grey16.png", encode(grey16, "PNG")
    yield "rgb16.png", cv2.imencode(".png", np.asarray(picture).astype(np.uint16) * 257)[1].tobytes()
    yield "palette.png", encode(palette, "PNG")
    yield "palette-transparent.png", encode(palette, "PNG", transparency=palette.getpixel((0, 0)))
    yield "bits.png", encode(picture.convert("1"), "PNG")
    yield "rgba.png", encode(alpha, "PNG")
    yield "grey-alpha.png", encode(alpha.convert("LA"), "PNG")
    yield "rgba.webp", encode(alpha, "WEBP", lossless=True, exact=True)
    yield (
        "animated.webp",
        encode(picture, "WEBP", save_all=True, append_images=[turned], duration=99, lossless=True),
    )
    yield (
        "animated.gif",
        encode(palette, "GIF", save_all=True, append_images=[turned.convert("P")], duration=99),
    )
    yield "animated.png", encode(picture, "PNG", save_all=True, append_images=[turned])
    yield "grey16.tif", encode(grey16, "TIFF")
    yield "rgb.tif", encode(picture, "TIFF")
    yield "lzw.tif", encode(picture, "TIFF", compression="tiff_lzw")
    yield "cmyk.tif", encode(picture.convert("CMYK"), "TIFF")
    yield "rgba.tif", encode(alpha, "TIFF")
    yield "rgb.bmp", encode(picture, "BMP")
    yield "rgb.ppm", encode(picture, "PPM")
    yield "rgb.jp2", encode(picture, "JPEG2000")
    yield "rgb.avif", encode(picture, "AVIF")
    yield "one.png", encode(picture.crop((5, 5, 6, 6)), "PNG")
    yield "one.jpg", encode(picture.crop((5, 5, 6, 6)), "JPEG")


def test_odd_pictures_look_as_opencv_shows_them(tmp_path, picture, encode):
    for name, data in odd_pictures(picture, encode):
        image = read_image(put(tmp_path, name, data))
        expected = opencv(data)
        assert image.pixels.shape == expected.shape, name
        assert np.array_equal(image.pixels, expected), name


def test_transparent_avif_has_red_where_red_belongs(tmp_path, picture, encode):
    alpha = picture.copy()
    alpha.putalpha(128)
    pixels = read_image(put(tmp_path, "a.avif", encode(alpha, "AVIF", quality=100))).pixels.astype(int)
    assert np.abs(pixels - np.asarray(picture)).mean() < 3


def test_heic(tmp_path, picture, encode):
    image = read_image(put(tmp_path, "phone.heic", encode(picture, "HEIF", quality=95)))
    assert (image.width, image.height) == (96, 64)
    assert np.abs(image.pixels.astype(int) - np.asarray(picture)).mean() < 3


def test_16_bit_grey_keeps_its_range(tmp_path, encode):
    grey = PIL.Image.fromarray(np.linspace(0, 65535, 64 * 96).astype(np.uint16).reshape(64, 96))
    for form in ("PNG", "TIFF"):
        pixels = read_image(put(tmp_path, form, encode(grey, form))).pixels
        assert np.array_equal(pixels[..., 1], np.asarray(grey) >> 8)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "HEIF"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_cut_off_files_are_errors(tmp_path, picture, encode, form, kept):
    data = encode(picture, form)
    stage, kind = error(put(tmp_path, "cut", data[: int(len(data) * kept)]))
    assert stage == "decode" and kind in ("truncated", "corrupt")


@pytest.mark.parametrize("progressive", [False, True])
def test_cut_off_jpegs_are_called_truncated(tmp_path, picture, encode, progressive):
    data = encode(picture, "JPEG", progressive=progressive)
    start = data.index(b"\xff\xda") + 40
    for end in (start, (start + len(data)) // 2, len(data) - 2):
        assert error(put(tmp_path, "cut.jpg", data[:end])) == ("decode", "truncated")


def test_jpegs_damaged_in_the_middle_are_noticed(tmp_path, assets):
    rng = np.random.default_rng(0)
    found = 0
    photos = sorted(assets.photos.iterdir())[:30]
    for photo in photos:
        data = bytearray(photo.read_bytes())
        at = int(rng.integers(len(data) // 3, len(data) // 2))
        data[at : at + 512] = bytes(512)
        try:
            read_image(put(tmp_path, "hit.jpg", bytes(data)))
        except ItemError as caught:
            assert (caught.stage, caught.kind) == ("decode", "corrupt")
            found += 1
    # A decoder that falls into step again by chance leaves no trace: 95% of such blocks are found.
    assert found >= 0.8 * len(photos)


def test_filler_at_the_end_of_a_jpeg_is_harmless(tmp_path, picture, encode):
    data = encode(picture, "JPEG")
    expected = opencv(data)
    for name, odd in {
        "zeros.jpg": data[:-2] + bytes(30) + data[-2:],
        "trailing.jpg": data + b"a camera's private notes" * 9,
    }.items():
        assert np.array_equal(read_image(put(tmp_path, name, odd)).pixels, expected)
    assert error(put(tmp_path, "rubbish.jpg", data[:-2] + b"rubbish" * 9 + data[-2:])) == (
        "decode",
        "corrupt",
    )


def test_damaged_png_and_tiff_are_errors(tmp_path, picture, encode):
    for form, options in (("PNG", {}), ("TIFF", {"compression": "tiff_lzw"})):
        data = bytearray(encode(picture, form, **options))
        data[len(data) // 3 : len(data) // 3 + 30] = bytes(30)
        assert error(put(tmp_path, "hit", bytes(data))) == ("decode", "corrupt")


def test_what_is_no_picture(tmp_path):
    assert error(put(tmp_path, "empty.jpg", b"")) == ("read", "empty")
    assert error(put(tmp_path, "text.jpg", b"dear diary\n" * 99)) == ("decode", "not_an_image")
    assert error(put(tmp_path, "film.mp4", b"\0\0\0\x20ftypisom" + bytes(99))) == ("decode", "not_an_image")
    assert error(put(tmp_path, "head.jpg", b"\xff\xd8\xff\xe0")) == ("decode", "corrupt")
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"
    assert error(put(tmp_path, "script.jpg", script)) == ("decode", "not_an_image")
    (tmp_path / "folder.jpg").mkdir()
    assert error(str(tmp_path / "folder.jpg")) == ("read", "not_an_image")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert error(str(tmp_path / "pipe.jpg")) == ("read", "not_an_image")


def test_what_cannot_be_opened(tmp_path, monkeypatch, picture, encode):
    assert error(str(tmp_path / "missing.jpg")) == ("read", "missing")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert error(str(tmp_path / "dangling.jpg")) == ("read", "missing")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    assert error(str(tmp_path / "self.jpg")) == ("read", "unreadable")
    locked = put(tmp_path, "locked.jpg", encode(picture, "JPEG"))
    assert error(locked + "/inside.jpg") == ("read", "missing")
    assert error("/" + "x" * 5000) == ("read", "missing")
    assert error("/a\0b") == ("read", "unreadable")

    def refuse(path, *_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    assert error(locked) == ("read", "unreadable")


def png_of_zeros(width: int, height: int) -> bytes:
    """A PNG whose header promises much and whose data is a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


def test_bombs_are_refused_from_their_headers(tmp_path, monkeypatch, picture, encode):
    import annotator.media.image as module

    def decode(*_):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(module, "decode", decode)
    bomb = put(tmp_path, "bomb.png", png_of_zeros(30_000, 30_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert error(bomb) == ("decode", "too_large")
    small = put(tmp_path, "small.jpg", encode(picture, "JPEG"))
    assert error(small, ImageLimits(max_pixels=96 * 64 - 1)) == ("decode", "too_large")
    assert error(small, ImageLimits(max_file_bytes=100)) == ("read", "too_large")
    monkeypatch.undo()
    assert read_image(small, ImageLimits(max_pixels=96 * 64)).width == 96


def test_raw_files_and_float_pictures_are_unsupported(tmp_path, picture, encode):
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[254] = 1
    assert error(put(tmp_path, "a.nef", encode(picture, "TIFF", tiffinfo=tags))) == ("decode", "unsupported")
    depth = PIL.Image.fromarray(np.ones((8, 8), np.float32))
    assert error(put(tmp_path, "depth.tif", encode(depth, "TIFF"))) == ("decode", "unsupported")


@pytest.mark.parametrize(("above", "scale"), [(96 * 64, 1), (96 * 64 - 1, 2), (96 * 64 // 4 - 1, 4), (1, 8)])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_large_pictures_are_handed_on_smaller(tmp_path, picture, encode, form, orientation, above, scale):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = put(tmp_path, "large", encode(picture, form, exif=exif))
    full = read_image(path)
    image = read_image(path, ImageLimits(reduce_above=above))
    assert (image.width, image.height, image.scale) == (full.width, full.height, scale)
    height, width = image.pixels.shape[:2]
    assert (width * scale, height * scale) == (full.width, full.height)
    enlarged = cv2.resize(image.pixels, (full.width, full.height), interpolation=cv2.INTER_LINEAR)
    assert np.abs(enlarged.astype(int) - full.pixels).mean() < 2 + 2 * scale


def test_reduced_jpegs_are_never_whole_in_memory(tmp_path):
    import subprocess
    import sys

    strip = np.zeros((8000, 8000, 3), np.uint8)
    path = put(tmp_path, "large.jpg", cv2.imencode(".jpg", strip)[1].tobytes())
    script = f"""
from pathlib import Path
from annotator.media.image import ImageLimits, read_image
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
image = read_image({path!r}, ImageLimits(reduce_above=4_000_000))
assert image.scale == 4 and image.pixels.shape == (2000, 2000, 3), image
print((peak() - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 80  # MiB; whole, it would be 183


def test_memory_is_told_before_decoding(tmp_path, picture, encode):
    path = put(tmp_path, "a.jpg", encode(picture, "JPEG"))
    asked: list[int] = []
    read_image(path, admit=asked.append)
    assert len(asked) == 1 and asked[0] >= 96 * 64 * 3 + (tmp_path / "a.jpg").stat().st_size


def test_odd_names(tmp_path, picture, encode):
    from annotator.uris import to_uri

    data = encode(picture, "JPEG")
    for name in (b"a b.jpg", b"#1%20.jpg", b"line\nbreak.jpg", b"\xff\xfe.jpg", "日本.jpg".encode()):
        path = os.fsencode(tmp_path) + b"/" + name
        Path(os.fsdecode(path)).write_bytes(data)
        assert read_image(to_uri(os.fsdecode(path))).width == 96
