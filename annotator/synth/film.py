"""Films of moving people with identities: MP4 by PyAV, and truth as COCO with videos and track ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from annotator.errors import UserError
from annotator.synth.annotations import PEOPLE_A_FILM, to_coco, track_id
from annotator.synth.background import Background, sample_background
from annotator.synth.camera import Camera
from annotator.synth.dataset import CATEGORY, Progress, join_truth, read_truth
from annotator.synth.light import Light, sample_light
from annotator.synth.limbs import Pose
from annotator.synth.motion import Idle, Motion, Walk
from annotator.synth.person import sample_person
from annotator.synth.poses import gesture, relaxed, sample_pose
from annotator.synth.render import render
from annotator.synth.scene import Prop, Scene, sample_clutter
from annotator.synth.seeds import FILMS, generator
from annotator.synth.spread import Spread, over_processes, single_threaded
from annotator.synth.visibility import annotate
from annotator.uris import frame_mark

VIDEOS_DIR = "videos"
ANNOTATIONS = "person_keypoints_videos.json"
FRAMES_A_FILM = 1_000_000  # image ids are film * FRAMES_A_FILM + frame + 1


@dataclass(frozen=True)
class Film:
    """A scene in time: a camera on a tripod, people who walk past each other, stand and sit."""

    seed: int
    index: int
    camera: Camera
    light: Light
    background: Background
    props: tuple[Prop, ...]
    motions: tuple[Motion, ...]

    def scene(self, time: float) -> Scene:
        """The scene `time` seconds after the beginning."""
        people = tuple(motion.at(time) for motion in self.motions)
        return Scene(self.camera, self.light, people, self.props, self.background)

    def frame(self, number: int, fps: float) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Frame `number`: (H, W, 3) uint8 RGB and COCO annotations with `track_id`."""
        scene = self.scene(number / fps)
        drawn = render(scene)
        rng = np.random.default_rng([self.seed, FILMS, self.index, number])
        grain = rng.standard_normal((*drawn.pixels.shape[:2], 1), dtype=np.float32) * 0.012
        pixels = (np.clip(drawn.pixels + grain, 0, 1) * 255 + 0.5).astype(np.uint8)
        truths = annotate(scene, drawn)
        return pixels, [{**to_coco(t), "track_id": track_id(self.index, t.identity)} for t in truths]


def sample_film(seed: int, index: int, size: tuple[int, int] = (640, 480)) -> Film:
    """Film number `index` of collection `seed`: at least two walkers cross in front of each other."""
    rng = generator(seed, FILMS, index)
    width, height = size
    eye = rng.uniform(1.2, 2.8)
    focal = rng.uniform(0.9, 1.3) * width
    near = rng.uniform(3.5, 6.5)
    camera = Camera(width, height, focal, (0.0, 0.0, eye))
    middle = near + 1.5
    pitch = np.degrees(np.arctan2(eye - 0.95, middle)) + rng.normal(0, 1.5)
    camera = replace(camera, pitch=float(pitch), roll=float(rng.normal(0, 1)))
    reach = width / focal / 2  # half the width of the view one metre ahead
    motions: list[Motion] = []
    for identity in range(int(rng.integers(2, 4))):
        y = near + 0.75 * identity
        span = reach * y * rng.uniform(0.7, 1.25)
        tilt = rng.uniform(-0.5, 0.5)
        ends = ((-span, y + tilt), (span, y - tilt * 0.4))
        if identity % 2:
            ends = (ends[1], ends[0])
        motions.append(
            Walk(
                person=sample_person(rng, identity),
                start=ends[0],
                end=ends[1],
                begin=rng.uniform(0, 1.5),
                amplitude=rng.uniform(0.8, 1.1),
                upper=relaxed(rng, "walk", "ground"),
                cadence=rng.uniform(0.9, 1.1),
            )
        )
    for _ in range(int(rng.integers(0, 4))):
        place = (float(rng.uniform(-0.8, 0.8) * reach * middle), float(near + rng.uniform(2.4, 4.5)))
        yaw = float(rng.normal(0, 50))
        keys = tuple(_idle_keys(rng))
        motions.append(Idle(sample_person(rng, len(motions)), place, yaw, keys, rng.uniform(0.9, 2.2)))
    placed = [motion.at(0.0) for motion in motions if isinstance(motion, Idle)]
    props = tuple(sample_clutter(rng, placed))
    kind = str(rng.choice(["room", "street", "nature"]))
    return Film(
        seed, index, camera, sample_light(rng), sample_background(rng, camera, kind), props, tuple(motions)
    )


def _idle_keys(rng: np.random.Generator) -> Iterator[Pose]:
    """Poses that differ in trunk, head and arms but share legs, so that the feet stay."""
    first = sample_pose(rng, str(rng.choice(["stand", "stand", "bend", "squat"])))
    legs = {
        name: turn for name, turn in first.bones.items() if name.startswith(("upperleg", "lowerleg", "foot"))
    }
    yield first
    for _ in range(4):
        other = gesture(rng, relaxed(rng, first.name, first.support))
        yield replace(other, bones={**other.bones, **legs}, root=first.root)


