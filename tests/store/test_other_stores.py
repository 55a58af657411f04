"""Runs on gs:// and az://: the requests are those that commits rest on, and the answers are understood."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from annotator.errors import UserError
from annotator.locations import location
from annotator.runtime.destination import check_writable
from annotator.store import objects, storage
from annotator.store.commit import ShardWriter
from annotator.store.storage import storage_at
from annotator.store.verify import verify
from tests.store.other_stores import Azure, Google, serve

SECRET = base64.b64encode(b"a key that must not be seen").decode()


@pytest.fixture(params=["gs", "az"])
def store(request, tmp_path, monkeypatch) -> Iterator[tuple[str, type[Google]]]:
    """URL of a bucket, and the server behind it."""
    server, kept = serve(Google if request.param == "gs" else Azure)
    here = f"http://127.0.0.1:{server.server_address[1]}"
    if request.param == "gs":
        account = tmp_path / "account.json"
        account.write_text(
            json.dumps(
                {
                    "gcs_base_url": here, "disable_oauth": True, "client_email": "", "private_key": "",
                    "private_key_id": "",
                }
            )
        )  # fmt: skip
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(account))
        monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "true")
    else:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", SECRET)
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{here}/account")
        monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
    objects.client.cache_clear()
    storage._storage.cache_clear()
    yield f"{request.param}://bucket", kept
    objects.client.cache_clear()
    storage._storage.cache_clear()
    server.shutdown()
    server.server_close()


def test_a_run_is_committed_once_and_verified(store, make_run, picture, people):
    bucket, kept = store
    url = f"{bucket}/runs/one"
    assert check_writable(url) is None
    made = make_run([picture(f"{i}.jpg", people([[i, i, 20, 40]])) for i in range(4)])
    for name in ("run.json", "plan/items.parquet"):
        storage_at(url).replace(name, (made.path / name).read_bytes())
    first, second = (ShardWriter(url, 0).commit(*made.tables(0), {}) for _ in range(2))
    assert first.won and not second.won and second.record.attempt == first.record.attempt
    assert ShardWriter(url, 1).commit(*made.tables(1), {}).won
    report = verify(url)
    assert report.ok and (report.planned, report.images) == (4, 4), report.problems
    keep = storage_at(url)
    assert [keep.create("commits/x", data) for data in (b"one", b"two", b"one")] == [True, False, True]
    assert keep.read("commits/x") == b"one"
    # What commits rest on is asked for in the store's own words.
    word = {"gs": ("x-goog-if-generation-match", "0"), "az": ("if-none-match", "*")}[bucket[:2]]
    puts = [headers for method, path, headers in kept.seen if method == "PUT" and "/commits/" in path]
    assert len(puts) == 5 and all(headers.get(word[0]) == word[1] for headers in puts)
    assert not any(SECRET in value for _, _, headers in kept.seen for value in headers.values())


def test_a_store_that_ignores_the_condition_is_found_out(store, monkeypatch):
    bucket, kept = store
    monkeypatch.setattr(kept, "is_conditional", lambda self: False)
    said = check_writable(f"{bucket}/run")
    assert said is not None and "no conditional writes" in said
    assert not kept.objects


@pytest.mark.parametrize(
    ("url", "bucket", "key"),
    [
        ("gs://bucket/a/b/", "gs://bucket", "a/b"),
        ("az://container/a", "az://container", "a"),
        ("abfss://c@account.dfs.core.windows.net/a", "abfss://c@account.dfs.core.windows.net", "a"),
    ],
)
def test_names_of_places(url, bucket, key):
    found = location(url)
    assert (found.bucket, found.key) == (bucket, key)


@pytest.mark.parametrize("url", ["gs://user:SECRET@bucket/run", "az://c/run?sv=1&sig=SECRET"])
def test_secrets_in_names_are_refused_and_not_repeated(url):
    with pytest.raises(UserError) as caught:
        location(url)
    assert "SECRET" not in str(caught.value)
