from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import annotator.media.feed as feed_module
import annotator.media.lost as lost_module
from annotator.errors import ItemError
from annotator.items import Item
from annotator.media.feed import ImageFeed
from annotator.media.image import Image


def items(count: int) -> list[Item]:
    return [Item(index, index, f"/{index}", f"{index}", 0) for index in range(count)]


class FakeReader:
    """Stands in for `read_image`: sizes, delays and errors to order, and counts what is going on at once."""

    def __init__(self, sizes=None, delays=None, broken=()):
        self.sizes, self.delays, self.broken = sizes or {}, delays or {}, set(broken)
        self.lock = threading.Lock()
        self.running = self.admitted = 0
        self.started: list[int] = []

    def __call__(self, uri, limits, admit):
        number = int(uri[1:])
        with self.lock:
            self.started.append(number)
        if number in self.broken:
            raise ItemError("decode", "corrupt", uri)
        size = self.sizes.get(number, 300)
        admit(size)
        time.sleep(self.delays.get(number, 0))
        return Image(np.full((1, size // 3, 3), number % 256, np.uint8), size // 3, 1)


@pytest.fixture
def reader(monkeypatch):
    def install(**options) -> FakeReader:
        fake = FakeReader(**options)
        monkeypatch.setattr(feed_module, "read_image", fake)
        return fake

    return install


def test_real_photos_in_order(assets):
    from annotator.media.image import read_image
    from annotator.sources.plan import build_plan

    plan = build_plan([str(assets.photos)], shard_size=100)
    with ImageFeed(plan.items(0), threads=3, max_ahead=5) as feed:
        handed = list(feed)
    assert [item for item, _ in handed] == plan.items(0)
    for item, image in handed[::10]:
        assert np.array_equal(image.pixels, read_image(item.uri).pixels)


def test_order_holds_whatever_is_slow_or_broken(reader):
    reader(delays={0: 0.05, 3: 0.03, 7: 0.02}, broken=[1, 4, 9])
    with ImageFeed(items(12), threads=4, max_ahead=6) as feed:
        handed = list(feed)
    assert [item.index for item, _ in handed] == list(range(12))
    for item, result in handed:
        if item.index in (1, 4, 9):
            assert isinstance(result, ItemError) and result.kind == "corrupt"
        else:
            assert result.pixels[0, 0, 0] == item.index


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(3, 900), min_size=1, max_size=25),
    threads=st.integers(1, 5),
    max_ahead=st.integers(1, 8),
    max_bytes=st.integers(1, 2000),
    broken=st.sets(st.integers(0, 24)),
)
def test_every_item_comes_once_within_bounds(sizes, threads, max_ahead, max_bytes, broken):
    fake = FakeReader(sizes=dict(enumerate(sizes)), broken=broken)
    original = feed_module.read_image
    feed_module.read_image = fake
    try:
        seen = []
        with ImageFeed(items(len(sizes)), threads=threads, max_ahead=max_ahead, max_bytes=max_bytes) as feed:
            for item, _ in feed:
                seen.append(item.index)
                with feed._changed:
                    assert len(feed._places) <= max_ahead
                    held = [place.bytes for place in feed._places if place.bytes]
                    assert sum(held) == feed._bytes
                    assert sum(held) <= max_bytes or len(held) == 1
        assert seen == list(range(len(sizes)))
    finally:
        feed_module.read_image = original


def test_count_ahead_is_bounded(reader):
    fake = reader()
    with ImageFeed(items(50), threads=4, max_ahead=5) as feed:
        for taken in range(10):
            next(feed)
            wait_until(lambda taken=taken: len(fake.started) == taken + 6)
            time.sleep(0.01)
            assert len(fake.started) == taken + 6


def test_bytes_ahead_are_bounded_and_a_giant_goes_alone(reader):
    reader(sizes={5: 90_000})
    with ImageFeed(items(10), threads=4, max_ahead=10, max_bytes=1000) as feed:
        for _ in range(5):
            next(feed)
        wait_until(lambda: feed._bytes == 90_000)
        time.sleep(0.02)
        assert feed._bytes == 90_000
        assert [item.index for item, _ in feed] == [5, 6, 7, 8, 9]


def test_prepare_runs_in_the_decode_threads_and_its_failures_stay_with_their_item(reader):
    reader()
    names = set()

    def prepare(image: Image) -> tuple[Image, int]:
        names.add(threading.current_thread().name)
        number = int(image.pixels[0, 0, 0])
        if number == 2:
            raise ValueError("no room\nsecond line")
        if number == 3:
            raise ItemError("detect", "too_thin", "1 pixel")
        return image, number

    with ImageFeed(items(5), threads=2, prepare=prepare) as feed:
        results = [result for _, result in feed]
    assert [results[place][1] for place in (0, 1, 4)] == [0, 1, 4]
    assert (results[2].stage, results[2].kind) == ("detect", "ValueError")
    assert "no room" in results[2].message and "second" not in results[2].message
    assert results[3].kind == "too_thin"
    assert names and all(name.startswith("decode-") for name in names)


def test_prepare_may_return_nothing(reader):
    reader()
    with ImageFeed(items(3), prepare=lambda _: None) as feed:
        assert [result for _, result in feed] == [None, None, None]


def test_stopping_early_leaves_no_thread_behind(reader):
    fake = reader(delays=dict.fromkeys(range(100), 0.001))
    with pytest.raises(RuntimeError, match="consumer"), ImageFeed(items(100), threads=3, max_ahead=4) as feed:
        next(feed)
        raise RuntimeError("consumer")
    assert not any(thread.is_alive() for thread in feed._threads)
    assert len(fake.started) < 20
    with pytest.raises(StopIteration):
        next(feed)


def test_closing_wakes_a_thread_that_waits_for_memory(reader):
    reader(sizes={1: 5000})
    feed = ImageFeed(items(3), threads=2, max_bytes=400)
    with feed:
        wait_until(lambda: feed._bytes == 300 and len(feed._places) > 1)
    assert not any(thread.is_alive() for thread in feed._threads)


def test_a_bug_in_the_source_of_items_reaches_the_consumer(reader):
    reader()

    def broken():
        yield items(1)[0]
        raise KeyError("source")

    with pytest.raises(KeyError), ImageFeed(broken(), threads=2) as feed:
        list(feed)


def test_no_items(reader):
    reader()
    with ImageFeed([]) as feed:
        assert list(feed) == []


def test_lost_stretches_of_a_film_are_told_by_one_look_at_it(monkeypatch):
    """To index a film is to read it from end to end."""
    looked = []

    def index(uri):
        looked.append(uri)
        time.sleep(0.02)
        return SimpleNamespace(lost=[(float(at), at + 0.5) for at in range(9)])

    monkeypatch.setattr(lost_module, "index_video", index)
    lost = [
        Item(at, at, f"{film}#{at}", f"{film}#{at}", 0, video_uri=film, time=float(at))
        for film in ("/a.ts", "/b.ts")
        for at in range(9)
    ]
    with ImageFeed(lost, threads=4) as feed:
        assert [getattr(error, "kind", None) for _, error in feed] == ["lost_stretch"] * 18
    assert sorted(set(looked)) == ["/a.ts", "/b.ts"]
    assert len(looked) < 9  # threads may meet where one film ends and the next begins


def wait_until(condition, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)
