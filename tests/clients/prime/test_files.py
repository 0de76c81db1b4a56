# SPDX-License-Identifier: Apache-2.0
"""upload, download and read_file by the SDK."""

import os

import prime_sandboxes
import pytest


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(bytes(range(256)) * 4000 + os.urandom(1000))
    return path


@pytest.mark.parametrize("path", ["/workspace/plain.bin", "/workspace/made/for it/x+1 %2F \u00e4.bin",
                                  "/tmp/under/tmp"])
def test_there_and_back(sdk, box, data, tmp_path, path):
    """Parents are made; names with all that a query has to escape."""
    sent = sdk.upload_file(box, path, str(data))
    assert sent.success and sent.path == path and sent.size == data.stat().st_size
    assert sent.timestamp.tzinfo is not None
    sdk.download_file(box, path, str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data.read_bytes()
    size = sdk.execute_command(box, 'stat -c %s "$P"', env={"P": path}).stdout
    assert int(size) == sent.size


def test_nothing_and_again(sdk, box, tmp_path):
    for content in (b"", b"once more", b"x"):
        assert sdk.upload_bytes(box, "/workspace/again", content, "again").size == len(content)
        sdk.download_file(box, "/workspace/again", str(tmp_path / "back"))
        assert (tmp_path / "back").read_bytes() == content


def test_many_megabytes(client, box, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(os.urandom(1 << 20) * 40)
    assert client.upload_file(box, "/workspace/large", str(path)).size == 40 << 20
    client.download_file(box, "/workspace/large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    client.execute_command(box, "rm /workspace/large")


def test_more_than_the_limit_is_refused(client, box):
    with pytest.raises(prime_sandboxes.APIError, match="413"):
        client.upload_bytes(box, "/workspace/too-large", b"x" * (201 << 20), "too-large")
    assert client.execute_command(box, "test -e /workspace/too-large").exit_code == 1


def test_what_is_not_there(sdk, box, tmp_path):
    with pytest.raises(prime_sandboxes.APIError, match="404"):
        sdk.download_file(box, "/workspace/none", str(tmp_path / "none"))
    with pytest.raises(prime_sandboxes.APIError):
        sdk.download_file(box, "/workspace", str(tmp_path / "none"))
    with pytest.raises(prime_sandboxes.SandboxFileNotFoundError):
        sdk.read_file(box, "/workspace/none")


def test_windows_of_a_text(sdk, box):
    sdk.upload_bytes(box, "/workspace/text", b"0123456789", "text")
    whole = sdk.read_file(box, "/workspace/text")
    assert (whole.content, whole.size) == ("0123456789", 10)
    assert sdk.read_file(box, "/workspace/text", offset=2, length=3).content == "234"
    assert sdk.read_file(box, "/workspace/text", offset=-3, length=3).content == "789"
    assert sdk.read_file(box, "/workspace/text", offset=-10485760, length=10485760).content == "0123456789"
    assert sdk.read_file(box, "/workspace/text", offset=10, length=3).content == ""
    sdk.upload_bytes(box, "/workspace/bytes", b"a\xffb", "bytes")
    assert sdk.read_file(box, "/workspace/bytes").content == "a\ufffdb"


def test_a_file_that_is_too_large_to_read(client, box):
    client.execute_command(box, "head -c 300000000 /dev/zero > /workspace/sparse")
    with pytest.raises(prime_sandboxes.SandboxFileTooLargeError):
        client.read_file(box, "/workspace/sparse")
    client.execute_command(box, "rm /workspace/sparse")
