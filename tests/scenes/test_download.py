import hashlib
import http.server
import io
import socket
import stat
import threading
import zipfile
from pathlib import PurePosixPath

import pytest

from ifmsr.errors import InputError
from ifmsr.scenes import download
from ifmsr.scenes.download import check, fetch_archive, fetch_cave
from ifmsr.scenes.indian_pines import IndianPines

CONTENT = {
    f"complete_ms_data/{scene}_ms/{scene}_ms/{scene}_ms_{band:02d}.png": bytes([band]) * 5000 + scene.encode()
    for scene in ("beads", "cd")
    for band in range(1, 32)
}
FILES = {PurePosixPath(p): (len(data), hashlib.sha256(data).hexdigest()) for p, data in CONTENT.items()}


def zipped(members):
    """A zip archive, not compressed, so that it is long enough to be broken off."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves `body` with byte ranges; breaks off after `break_after` bytes of an answer."""

    def __init__(self, body):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.break_after, self.ranges, self.asked = body, None, True, []
        self.url = f"http://127.0.0.1:{self.server_port}/complete_ms_data.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.ranges else 0
        if start >= len(server.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.body)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        body = server.body[start:]
        self.send_response(206 if server.ranges and asked else 200)
        if server.ranges and asked:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.break_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server(zipped(CONTENT)) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def assert_all_there(root):
    for path, data in CONTENT.items():
        assert (root / path).read_bytes() == data
    assert {path for path in root.rglob("*") if path.is_file()} == {root / path for path in CONTENT}


def test_fetch_unpacks_checks_and_cleans_up(server, tmp_path):
    fetch_archive(server.url, tmp_path, FILES)
    assert_all_there(tmp_path)


def test_good_files_are_not_fetched_again(server, tmp_path):
    fetch_archive(server.url, tmp_path, FILES)
    fetch_archive(server.url, tmp_path, FILES)
    assert len(server.asked) == 1
    damaged = tmp_path / next(iter(CONTENT))
    damaged.write_bytes(bytes(damaged.stat().st_size))  # right size, wrong content
    fetch_archive(server.url, tmp_path, FILES)
    assert len(server.asked) == 2
    assert_all_there(tmp_path)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_is_resumed(server, tmp_path, ranges):
    server.break_after, server.ranges = 100_000, ranges
    with pytest.raises(
        InputError, match=r"Run the command again.*by hand and put it at .*complete_ms_data\.zip"
    ):
        fetch_archive(server.url, tmp_path, FILES)
    part = tmp_path / "complete_ms_data.zip.part"
    kept = part.read_bytes()
    assert len(kept) > 30_000 and server.body.startswith(kept)
    server.break_after = None
    fetch_archive(server.url, tmp_path, FILES)
    assert server.asked[-1] == f"bytes={len(kept)}-"
    assert_all_there(tmp_path)


def test_a_complete_part_is_used(server, tmp_path):
    (tmp_path / "complete_ms_data.zip.part").write_bytes(server.body)
    fetch_archive(server.url, tmp_path, FILES)
    assert_all_there(tmp_path)


def test_a_part_of_another_file_is_discarded(server, tmp_path):
    (tmp_path / "complete_ms_data.zip.part").write_bytes(server.body + b"more")
    with pytest.raises(InputError, match="does not fit"):
        fetch_archive(server.url, tmp_path, FILES)
    fetch_archive(server.url, tmp_path, FILES)
    assert_all_there(tmp_path)


@pytest.mark.parametrize("kind", ["flipped", "cut", "no zip"])
def test_a_damaged_archive_leaves_no_wrong_file(server, tmp_path, kind):
    good = server.body
    middle = good.index(bytes([17]) * 100) + 50
    server.body = {
        "flipped": good[:middle] + b"!" + good[middle + 1 :],
        "cut": good[: len(good) // 2],
        "no zip": b"<html>moved</html>",
    }[kind]
    with pytest.raises(
        InputError, match=r"complete_ms_data\.zip.*(cannot be read as a zip archive|not the published file)"
    ):
        fetch_archive(server.url, tmp_path, FILES)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or path.read_bytes() == CONTENT[path.relative_to(tmp_path).as_posix()]
    server.body = good
    fetch_archive(server.url, tmp_path, FILES)
    assert_all_there(tmp_path)


def link(name):
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    "member",
    [
        "../evil.txt",
        "complete_ms_data/../../evil.txt",
        "/evil.txt",
        "..\\evil.txt",
        "C:/evil.txt",
        link("cd_ms"),
    ],
    ids=str,
)
def test_unsafe_members_stop_everything(server, tmp_path, member):
    server.body = zipped({**CONTENT, member: b"/"})
    root = tmp_path / "data" / "cave"
    with pytest.raises(InputError, match="unsafe member"):
        fetch_archive(server.url, root, FILES)
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_a_member_without_a_name_is_unsafe(server, tmp_path):
    """A name ends at its first zero byte."""
    server.body = zipped({**CONTENT, "nameless": b"/"}).replace(b"nameless", b"\0ameless")
    with pytest.raises(InputError, match="unsafe member ''"):
        fetch_archive(server.url, tmp_path / "data" / "cave", FILES)


