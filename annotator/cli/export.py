"""`annotator export`: a run in other people's formats."""

from __future__ import annotations

from typing import Annotated

import typer

# What is said of each count of `Exported`.
_LEFT_OUT = {
    "errors": "images without a result are left out; `annotator retry` tries them again",
    "below_score": "people below --min-score are left out",
    "no_joints": "people without a labelled joint are left out: the format has no place",
    "no_file": "frames of videos are left out: the format needs a file for each picture",
    "no_name": "images are left out: their names hold control characters, which the format cannot; "
    "rename the files and annotate them again",
    "unreadable": "frames with a result are left out of films: they cannot be read any more",
    "no_picture": "images are without their picture: frames of videos, files that cannot be read, and those "
    "of a bucket in yolo-pose, which only links to files: copy them into images/, named as in labels/",
    "not_accepted": "images are left out: somebody in them was not accepted, and the format cannot say that "
    "a person is not labelled; decide about everybody in them, and `annotator review pull`",
}


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)],
    to: Annotated[
        str, typer.Option("--to", metavar="PATH", help="File or folder to write.", show_default=False)
    ],
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            help="coco, coco-results, cvat, label-studio, yolo-pose, hugging-face, smoothed, overlay-video.",
        ),
    ] = "coco",
    min_score: Annotated[float, typer.Option(help="Leave out people whose score is lower.")] = 0.0,
    drop: Annotated[
        str,
        typer.Option(
            metavar="KINDS",
            help="Leave out whom the run itself doubts, with commas: phantoms, duplicates.",
            show_default="nobody is left out",
        ),
    ] = "",
    reviewed: Annotated[
        str | None,
        typer.Option(
            metavar="accepted|all", help="With what `review pull` brought back merged in.", show_default=False
        ),
    ] = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Videos: joints smoothed over time, raw ones beside.")
    ] = False,
    with_images: Annotated[
        bool, typer.Option("--with-images", help="hugging-face: the pictures too, not only their names.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the people of a run in another format: annotation tools, trainers, data sets, films."""
    from annotator.cli import print_json
    from annotator.export import format_writer
    from annotator.export.selected import selected
    from annotator.store.reader import Run
    from annotator.store.snapshot import Snapshot

    write = format_writer(format_name, with_images)
    whom = selected(Snapshot(Run(run)), drop, reviewed, smooth or format_name == "smoothed")
    source = whom.run
    written = write(source, to, min_score=min_score)
    dropped, unseen = whom.dropped, whom.unseen
    left = source.info.shards - len(source.committed())
    if as_json:
        print_json(written.to_dict() | {"dropped": dropped, "unseen": unseen, "shards_left": left})
        return
    print(f"{to}: {written.images:,} images, {written.people:,} people")
    if left:
        print(f"  the run is not finished: {left:,} of its {source.info.shards:,} shards are not in it")
    if unseen:
        print(
            f"  {unseen:,} accepted people are without keypoints, which nobody has seen: the prediction has "
            "changed since, or the correction cannot be read; `annotator review load`, delete lines that "
            "cannot be read in the App, accept anew, `annotator review pull`"
        )
    if drop:
        print(f"  {dropped:,} people are left out by --drop {drop}")
    elif dropped:
        print(f"  {dropped:,} people are left out, likely nobody or doubles, about whom nobody decided")
    doubtful = {kind: count for kind, count in written.doubtful.items() if count}
    # Of a review only those are left whom --drop does not leave out, or whom it showed.
    if doubtful and not drop and reviewed != "accepted":
        among = " and ".join(f"{count:,} likely {kind}" for kind, count in doubtful.items())
        print(f"  among them {among}; --drop {','.join(doubtful)} leaves them out")
    for name, what in _LEFT_OUT.items():
        if count := getattr(written, name):
            print(f"  {count:,} {what}")
