from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotator.errors import UserError
from annotator.sources.plan import build_plan
from annotator.store.plan import Plan
from annotator.uris import local_path


def plan(*inputs, **options) -> Plan:
    return build_plan([str(text) for text in inputs], shard_size=4, **options)


def names(made: Plan) -> list[str]:
    return [item.file_name for shard in made.shards for item in made.items(shard)]


def uris(made: Plan) -> list[str]:
    return [item.uri for shard in made.shards for item in made.items(shard)]


# Folders


def test_folders_are_walked_in_sorted_order(touch):
    root = touch(
        "b.JPG",
        "a/2.png",
        "a/1.jpg",
        "a/deep/x.webp",
        "c.heic",
        "notes.txt",
        "song.mp3",
        "song2.mp3",
        "README",
    )
    made = plan(root)
    assert names(made) == ["a/1.jpg", "a/2.png", "a/deep/x.webp", "b.JPG", "c.heic"]
    assert uris(made) == [str(root / name) for name in names(made)]
    assert made.notes == ("skipped in folders: 2 .mp3, 1 .txt, 1 without suffix",)
    assert made.duplicates == 0


def test_equal_names_in_different_folders_stay_apart(touch):
    root = touch("a/1.jpg", "b/1.jpg")
    assert names(plan(root)) == ["a/1.jpg", "b/1.jpg"]
    both = plan(root / "a", root / "b")
    assert names(both) == ["a/1.jpg", "b/1.jpg"]
    assert uris(both) == [str(root / "a/1.jpg"), str(root / "b/1.jpg")]
    singles = plan(root / "a/1.jpg", root / "b/1.jpg")
    assert names(singles) == ["a/1.jpg", "b/1.jpg"]


def test_roots_of_one_name_are_told_apart_by_their_parents(touch):
    root = touch("x/img/1.jpg", "y/img/1.jpg", "z/2.jpg")
    assert names(plan(root / "x/img", root / "y/img", root / "z")) == ["x/img/1.jpg", "y/img/1.jpg", "2.jpg"]


def test_a_prefix_that_makes_a_new_clash_goes_on(touch):
    root = touch("p/1.jpg", "q/1.jpg", "r/q/1.jpg")
    made = plan(root / "p", root / "q", root / "r")
    assert len(set(names(made))) == 3
    assert names(made)[:2] != ["1.jpg", "1.jpg"]


def test_hidden_files_are_left_out_and_counted(touch):
    made = plan(touch("1.jpg", "._1.jpg", ".thumbnails/1.jpg"))
    assert names(made) == ["1.jpg"]
    assert made.notes == ("skipped in folders: 2 hidden",)


def test_links_are_followed_without_going_round(touch):
    root = touch("photos/1.jpg", "elsewhere/2.jpg", "3.jpg")
    (root / "photos/loop").symlink_to(root / "photos")
    (root / "photos/other").symlink_to(root / "elsewhere")
    (root / "photos/linked.jpg").symlink_to(root / "3.jpg")
    (root / "photos/dangling.jpg").symlink_to(root / "nowhere.jpg")
    made = plan(root / "photos")
    assert names(made) == ["1.jpg", "dangling.jpg", "linked.jpg", "other/2.jpg"]
    assert any("loop" in note for note in made.notes)


def test_folders_deeper_than_the_python_stack(touch):
    root = touch("top/x.jpg") / "top"
    deepest = root.joinpath(*["d"] * 1200)
    try:
        subprocess.run(["mkdir", "-p", deepest], check=True)
        (deepest / "y.jpg").touch()
        assert names(plan(root)) == ["d/" * 1200 + "y.jpg", "x.jpg"]
    finally:  # shutil.rmtree is recursive, and so would fail to clean up
        subprocess.run(["rm", "-r", root / "d"], check=True)