def test_bombs_are_not_unpacked(server, tmp_path):
    first = next(iter(CONTENT))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**CONTENT, first: bytes(50_000_000)}.items():
            archive.writestr(name, data)
    server.body = buffer.getvalue()
    with pytest.raises(InputError, match="not the published file"):
        fetch_archive(server.url, tmp_path, FILES)
    assert not (tmp_path / first).exists()


def test_only_listed_members_are_written_with_or_without_the_first_folder(server, tmp_path):
    shorter = {path.removeprefix("complete_ms_data/"): data for path, data in CONTENT.items()}
    server.body = zipped({**shorter, "README.txt": b"hello", "__MACOSX/x": b""})
    fetch_archive(server.url, tmp_path, FILES)
    assert_all_there(tmp_path)


def test_a_listed_file_that_is_not_in_the_archive_is_named(server, tmp_path):
    server.body = zipped(dict(list(CONTENT.items())[1:]))
    with pytest.raises(InputError, match=r"1 files are not in it, such as .*beads_ms_01\.png"):
        fetch_archive(server.url, tmp_path, FILES)


def test_an_archive_put_there_by_hand_is_used_and_kept(server, tmp_path):
    (tmp_path / "complete_ms_data.zip").write_bytes(server.body)
    fetch_archive(server.url, tmp_path, FILES)
    assert server.asked == []
    (tmp_path / "complete_ms_data.zip").unlink()
    assert_all_there(tmp_path)


def test_without_network_the_message_says_what_to_do(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/complete_ms_data.zip"
    with pytest.raises(InputError) as caught:
        fetch_cave(tmp_path, url)
    message = str(caught.value)
    assert url in message and "no connection" in message
    assert str(tmp_path / "complete_ms_data.zip") in message


def test_fetch_cave_reports(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "published_files", lambda: FILES)
    report = fetch_cave(tmp_path / "complete_ms_data", server.url)
    assert report.present == ("beads", "cd") and len(report.missing) == 30
    assert_all_there(tmp_path)


def test_check_lists_the_available_scenes(cave_root):
    report = check("cave", cave_root)
    assert "balloons" in report.present and not report.problems
    assert len(report.present) + len(report.missing) == report.published == 32
    assert report.complete == (len(report.present) == 32)
    assert f"{len(report.present)} of 32 images" in str(report)


def test_check_finds_missing_and_changed_files(cave_root, tmp_path):
    folder = tmp_path / "face_ms"
    folder.mkdir()
    for file in (cave_root / "complete_ms_data" / "face_ms" / "face_ms").iterdir():
        (folder / file.name).symlink_to(file)
    assert check("cave", tmp_path, verify=True).present == ("face",)
    changed = folder / "face_ms_09.png"
    content = bytearray(changed.read_bytes())
    content[-100] ^= 1
    changed.unlink()
    changed.write_bytes(content)
    assert check("cave", tmp_path).present == ("face",)
    report = check("cave", tmp_path, verify=True)
    assert report.present == () and report.problems == (f"{changed}: not the published file",)
    changed.unlink()
    report = check("cave", tmp_path)
    assert report.problems == (f"{changed}: missing",)
    assert "ifmsr data fetch cave" in str(report)


@pytest.mark.parametrize("name", ["cave", "harvard", "chikusei", "worldview2"])
def test_check_of_an_empty_folder_says_where_to_get_the_data(tmp_path, name):
    report = check(name, tmp_path / name)
    assert not report.complete and report.present == ()
    assert "to do: " in str(report) and str(tmp_path / name) in str(report)


def test_check_of_the_others(tmp_path, worldview2_file):
    report = check("indian-pines", verify=True)
    assert report.complete and f"note: {IndianPines.caveat}" in str(report)
    assert check("worldview2", worldview2_file.parent, verify=True).present == ("imgWV2",)
    (tmp_path / "imga1.mat").write_bytes(b"not a mat file")
    report = check("harvard", tmp_path, verify=True)
    assert report.present == () and "imga1.mat" in report.problems[0]
    with pytest.raises(InputError, match="cave, harvard, chikusei, worldview2, indian-pines"):
        check("cav")
