"""Pictures and frames decoded ahead: in threads, in plan order, within a bound of count and bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Generic, TypeVar, cast

from annotator.errors import ItemError
from annotator.items import Item
from annotator.media.decoding import FrameReader
from annotator.media.image import Image, ImageLimits, read_image
from annotator.media.lost import LostStretches

T = TypeVar("T")


class _Closed(Exception):
    """Not an error: the consumer went away."""


class _Place(Generic[T]):
    """One item on its way through the feed, from being taken to being handed over."""

    __slots__ = ("admitted", "bytes", "done", "item", "result")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: T | ItemError | None = None
        self.bytes = 0
        self.admitted = False  # to decoding, or done without it
        self.done = False


class _Film(Generic[T]):
    """Neighbouring frames of one video, which one thread of its own decodes one after another."""

    __slots__ = ("complete", "places", "uri")

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.places: deque[_Place[T]] = deque()
        self.complete = False


class ImageFeed(Generic[T]):
    """Iterates over (item, picture or ItemError), one for each item, in their order.

    Neighbouring frames of a video are decoded and prepared in a thread of their own.
    Decoding starts with the first `next` (or `with`) and ends with the last item or `close`.

    Args:
        items: taken one by one as decoding goes on; may be a generator.
        limits: for decoding.
        threads: that read, decode and prepare; the decoders release the interpreter lock. As many videos at
            most are open at once.
        max_ahead: items taken and not yet handed over, at most.
        max_bytes: memory of what is being decoded or waits to be handed over, at most; a picture that is
            larger all
            by itself is decoded alone. What was handed over is the consumer's.
        prepare: called with each picture in the decode thread; its result is handed over in place of the
            picture.
            An exception in it becomes an ItemError of stage "detect".
        around: entered around the reading, decoding and preparing of each item, in its decode thread.
    """

    def __init__(
        self,
        items: Iterable[Item],
        limits: ImageLimits | None = None,
        threads: int = 1,
        max_ahead: int = 64,
        max_bytes: int = 1 << 30,
        prepare: Callable[[Image], T] | None = None,
        around: Callable[[Item], AbstractContextManager[object]] | None = None,
    ) -> None:
        if threads < 1 or max_ahead < 1:
            raise ValueError(f"threads ({threads}) and max_ahead ({max_ahead}) must be at least 1")
        self._items = iter(items)
        self._limits = limits or ImageLimits()
        self._max_ahead = max_ahead
        self._max_bytes = max_bytes
        self._prepare = prepare
        self._around = around or (lambda item: nullcontext())
        self._changed = threading.Condition()
        self._places: deque[_Place[T]] = deque()
        self._bytes = 0
        self._exhausted = False
        self._closed = False
        self._failure: BaseException | None = None
        self._wanted = threads
        self._threads: list[threading.Thread] = []
        self._held: Item | None = None  # taken, and waiting for a video to be closed
        self._films: list[_Film[T]] = []
        self._lost = LostStretches()

    def __enter__(self) -> ImageFeed[T]:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[Item, T | ItemError]]:
        return self

    def __next__(self) -> tuple[Item, T | ItemError]:
        self._start()
        with self._changed:
            while not self._closed and not self._failure and not self._ready():
                self._changed.wait()
            if self._failure is None and not self._closed and self._places:
                place = self._places.popleft()
                self._bytes -= place.bytes
                self._changed.notify_all()
                return place.item, cast("T | ItemError", place.result)
            failure = self._failure
        self.close()
        if failure is not None:
            raise failure
        raise StopIteration

    def _ready(self) -> bool:
        return self._places[0].done if self._places else self._exhausted

    def close(self) -> None:
        """Stop decoding and wait for the threads; what they are in the middle of is finished and dropped."""
        with self._changed:
            self._closed = True
            self._places.clear()
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _start(self) -> None:
        if not self._threads and not self._closed:
            self._threads = [
                threading.Thread(target=self._guarded, args=(self._work,), name=f"decode-{n}", daemon=True)
                for n in range(self._wanted)
            ]
            # A copy: the first thread may add those of videos before the last is started.
            for thread in list(self._threads):
                thread.start()

    def _guarded(self, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except _Closed:
            pass
        except BaseException as error:  # noqa: BLE001 - unheard, the consumer would wait for ever
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _work(self) -> None:
        while (place := self._take()) is not None:
            self._process(place, self._read_picture)

    def _process(self, place: _Place[T], read: Callable[[Item, Callable[[int], None]], Image]) -> None:
        with self._around(place.item):
            image = self._decoded(place, read)
            result = image if isinstance(image, ItemError) else self._ready_image(place, image)
        self._finish(place, result)

    def _take(self) -> _Place[T] | None:
        with self._changed:
            while not self._closed:
                if (place := self._next_picture()) is not None:
                    return place
                if self._exhausted:
                    return None
                self._changed.wait()
            return None

    # Under the lock, so that places stand in the order of the items.

    def _next_picture(self) -> _Place[T] | None:
        """The next place that is no frame, if there is room; frames before it go to their videos."""
        while not self._exhausted and len(self._places) < self._max_ahead:
            item = self._held or next(self._items, None)
            self._held = None
            film = self._films[-1] if self._films and not self._films[-1].complete else None
            if film is not None and (item is None or not item.is_frame or item.video_uri != film.uri):
                film.complete = True
                self._changed.notify_all()
                film = None
            if item is None:
                self._exhausted = True
                self._changed.notify_all()
                return None
            if item.is_frame and film is None:
                if len(self._films) >= self._wanted:
                    self._held = item
                    return None
                film = self._open(item)
            place: _Place[T] = _Place(item)
            self._places.append(place)
            if film is None:
                return place
            film.places.append(place)
            self._changed.notify_all()
        return None

    def _open(self, item: Item) -> _Film[T]:
        film: _Film[T] = _Film(str(item.video_uri))
        self._films.append(film)
        thread = threading.Thread(
            target=self._guarded, args=(self._read_film, film), name="decode-video", daemon=True
        )
        self._threads.append(thread)
        thread.start()
        return film

    # Videos.

    def _read_film(self, film: _Film[T]) -> None:
        try:
            with FrameReader(film.uri, self._limits) as reader:
                while (place := self._next_frame(film)) is not None:
                    self._process(place, reader.read)
        finally:
            with self._changed:
                self._films.remove(film)
                self._threads.remove(threading.current_thread())
                self._changed.notify_all()

    def _next_frame(self, film: _Film[T]) -> _Place[T] | None:
        with self._changed:
            while not self._closed and not film.places and not film.complete:
                self._changed.wait()
            return film.places.popleft() if film.places and not self._closed else None

    def _ready_image(self, place: _Place[T], image: Image) -> T | ItemError:
        result = self._prepared(image)
        with self._changed:
            if not self._closed:
                self._hold(place, image.pixels.nbytes)
        return result

    # Memory, and pictures.

    def _admit(self, place: _Place[T], size: int) -> None:
        """Wait until `size` bytes may be taken; in the order of the items, so that the next one wanted never
        starves.
        """
        with self._changed:
            while not self._closed and not self._may_start(place, size):
                self._changed.wait()
            if self._closed:
                raise _Closed
            self._hold(place, size)
            place.admitted = True
            self._changed.notify_all()

    def _may_start(self, place: _Place[T], size: int) -> bool:
        for other in self._places:
            if other is place:
                break
            if not other.admitted:
                return False
        return self._bytes + size <= self._max_bytes or self._bytes == 0

    def _hold(self, place: _Place[T], size: int) -> None:
        self._bytes += size - place.bytes
        place.bytes = size

    def _decoded(
        self, place: _Place[T], read: Callable[[Item, Callable[[int], None]], Image]
    ) -> Image | ItemError:
        try:
            return read(place.item, partial(self._admit, place))
        except ItemError as error:
            failure = error
        except MemoryError:
            failure = ItemError("decode", "too_large", "not enough memory to decode it")
        with self._changed:
            if not self._closed:
                self._hold(place, 0)
                self._changed.notify_all()
        return failure

    def _read_picture(self, item: Item, admit: Callable[[int], None]) -> Image:
        if item.video_uri is None:
            return read_image(item.uri, self._limits, admit)
        # The whole video, which could not be indexed and says so again, or a stretch that was lost.
        self._lost.tell(item, item.video_uri)

    def _prepared(self, image: Image) -> T | ItemError:
        if self._prepare is None:
            return cast(Any, image)
        try:
            return self._prepare(image)
        except ItemError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever one picture provokes must not cost the others
            reason = (str(error).splitlines() or [""])[0][:300]
            return ItemError("detect", type(error).__name__, f"the picture cannot be prepared: {reason}")

    def _finish(self, place: _Place[T], result: T | ItemError) -> None:
        with self._changed:
            place.result = result
            place.admitted = place.done = True
            self._changed.notify_all()