def test_folders_that_cannot_be_listed_are_named(touch, monkeypatch):
    root = touch("good/1.jpg", "locked/2.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    made = plan(root)
    assert names(made) == ["good/1.jpg"]
    assert "locked was left out: Permission denied" in made.notes[0]
    with pytest.raises(UserError, match=r"cannot list the folder .*locked: Permission denied"):
        plan(root / "locked")


def test_odd_names_survive(tmp_path):
    odd = [
        b"a b.jpg",
        b"#1.jpg",
        b"line\nbreak.jpg",
        "日本 é.jpg".encode(),
        b"100%.jpg",
        b"\xff\xfe.jpg",
        b"%FF.jpg",
    ]
    for name in odd:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    made = plan(tmp_path)
    assert sorted(os.fsencode(local_path(uri)) for uri in uris(made)) == sorted(
        os.fsencode(tmp_path) + b"/" + name for name in odd
    )
    assert len(set(names(made))) == len(odd)
    assert "%FF%FE.jpg" in names(made)
    assert len({item.image_id for shard in made.shards for item in made.items(shard)}) == len(odd)


def test_a_folder_with_an_odd_name_is_an_input_like_any_other(tmp_path):
    """Old archives have names in Latin-1."""
    cafe = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    for name in (b"a 1.jpg", b"b/\xfc.jpg", b"b/%FC.jpg"):
        path = Path(os.fsdecode(os.fsencode(cafe) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "a 1.jpg").touch()
    made = plan(cafe, tmp_path / "a 1.jpg")
    assert [local_path(uri) for uri in uris(made)] == [
        str(cafe / "a 1.jpg"),
        str(cafe / "b/%FC.jpg"),
        str(cafe / os.fsdecode(b"b/\xfc.jpg")),
        str(tmp_path / "a 1.jpg"),
    ]
    assert len(set(names(made))) == 4
    assert names(plan(cafe / "*.jpg", tmp_path / "a 1.jpg"))[0] == "caf%E9/a 1.jpg"
    assert names(plan(cafe / "a 1.jpg")) == names(plan(cafe / "*.jpg")) == ["a 1.jpg"]
    listed = tmp_path / "list.txt"
    listed.write_bytes(os.fsencode(cafe) + b"/a 1.jpg\n")
    assert uris(plan(listed)) == uris(plan(cafe / "*.jpg"))


# Globs and single files


def test_globs(touch):
    root = touch("a/1.jpg", "a/2.png", "b/1.jpg", "b/c/3.jpg", "b/.h/4.jpg", "b/notes.txt", "5.jpg")
    assert names(plan(root / "*/1.jpg")) == ["a/1.jpg", "b/1.jpg"]
    assert names(plan(root / "**/*.jpg")) == ["5.jpg", "a/1.jpg", "b/1.jpg", "b/c/3.jpg"]
    assert names(plan(root / "b/**")) == ["1.jpg", "c/3.jpg"]
    assert names(plan(root / "b/*")) == ["1.jpg", "c/3.jpg"]
    assert names(plan(root / "a/[0-9].png")) == ["2.png"]
    assert names(plan(root / "?.jpg")) == ["5.jpg"]


def test_a_glob_goes_before_a_file_of_that_very_name_only_when_there_is_none(touch):
    root = touch("[1].jpg", "1.jpg")
    assert names(plan(root / "[1].jpg")) == ["[1].jpg"]


def test_a_glob_of_lists(touch):
    root = touch("1.jpg", "2.jpg")
    (root / "a.txt").write_text("1.jpg\n")
    (root / "b.txt").write_text("2.jpg\n")
    assert names(plan(root / "*.txt")) == ["1.jpg", "2.jpg"]


def test_a_named_file_is_kept_whatever_its_suffix(touch):
    root = touch("photo.dat", "noext", "1.jpg")
    assert names(plan(root / "photo.dat", root / "noext", root / "1.jpg")) == ["photo.dat", "noext", "1.jpg"]


def test_file_uris(touch):
    root = touch("a b.jpg")
    assert uris(plan("file://" + str(root / "a%20b.jpg"))) == [str(root / "a b.jpg")]
    assert uris(plan("file://localhost" + str(root))) == [str(root / "a b.jpg")]


def test_what_was_named_twice_is_kept_once(touch, monkeypatch):
    root = touch("a/1.jpg", "a/2.jpg")
    monkeypatch.chdir(root)
    made = plan("a", "a/../a/1.jpg", root / "a/2.jpg", "./a")
    assert names(made) == ["1.jpg", "2.jpg"]
    assert made.duplicates == 4
    assert any("4 inputs were named more than once" in note for note in made.notes)


def test_limit(touch):
    root = touch(*(f"{number:02d}.jpg" for number in range(20)))
    assert names(plan(root, limit=3)) == ["00.jpg", "01.jpg", "02.jpg"]
    assert len(plan(root / "00.jpg", root / "00.jpg", root, limit=3)) == 3
    assert len(plan(root, limit=99)) == 20


# Lists


def test_text_lists(touch):
    root = touch("a/1.jpg")
    (root / "list.txt").write_bytes(
        b"\xef\xbb\xbf# comment\n\na/1.jpg\r\n  ./a/missing file.jpg  \n"
        + str(root / "a/3.jpg").encode()
        + b"\nnot-utf8-\xff.jpg\n/far/away/4.jpg\n../5.jpg"
    )
    made = plan(root / "list.txt")
    assert uris(made)[:3] == [str(root / name) for name in ("a/1.jpg", "a/missing file.jpg", "a/3.jpg")]
    assert names(made)[:4] == ["a/1.jpg", "a/missing file.jpg", "a/3.jpg", "not-utf8-%FF.jpg"]
    assert uris(made)[4:] == ["/far/away/4.jpg", str(root.parent / "5.jpg")]
    assert len(set(names(made))) == 6


def test_files_from_elsewhere_are_shown_below_what_they_have_in_common(touch):
    root = touch("lists/x.jpg")
    (root / "lists/list.txt").write_text("/data/set/a/1.jpg\n/data/set/b/1.jpg\n/data/set/b/c/2.jpg\n")
    assert names(plan(root / "lists/list.txt")) == ["a/1.jpg", "b/1.jpg", "b/c/2.jpg"]


def test_image_root_moves_relative_names(touch):
    root = touch("photos/1.jpg", "lists/x.txt")
    (root / "lists/list.txt").write_text("1.jpg\n")
    assert uris(plan(root / "lists/list.txt", image_root=str(root / "photos"))) == [
        str(root / "photos/1.jpg")
    ]


# Manifests

ROWS = [("a/1.jpg", 7), ("a/2.jpg", None), ("gone.jpg", 9)]


def csv_text(column: str) -> str:
    return f"label,{column},image_id,width\n" + "".join(
        f"x,{path},{'' if i is None else i},640\n" for path, i in ROWS
    )


@pytest.mark.parametrize("column", ["uri", "path", "file_name", "image"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_manifests(touch, kind, column):
    root = touch("a/1.jpg", "a/2.jpg")
    path = root / f"m.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({column: [p for p, _ in ROWS], "image_id": [i for _, i in ROWS]}), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({column: p, "image_id": i}) + "\n\n" for p, i in ROWS))
    else:
        path.write_text(csv_text(column).replace(",", "\t" if kind == "tsv" else ","))
    made = plan(path)
    assert uris(made) == [str(root / p) for p, _ in ROWS]
    ids = [item.image_id for item in made.items(0)]
    assert ids[0] == 7 and ids[2] == 9 and ids[1] not in (7, 9)


def test_ids_that_went_through_a_table_of_floats(tmp_path):
    (tmp_path / "m.csv").write_text("path,image_id\n1.jpg,5.0\n2.jpg,\n3.jpg,-3\n")
    ids = [item.image_id for item in plan(tmp_path / "m.csv").items(0)]
    assert ids[0] == 5 and ids[2] == -3


# Mistakes


def broken(tmp_path: Path):
    def put(name: str, data: str | bytes) -> str:
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return str(tmp_path / name)

    (tmp_path / "empty").mkdir()
    (tmp_path / "songs").mkdir()
    put("songs/a.mp3", b"")
    yield str(tmp_path / "gone"), "gone' does not exist; expected a folder"
    yield "", "does not exist"
    yield str(tmp_path / "empty"), "no picture or video in the folder .*empty; accepted suffixes: .*.jpg"
    yield str(tmp_path / "songs"), r"songs \(found 1 .mp3\)"
    yield str(tmp_path / "*.jpg"), r"nothing matches the pattern .*\*.jpg"
    yield str(tmp_path / "song*/*"), "matches no picture"
    yield "ftp://host/a", "ftp://host/a cannot be read here: local paths, file://"
    yield (
        "https://host/a.jpg",
        "https://host/a.jpg cannot be read here: .* download, copy or mount",
    )
    yield "file://server/a", "host 'server'"
    yield put("blank.txt", "# nothing\n\n"), "blank.txt names nothing"
    yield put("far.txt", "ok.jpg\nhttp://x/1.jpg\n"), "far.txt: line 2: http://x/1.jpg"
    yield put("nul.txt", "a\0b.jpg"), "line 1.*NUL"
    yield (
        put("cols.csv", "name,width\na,1\n"),
        "cols.csv: line 1: no column.*uri, path, file_name, image.*'name'",
    )
    yield put("empty.csv", ""), "empty.csv: line 1: no column"
    yield put("norows.csv", "path\n"), "norows.csv has no rows"
    yield (
        put("ragged.csv", "path,image_id\na.jpg\n"),
        "ragged.csv: line 2 has 1 fields where the header has 2",
    )
    yield put("cell.csv", 'path,image_id\na.jpg,1\n"",2\n'), "cell.csv: line 3: the column 'path' is empty"
    yield put("id.csv", "path,image_id\na.jpg,seven\n"), "id.csv: line 2: 'seven' is not an image id"
    yield put("half.csv", "path,image_id\na.jpg,1.5\n"), "'1.5' is not an image id"
    yield put("huge.csv", f"path,image_id\na.jpg,{2**70}\n"), "does not fit 64 bits"
    yield put("bad.jsonl", '{"path": "a.jpg"}\n{"path": \n'), "bad.jsonl: line 2 is not valid JSON"
    yield put("list.jsonl", "[1]\n"), "line 1 is not a JSON object"
    yield put("cols.jsonl", '{"name": "a.jpg"}\n'), "cols.jsonl: line 1: no column"
    yield put("bad.parquet", b"PAR1"), "bad.parquet is not a readable Parquet"
    pq.write_table(pa.table({"name": ["a"]}), tmp_path / "cols.parquet")
    yield str(tmp_path / "cols.parquet"), "cols.parquet: no column"
    yield put("bad.json", '{"images": [}'), "bad.json is not valid JSON"
    yield put("latin.json", b'{"images": "\xff"}'), "latin.json is not valid JSON"
    yield put("other.json", '{"a": 1}'), 'other.json is not a COCO file: it has no "images"'
    yield put("none.json", '{"images": []}'), '"images" list is empty'
    yield put("odd.json", '{"images": [1]}'), "not a list of objects"
    yield put("results.json", '[{"image_id": 1}]'), "COCO results list.*--boxes"
    yield put("noname.json", '{"images": [{"id": 1}]}'), r"images\[0\] has no file_name"
    yield put("noid.json", '{"images": [{"file_name": "a"}]}'), r"images\[0\] \(a\) has no id"
    yield put("id.json", '{"images": [{"file_name": "a", "id": "x"}]}'), "'x' is not an image id"
    yield put("true.json", '{"images": [{"file_name": "a", "id": true}]}'), "True is not an image id"
    yield (
        put("lost.json", '{"images": [{"file_name": "a.jpg", "id": 1}]}'),
        "none of its first 1 pictures.*--image-root",
    )


def test_mistakes_are_named(tmp_path):
    for text, message in broken(tmp_path):
        with pytest.raises(UserError, match=f"(?s){message}"):
            plan(text)


def test_no_input_and_no_image_root(touch):
    with pytest.raises(UserError, match="no INPUT given"):
        plan()
    with pytest.raises(UserError, match=r"--image-root .*gone is not a folder"):
        plan(touch("1.jpg"), image_root=str(touch("1.jpg") / "gone"))
