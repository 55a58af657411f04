"""Tiny films of every make: each frame once and pixel for pixel, wherever reading begins; damage told."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from annotator.errors import ItemError
from annotator.items import Item
from annotator.media import pulse
from annotator.media.decoding import Decoder, FrameReader
from annotator.media.feed import ImageFeed
from annotator.media.image import Image, ImageLimits
from annotator.media.scan import VideoIndex
from annotator.media.video import index_video

FRAMES, GROUP, RATE = 40, 10, 25


def picture(number: int) -> np.ndarray:
    """(48, 64, 3) uint8, without any symmetry, unlike its neighbours."""
    y, x = np.mgrid[:48, :64]
    pixels = np.stack([x * 3 + number * 5, y * 4 + number * 3, x + y + number * 7], -1) % 256
    pixels[10:20, number : number + 8] = 255
    return pixels.astype(np.uint8)


def write_film(
    path: Path, codec: str = "libx264", pts: list[int] | None = None, frames: int = FRAMES, **options: object
) -> str:
    """A film of `picture`s; pts in hundredths of a second (MPEG-2: frames)."""
    base = Fraction(1, RATE if codec == "mpeg2video" else 4 * RATE)
    step = 1 if codec == "mpeg2video" else 4
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options={k: str(v) for k, v in options.items()})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = GROUP
        stream.codec_context.time_base = base
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = pts[number] if pts else number * step, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


X264 = {"x264-params": f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:bframes=3:b-pyramid=normal"}
OPEN = {"x264-params": X264["x264-params"] + ":open-gop=1"}
X265 = {"x265-params": f"keyint={GROUP}:min-keyint={GROUP}:open-gop=1:bframes=3:log-level=none:pools=1"}
VARIABLE = np.cumsum(np.random.default_rng(1).integers(1, 13, FRAMES)).tolist()

FILMS: dict[str, Callable[[Path], str]] = {
    "b-frames.mp4": lambda path: write_film(path, **X264),
    "b-frames.mov": lambda path: write_film(path, "mpeg4", bf=2),
    "b-frames.avi": lambda path: write_film(path, **X264),
    "mpeg4.avi": lambda path: write_film(path, "mpeg4", bf=2),
    "open-gop.mp4": lambda path: write_film(path, **OPEN),
    "open-gop.mkv": lambda path: write_film(path, **OPEN),
    "open-gop.ts": lambda path: write_film(path, **OPEN),
    "hevc.mp4": lambda path: write_film(path, "libx265", **X265),
    "variable-rate.mkv": lambda path: write_film(path, pts=VARIABLE, **X264),
    "variable-rate.mp4": lambda path: write_film(path, pts=VARIABLE, **OPEN),
    "hidden-frames.webm": lambda path: write_film(
        path, "libvpx", **{"auto-alt-ref": 1, "lag-in-frames": 16, "cpu-used": 8}
    ),
    "vp9.webm": lambda path: write_film(path, "libvpx-vp9", **{"deadline": "realtime", "cpu-used": 8}),
    "interlaced.ts": lambda path: write_film(
        path, **{"x264-params": X264["x264-params"] + ":interlaced=1:tff=1"}
    ),
    "interlaced.mpg": lambda path: write_film(path, "mpeg2video", bf=2, flags="+ildct+ilme"),
}


@pytest.fixture(scope="session")
def film(tmp_path_factory) -> Callable[[str], str]:
    """The path of a film of `FILMS`, written once."""
    folder = tmp_path_factory.mktemp("films")

    def path(name: str) -> str:
        return str(folder / name) if (folder / name).exists() else FILMS[name](folder / name)

    return path


def straight(path: str) -> list[np.ndarray]:
    """All frames, decoded from the first to the last by PyAV alone."""
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def items_of(path: str, index: VideoIndex) -> list[Item]:
    keys = [None] * len(index) if index.keyframe_pts is None else index.keyframe_pts.tolist()
    return [
        Item(number, number, f"{path}#{number}", f"f#{number}", 0, None, path, number, pts, time, key)
        for number, (pts, time, key) in enumerate(
            zip(index.pts.tolist(), index.times.tolist(), keys, strict=True)
        )
    ]


def read(path: str, items: list[Item]) -> list[Image | ItemError]:
    found = []
    with FrameReader(path) as reader:
        for item in items:
            try:
                found.append(reader.read(item))
            except ItemError as error:
                found.append(error)
    return found


def assert_equal(found: list[Image | ItemError], expected: list[np.ndarray]) -> None:
    for image, pixels in zip(found, expected, strict=True):
        assert isinstance(image, Image), image
        np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize("name", FILMS)
def test_every_frame_once_and_equal_wherever_reading_begins(film, name):
    path = film(name)
    expected = straight(path)
    assert len(expected) == FRAMES
    items = items_of(path, index_video(path))
    for size in (1, 7, GROUP, FRAMES):
        found = []
        for start in range(0, FRAMES, size):
            found += read(path, items[start : start + size])
        assert_equal(found, expected)
    assert_equal(read(path, items[::9]), expected[::9])
    backwards = items[::-1]
    assert_equal(read(path, backwards), expected[::-1])


@pytest.mark.parametrize("name", ["b-frames.mp4", "open-gop.ts", "variable-rate.mkv", "vp9.webm"])
def test_the_index_has_the_times_of_the_decoded_frames(film, name):
    path = film(name)
    with av.open(path) as container:
        stream = container.streams.video[0]
        times = [frame.time for frame in container.decode(stream)]
    index = index_video(path)
    np.testing.assert_allclose(index.times, np.array(times) - times[0], atol=1e-9)
    assert (index.width, index.height) == (64, 48)
    assert index.keys.sum() == FRAMES / GROUP if name != "vp9.webm" else index.keys[0]


def test_seeking_spares_most_of_a_long_film(tmp_path, monkeypatch):
    path = write_film(tmp_path / "long.mp4", frames=300, **X264)
    decoded = []
    original = FrameReader._start

    def counting(self, item):
        original(self, item)
        self._frames = (decoded.append(entry[0]) or entry for entry in self._frames)

    monkeypatch.setattr(FrameReader, "_start", counting)
    items = items_of(path, index_video(path))
    assert_equal(read(path, items[5::100]), straight(path)[5::100])
    assert len(decoded) < 5 * GROUP


def test_the_pulse_goes_on_while_a_film_is_indexed_and_skipped(film):
    path = film("b-frames.avi")
    start = pulse.beats()
    last = items_of(path, index_video(path))[-1:]
    indexed = pulse.beats()
    read(path, last)
    assert indexed - start >= 2 * FRAMES - 1
    assert pulse.beats() - indexed >= FRAMES


def test_a_film_of_b_frames_alone_is_not_held_in_memory():
    from types import SimpleNamespace

    from av.video.frame import PictureType

    decoded = []

    def decode(packet) -> list[SimpleNamespace]:
        if packet is None:
            return []
        decoded.append(packet.pts)
        return [SimpleNamespace(pts=packet.pts, pict_type=PictureType.B, is_corrupt=False)]

    stream = SimpleNamespace(codec_context=SimpleNamespace(decode=decode))
    source = (SimpleNamespace(pts=pts, is_keyframe=pts == 0, is_corrupt=False) for pts in range(300))
    found = []
    for pts, _, damaged in Decoder(stream).frames(source):
        found.append((pts, damaged))
        assert len(decoded) - len(found) <= 16
    assert found == [(pts, False) for pts in range(300)]


# Orientation


# Display matrices and what the ffmpeg command makes of a picture with them.
MATRICES: dict[str, tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = {
    "a quarter left": ((0, -1, 1, 0), lambda pixels: np.rot90(pixels)),
    "half a turn": ((-1, 0, 0, -1), lambda pixels: pixels[::-1, ::-1]),
    "a quarter right": ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1)),
    "left and right": ((-1, 0, 0, 1), lambda pixels: pixels[:, ::-1]),
    "top and bottom": ((1, 0, 0, -1), lambda pixels: pixels[::-1]),
    "one diagonal": ((0, 1, 1, 0), lambda pixels: pixels.transpose(1, 0, 2)),
    "the other diagonal": ((0, -1, -1, 0), lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2)),
}


def with_matrix(source: str, path: Path, matrix: tuple[float, float, float, float]) -> str:
    """The film with a display matrix in its track header."""
    data = bytearray(Path(source).read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * 65536) for value in matrix)
    numbers = [a, b, 0, c, d, 0, 0, 0, 1 << 30]
    data[at : at + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("name", MATRICES)
def test_frames_are_upright_and_not_mirrored(film, tmp_path, name):
    matrix, shown = MATRICES[name]
    path = with_matrix(film("b-frames.mp4"), tmp_path / "turned.mp4", matrix)
    found = read(path, items_of(path, index_video(path)))
    expected = [shown(pixels) for pixels in straight(path)]
    assert_equal(found, expected)
    assert all((image.height, image.width) == expected[0].shape[:2] for image in found)


def test_a_tilt_is_no_quarter_turn(film, tmp_path):
    for sign in (-1, 1):
        path = with_matrix(film("b-frames.mp4"), tmp_path / "tilted.mp4", (1, 0.035 * sign, -0.035 * sign, 1))
        assert_equal(read(path, items_of(path, index_video(path))), straight(path))


def test_motion_jpeg_stands_as_its_exif_says(tmp_path):
    import io

    import PIL.Image

    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    jpeg = io.BytesIO()
    PIL.Image.fromarray(picture(0)).save(jpeg, "JPEG", exif=exif)
    path = str(tmp_path / "camera.avi")
    with av.open(path, "w") as container:
        stream = container.add_stream("mjpeg", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(3):
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.time_base = stream, Fraction(1, RATE)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)
    found = read(path, items_of(path, index_video(path)))
    assert_equal(found, [np.rot90(pixels, -1) for pixels in straight(path)])


# Damage


@pytest.mark.parametrize("name", ["b-frames.mp4", "open-gop.mp4", "b-frames.mov"])
def test_a_damaged_stretch_costs_only_its_groups_and_is_never_handed_on(film, tmp_path, name):
    data = bytearray(Path(film(name)).read_bytes())
    size = len(data) // 40
    middle = data.index(b"mdat") + 2 * (len(data) - data.index(b"mdat")) // 3
    data[middle : middle + size] = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    path = tmp_path / name
    path.write_bytes(data)
    found = read(str(path), items_of(str(path), index_video(str(path))))
    expected = straight(film(name))
    bad = [number for number, image in enumerate(found) if isinstance(image, ItemError)]
    assert 1 <= len(bad) <= 2 * GROUP
    assert bad[-1] - bad[0] < 2 * GROUP
    good = [number for number in range(FRAMES) if number not in bad]
    assert_equal([found[number] for number in good], [expected[number] for number in good])
    for number in bad:
        assert found[number].stage == "decode"
        assert f"{number / RATE:.3f} s" in found[number].message


def test_an_mkv_cut_off_keeps_what_is_there_and_says_what_is_not(film, tmp_path):
    data = Path(film("open-gop.mkv")).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(data[: len(data) // 3])
    index = index_video(str(path))
    assert 3 < len(index) < FRAMES / 2
    assert index.lost_seconds == pytest.approx((FRAMES - len(index)) / RATE, abs=0.3)
    assert not any(isinstance(image, ItemError) for image in read(str(path), items_of(str(path), index)[:-1]))


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [
        ("film.mkv", "libx264", "aac"),
        ("film.webm", "libvpx", "libopus"),
        ("film.flv", "libx264", "aac"),
        ("film.wmv", "wmv2", "wmav2"),
    ],
)
def test_sound_may_last_longer_than_the_picture(tmp_path, name, codec, sound):
    path, rng = tmp_path / name, np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.gop_size = GROUP
        audio = container.add_stream(sound, rate=48000, layout="mono")
        audio.bit_rate = 64_000
        for number in range(100):
            frame = av.VideoFrame.from_ndarray(picture(number % FRAMES), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        noise = av.AudioFrame.from_ndarray(
            rng.normal(0, 0.1, (1, 7 * 48000)).astype(np.float32), format="fltp", layout="mono"
        )
        noise.sample_rate, noise.pts = 48000, 0
        container.mux(audio.encode(noise))
        container.mux(audio.encode(None))
    index = index_video(str(path))
    assert (len(index), index.lost) == (100, ())
    if name == "film.wmv":  # of one that was cut off, FFmpeg makes the duration smaller
        return
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    index = index_video(str(path))
    assert 3 < len(index) < 90
    assert index.lost_seconds == pytest.approx(7 - len(index) / RATE, abs=0.3)


@pytest.mark.parametrize("name", ["open-gop.mkv", "open-gop.ts"])
def test_a_stretch_that_is_gone_has_its_times_and_what_follows_is_whole(tmp_path, name):
    path = tmp_path / name
    write_film(path, frames=300, **OPEN)
    expected = straight(str(path))
    data = bytearray(path.read_bytes())
    middle, size = len(data) // 2, len(data) // 6
    data[middle : middle + size] = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    path.write_bytes(data)
    index = index_video(str(path))
    ((start, end),) = index.lost
    assert 1 < end - start < 6
    numbers = (index.times * RATE).round().astype(int)
    assert not ((numbers > start * RATE + 0.5) & (numbers < end * RATE - 0.5)).any()
    assert len(numbers) > 180
    found = read(str(path), items_of(str(path), index))
    good = [(image, expected[n]) for image, n in zip(found, numbers, strict=True) if isinstance(image, Image)]
    assert len(good) >= len(found) - 2 * GROUP
    assert_equal([image for image, _ in good], [pixels for _, pixels in good])


def noise_film(path: Path, codec: str, **options: object) -> bytes:
    """Twelve frames of noise, each of them many packets of a transport stream."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options={k: str(v) for k, v in options.items()})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.gop_size = 6
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (240, 320, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("codec", "options"), [("libx264", X264), ("libx265", X265), ("mpeg2video", {"bf": 2})]
)
def test_a_transport_stream_cut_off_within_a_frame_says_so(tmp_path, codec, options):
    whole = noise_film(tmp_path / "whole.ts", codec, **options)
    assert index_video(str(tmp_path / "whole.ts")).lost == ()
    packets = len(whole) // 188
    # At the end of a packet and within one; with a time code before each packet, as cameras write it.
    for name, data in (
        ("cut.ts", whole[: packets // 2 * 188]),
        ("torn.ts", whole[: packets // 2 * 188 + 99]),
        ("cut.m2ts", b"".join(b"time" + whole[188 * n : 188 * n + 188] for n in range(packets // 2))),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        index = index_video(str(path))
        ((start, end),) = index.lost
        assert 0 < end - start < 6 / RATE, name
        assert 3 < len(index) < 10, name
        assert start not in index.times, name
        # The frame of which the end is missing is not among those that are read; all others are whole.
        assert all(isinstance(image, Image) for image in read(str(path), items_of(str(path), index))), name
        with ImageFeed([Item(0, 0, "x", "x", 0, None, str(path), None, None, start, None)]) as feed:
            ((_, error),) = feed
        assert (error.stage, error.kind) == ("decode", "lost_stretch")


def test_joined_recordings_cut_off_within_a_frame_say_so(tmp_path):
    path = tmp_path / "joined.ts"
    whole = noise_film(tmp_path / "one.ts", "libx264", **X264)
    with av.open(str(tmp_path / "one.ts")) as container:
        begins = [packet.pos // 188 for packet in container.demux(video=0) if packet.size]
    # In the middle of a frame, and where too little is left of it to be decoded.
    for packets in (begins[5] + 60, begins[5] + 1):
        path.write_bytes(whole + whole[: packets * 188])
        index = index_video(str(path))
        assert index.keyframe_pts is None
        assert len(index) == 12 + 5
        ((start, end),) = index.lost
        assert end - start == pytest.approx(1 / RATE)
        assert start not in index.times
        found = read(str(path), items_of(str(path), index))
        # What stands at the joint may be damaged; nothing else is.
        assert {n for n, image in enumerate(found) if isinstance(image, ItemError)} <= {10, 11}


def test_a_transport_stream_cut_between_frames_is_a_shorter_one(tmp_path):
    path = tmp_path / "film.ts"
    whole = noise_film(path, "libx264", **X264)
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(whole[: places[6]])
    index = index_video(str(path))
    assert (len(index), index.lost) == (6, ())


@pytest.mark.parametrize(
    ("codec", "options"), [("mpeg4", {"bf": 0}), ("mpeg4", {"bf": 2}), ("libx264", X264)]
)
def test_a_damaged_avi_gives_every_frame_that_is_left_once(tmp_path, codec, options):
    path = tmp_path / "film.avi"
    write_film(path, codec, frames=120, **options)
    expected = straight(str(path))
    whole = path.read_bytes()
    place, size = whole.rfind(b"idx1"), len(whole) // 8
    rubbish = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    middle = 2 * len(whole) // 5
    torn = whole[:middle] + rubbish + whole[middle + size :]
    for kind, data, fewest in (
        ("no index", whole[:place], 120),
        ("an index of rubbish", whole[: place + 8] + rubbish[: len(whole) - place - 8], 120),
        ("a hole", torn, 60),
        ("a hole and no index", torn[:place], 60),
        ("cut off", whole[: len(whole) // 2], 30),
    ):
        path.write_bytes(data)
        index = index_video(str(path))
        found = read(str(path), items_of(str(path), index))
        assert fewest <= len(index) <= 120, kind
        good = [image.pixels for image in found if isinstance(image, Image)]
        numbers = [n for pixels in good for n in range(120) if np.array_equal(pixels, expected[n])]
        assert numbers == sorted(set(numbers)), kind
        assert len(numbers) >= 0.75 * len(index), kind
        if fewest == 120:
            assert numbers == list(range(120)), kind
        else:
            # The header still says how long it was.
            assert index.lost_seconds == pytest.approx((120 - len(index)) / RATE, abs=0.1), kind
            ((start, end),) = index.lost
            assert start > index.times[-1] and end - start == pytest.approx(index.lost_seconds), kind


def test_a_pause_is_no_damage(tmp_path):
    pts = [4 * number + (500 if number >= 20 else 0) for number in range(FRAMES)]
    for name in ("pause.mkv", "pause.ts"):
        index = index_video(write_film(tmp_path / name, pts=pts, **X264))
        assert len(index) == FRAMES
        assert index.lost == ()


def test_joined_recordings_whose_clocks_overlap_follow_each_other(tmp_path):
    whole, expected = b"", []
    for number, offset in enumerate((100, 103)):
        path = write_film(tmp_path / f"{number}.ts", pts=[4 * n + offset for n in range(FRAMES)], **X264)
        whole += Path(path).read_bytes()
        expected += straight(path)
    path = tmp_path / "joined.ts"
    path.write_bytes(whole)
    index = index_video(str(path))
    found = read(str(path), items_of(str(path), index))
    # What stands at the joint may be damaged: the first recording may have been cut off there.
    bad = [number for number, image in enumerate(found) if isinstance(image, ItemError)]
    assert set(bad) <= set(range(FRAMES - 4, FRAMES + 1))
    good = [number for number in range(2 * FRAMES) if number not in bad]
    assert_equal([found[number] for number in good], [expected[number] for number in good])


def test_the_size_may_change_in_the_middle(tmp_path):
    from itertools import chain

    parts = []
    for number, size in enumerate([(64, 48), (96, 64)]):
        path = tmp_path / f"{number}.ts"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg2video", rate=RATE)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.codec_context.gop_size = GROUP
            pictures = [np.full((size[1], size[0], 3), 90 + 5 * k, np.uint8) for k in range(20)]
            frames = [av.VideoFrame.from_ndarray(pixels, format="rgb24") for pixels in pictures]
            for k, frame in enumerate(frames):
                frame.pts, frame.time_base = 20 * number + k, Fraction(1, RATE)
            container.mux(list(chain.from_iterable(stream.encode(frame) for frame in [*frames, None])))
        parts.append(path.read_bytes())
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(parts))
    index = index_video(str(path))
    found = read(str(path), items_of(str(path), index))
    sizes = [(image.width, image.height) for image in found if isinstance(image, Image)]
    assert {(64, 48), (96, 64)} == set(sizes)
    assert len(sizes) >= 36


def sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_videos_that_cannot_be_opened(film, tmp_path):
    whole = Path(film("b-frames.mp4")).read_bytes()
    path = tmp_path / "a.mp4"

    def error(data: bytes) -> tuple[str, str]:
        path.write_bytes(data)
        with pytest.raises(ItemError) as caught:
            index_video(str(path))
        return caught.value.stage, caught.value.kind

    assert error(b"") == ("read", "empty")
    assert error(b"no film\n" * 99) == ("decode", "not_a_video")
    assert error(whole[: len(whole) // 2]) == ("decode", "truncated")
    other = film("b-frames.mp4")
    assert error(f"#EXTM3U\n#EXTINF:10,\nfile://{other}\n".encode()) == ("decode", "not_a_video")
    assert error(f"ffconcat version 1.0\nfile '{other}'\n".encode()) == ("decode", "not_a_video")
    sound(path)
    assert error(path.read_bytes()) == ("decode", "no_video_stream")
    path.unlink()
    with pytest.raises(ItemError, match="No such file"):
        index_video(str(path))
    with pytest.raises(ItemError, match="folder"):
        index_video(str(tmp_path))


def test_a_duration_that_lies_changes_nothing(film, tmp_path):
    data = bytearray(Path(film("b-frames.mp4")).read_bytes())
    for box, skip in ((b"mvhd", 16), (b"mdhd", 16)):
        at = data.index(box) + 4 + skip
        data[at : at + 4] = (2**31).to_bytes(4, "big")
    path = tmp_path / "lies.mp4"
    path.write_bytes(data)
    index = index_video(str(path))
    assert len(index) == FRAMES
    assert_equal(read(str(path), items_of(str(path), index)), straight(film("b-frames.mp4")))


# In the feed


def test_pictures_and_frames_mix_in_plan_order(film, tmp_path):
    import PIL.Image

    expected: list[np.ndarray] = []
    items: list[Item] = []
    for round_ in range(3):
        for number in range(5):
            path = tmp_path / f"{round_}-{number}.png"
            PIL.Image.fromarray(picture(number)).save(path)
            items.append(Item(len(items), len(items), str(path), path.name, 0))
            expected.append(picture(number))
        name = ("open-gop.mp4", "b-frames.avi", "vp9.webm")[round_]
        items += items_of(film(name), index_video(film(name)))[round_ : 30 + round_]
        expected += straight(film(name))[round_ : 30 + round_]
    frame_bytes = 6 * 64 * 48
    for threads, ahead, memory in (
        (1, 1, 1),
        (1, 64, 3 * frame_bytes),
        (3, 8, 1 << 30),
        (4, 64, frame_bytes),
    ):
        with ImageFeed(items, threads=threads, max_ahead=ahead, max_bytes=memory) as feed:
            handed = list(feed)
        assert [item for item, _ in handed] == items
        assert_equal([image for _, image in handed], expected)


def test_frames_are_prepared_and_a_failure_costs_one(film):
    items = items_of(film("b-frames.mp4"), index_video(film("b-frames.mp4")))
    calls = []

    def prepare(image: Image) -> int:
        calls.append(image)
        if len(calls) == 3:
            raise ValueError("third")
        return image.width

    with ImageFeed(items, threads=1, prepare=prepare) as feed:
        results = [result for _, result in feed]
    assert len(calls) == FRAMES
    assert results.count(64) == FRAMES - 1
    (error,) = (result for result in results if isinstance(result, ItemError))
    assert (error.stage, error.kind) == ("detect", "ValueError")


def test_closing_in_the_middle_of_a_film_ends_its_thread(film):
    import threading

    items = items_of(film("b-frames.mp4"), index_video(film("b-frames.mp4")))
    with ImageFeed(items, threads=2, max_ahead=4) as feed:
        next(feed)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode-")]


def test_a_film_that_is_gone_or_too_large_is_an_error_a_frame(film, tmp_path):
    path = tmp_path / "gone.mp4"
    path.write_bytes(Path(film("b-frames.mp4")).read_bytes())
    items = items_of(str(path), index_video(str(path)))[:5]
    with ImageFeed(items, ImageLimits(max_pixels=1000)) as feed:
        assert {result.kind for _, result in feed} == {"too_large"}
    path.unlink()
    with ImageFeed(items) as feed:
        errors = [result for _, result in feed]
    assert [(error.stage, error.kind) for error in errors] == [("read", "missing")] * 5


def test_a_video_without_index_is_one_error(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"")
    item = Item(0, 0, str(path), "a.mp4", 0, video_uri=str(path))
    with ImageFeed([item]) as feed:
        ((found, error),) = feed
    assert found == item
    assert (error.stage, error.kind) == ("read", "empty")
