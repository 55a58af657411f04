"""Names of places in object stores: one spelling of each, and none with secrets in it."""

from __future__ import annotations

import pytest

from annotator.errors import UserError
from annotator.locations import is_remote, location, redacted


@pytest.mark.parametrize(
    "url",
    ["s3://KEY:SECRET@bucket/run", "s3://KEY@bucket/run", "s3://b/a.jpg?X-Amz-Signature=SECRET", "s3:///x"],
)
def test_urls_that_would_carry_secrets_are_refused(url):
    assert is_remote(url)
    with pytest.raises(UserError) as caught:
        location(url)
    assert "SECRET" not in str(caught.value)


def test_what_is_a_secret_in_a_text_is_left_out():
    assert redacted("s3://KEY:SECRET@b/k?X-Amz-Signature=abc def") == "s3://...@b/k?... def"


def test_names_of_places():
    assert location("S3://Bucket/a//").url == "s3://Bucket/a"
    assert location("abfss://box@account.dfs.core.windows.net/x").key == "x"
    assert not is_remote("/s3/x") and not is_remote("https://b/x") and is_remote("gs://b")