def frames(
    seed: int,
    index: int,
    size: tuple[int, int] = (640, 480),
    seconds: float = 4.0,
    fps: float = 12.0,
    quick: bool = False,
) -> Iterator[tuple[np.ndarray, list[dict[str, Any]]]]:
    """Lazily yield the frames of a film. `quick` moves pasted people instead, for films of any length."""
    if quick:
        from annotator.synth.quick import QuickFilm

        film: Film | QuickFilm = QuickFilm(seed, index, size)
    else:
        film = sample_film(seed, index, size)
    for number in range(round(seconds * fps)):
        yield film.frame(number, fps)


def write_film(path: Path, pictures: Iterator[tuple[np.ndarray, list]], fps: float) -> list[list[dict]]:
    """Encode frames as H.264 (MPEG-4 where the build lacks it); returns the truth a frame."""
    import av

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    rate = Fraction(fps).limit_denominator(1001)
    truths = []
    with av.open(str(path), "w") as container:
        stream = None
        for pixels, annotations in pictures:
            if stream is None:
                stream = container.add_stream(codec, rate=rate)
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "yuv420p"
                # One thread: the bytes must not depend on how many cores there are.
                stream.codec_context.thread_count = 1
                if codec == "libx264":
                    # Looking ahead, it encodes the same frames to other bytes in the next process.
                    alike = "mbtree=0:rc-lookahead=0"
                    stream.options = {
                        "crf": "21", "preset": "veryfast", "threads": "1", "x264-params": alike
                    }  # fmt: skip
                else:
                    stream.codec_context.bit_rate = 3_000_000
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
            truths.append(annotations)
        if stream is not None:
            container.mux(stream.encode(None))
    return truths


Job = tuple[str, int, int, tuple[int, int], float, float, bool]


def _film_job(job: Job) -> tuple[dict, list[dict], list[dict]]:
    out, seed, index, size, seconds, fps, quick = job
    single_threaded()
    name = f"{index:08d}.mp4"
    truths = write_film(Path(out) / VIDEOS_DIR / name, frames(seed, index, size, seconds, fps, quick), fps)
    video_id = index + 1
    video = {"id": video_id, "file_name": name, "width": size[0], "height": size[1], "fps": fps}
    video["length"] = len(truths)
    images, annotations = [], []
    for number, people in enumerate(truths):
        image_id = index * FRAMES_A_FILM + number + 1
        images.append(
            {
                "id": image_id, "video_id": video_id, "frame_id": number, "time": round(number / fps, 6),
                "file_name": name + frame_mark(number), "width": size[0], "height": size[1],
            }
        )  # fmt: skip
        for n, person in enumerate(people):
            identity = image_id * PEOPLE_A_FILM + n
            annotations.append({**person, "id": identity, "image_id": image_id, "video_id": video_id})
    return video, images, annotations


def write_films(
    out: str | Path,
    n: int,
    seed: int = 0,
    size: tuple[int, int] = (640, 480),
    seconds: float = 4.0,
    fps: float = 12.0,
    spread: Spread | None = None,
    start: int = 0,
    quick: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write films `start` .. `start + n - 1` and `person_keypoints_videos.json`; arguments as `write_images`.

    `images` of the file are frames (`video_id`, `frame_id`, `time` in seconds); annotations carry `track_id`.

    Raises:
        UserError: a side is odd (H.264 cannot store it), a film would have no frame, the folder cannot be
            written, or holds the truth of other films.
    """
    if size[0] % 2 or size[1] % 2 or min(size) < 32:
        raise UserError(f"a film of {size[0]}x{size[1]} is not possible: sides must be even and 32 at least")
    if round(seconds * fps) < 1:
        raise UserError(
            f"a film of {seconds:g} s has no frame at {fps:g} frames a second: {1 / fps:g} s is the least"
        )
    out = Path(out)
    info = {"description": "synthetic films", "seed": seed, "size": f"{size[0]}x{size[1]}"}
    info |= {"seconds": seconds, "fps": fps, "quick": quick}
    read_truth(out / ANNOTATIONS, info)
    try:
        (out / VIDEOS_DIR).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {out / VIDEOS_DIR}: {error.strerror or error}") from error
    jobs = [(str(out.absolute()), seed, i, size, seconds, fps, quick) for i in range(start, start + n)]
    videos, images, annotations = [], [], []
    for video, shots, people in (spread or over_processes())(_film_job, jobs):
        videos.append(video)
        images += shots
        annotations += people
        if progress:
            progress(1)
    coco = {
        "info": info,
        "categories": [CATEGORY],
        "videos": videos,
        "images": images,
        "annotations": annotations,
    }
    return join_truth(out / ANNOTATIONS, coco)
