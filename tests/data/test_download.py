"""Downloads from servers on this machine that are slow, cut off, lie or refuse."""

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from convzoo import UserError
from convzoo.data import download
from convzoo.data.download import Archive, Throughput, fetch_archive

CONTENT = np.random.default_rng(0).bytes(300_000)
ARCHIVE = Archive("set.tar.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
OTHER = bytes(len(CONTENT))


class Handler(BaseHTTPRequestHandler):
    """Answers as the first part of the path says, and notes each request."""

    def do_GET(self):
        kind = self.path.strip("/").split("/")[0]
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.server.requests.append((kind, begin))
        if kind == "refuses":
            self.send_error(403)
            return
        content = {"lies": OTHER, "long": CONTENT * 2, "page": b"<html>sign in</html>"}.get(kind, CONTENT)
        if kind in ("whole", "page"):  # it knows no ranges
            begin = 0
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if kind != "long":
            self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        content = content[begin:]
        try:
            if kind in ("cut", "silent", "trickles"):
                self.wfile.write(content[:100_000])
                self.wfile.flush()
            if kind == "cut":
                self.connection.close()
            elif kind == "silent":
                self.server.ended.wait(20)
            elif kind == "trickles":
                for i in range(200):
                    self.wfile.write(content[100_000 + i : 100_001 + i])
                    self.server.ended.wait(0.05)
            elif kind in ("slow", "crawls"):
                size = {"slow": 10_000, "crawls": 2_000}[kind]
                for i in range(0, len(content), size):
                    self.wfile.write(content[i : i + size])
                    self.server.ended.wait(0.1)
            else:
                self.wfile.write(content)
        except OSError:
            pass

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests, server.ended = [], threading.Event()
        server.address = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.ended.set()
        server.shutdown()


def fetch(server, tmp_path, *kinds, stall_s=1.0):
    path = tmp_path / "archive"
    fetch_archive(ARCHIVE, [f"{server.address}/{kind}/set.tar.gz" for kind in kinds], path, stall_s)
    assert path.read_bytes() == CONTENT
    assert not path.with_name("archive.part").exists()


def test_archive_is_fetched(server, tmp_path):
    fetch(server, tmp_path, "good")
    assert server.requests == [("good", 0)]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("refuses", "HTTP 403"),
        ("lies", "it is another file: 300,000 bytes, sha256 "),
        ("long", "it is another file: more than 300,000 bytes"),
        ("page", "it is another file: 20 bytes, expected 300,000"),
        ("cut", "it was cut off|it ended after 100,000 of 300,000 bytes"),
        ("silent", "it has stalled: nothing for 1 s"),
        ("trickles", "it has stalled: .* bytes a second in the last 1 s"),
    ],
)
def test_source_that_fails_is_named_with_its_reason(server, tmp_path, kind, reason):
    start = time.monotonic()
    with pytest.raises(UserError, match=f"set.tar.gz cannot be fetched: {server.address}/{kind}/.*: ({reason})"):
        fetch(server, tmp_path, kind)
    assert time.monotonic() - start < 15
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize("kind", ["refuses", "lies", "long", "cut", "silent", "trickles"])
def test_next_source_is_tried(server, tmp_path, kind):
    fetch(server, tmp_path, kind, "good")
    assert [name for name, _ in server.requests][:2] == [kind, "good"]


def test_download_resumes_at_the_next_source(server, tmp_path):
    fetch(server, tmp_path, "cut", "good")
    assert server.requests == [("cut", 0), ("good", 100_000)]


def test_download_resumes_in_a_later_call(server, tmp_path):
    with pytest.raises(UserError):
        fetch(server, tmp_path, "cut")
    fetch(server, tmp_path, "good")
    assert server.requests == [("cut", 0), ("good", 100_000)]


def test_source_without_ranges_gives_the_whole_file(server, tmp_path):
    fetch(server, tmp_path, "cut", "whole")
    assert server.requests == [("cut", 0), ("whole", 100_000)]


def test_partial_download_survives_a_page_in_its_place(server, tmp_path):
    fetch(server, tmp_path, "cut", "page", "good")
    assert server.requests == [("cut", 0), ("page", 100_000), ("good", 100_000)]


def test_bytes_of_a_liar_are_fetched_again(server, tmp_path):
    (tmp_path / "archive.part").write_bytes(OTHER[:50_000])
    fetch(server, tmp_path, "good")
    assert server.requests == [("good", 50_000), ("good", 0)]


def test_slow_source_waits_for_the_others(server, tmp_path, caplog):
    caplog.set_level("INFO", "convzoo")
    fetch(server, tmp_path, "slow", "good", stall_s=0.5)
    assert [name for name, _ in server.requests] == ["slow", "good"]
    assert "another source is tried first" in caplog.text


@pytest.mark.integration
def test_slow_source_is_taken_if_the_others_fail(server, tmp_path):
    fetch(server, tmp_path, "slow", "refuses", stall_s=0.5)
    assert [name for name, _ in server.requests] == ["slow", "refuses", "slow"]
    assert server.requests[2][1] > 0


@pytest.mark.integration
@pytest.mark.parametrize("order", [("slow", "crawls"), ("crawls", "slow")])
def test_fastest_source_is_used_where_all_are_slow(server, tmp_path, order):
    fetch(server, tmp_path, *order, stall_s=0.5)
    assert [name for name, _ in server.requests] == [*order, "slow"]


def test_wait_for_another_download_prints_a_line(server, tmp_path, caplog):
    fcntl = pytest.importorskip("fcntl")
    caplog.set_level("INFO", "convzoo")
    with (tmp_path / "archive.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = threading.Thread(target=fetch, args=(server, tmp_path, "good"), daemon=True)
        waiting.start()
        deadline = time.monotonic() + 5
        while "set.tar.gz: another process downloads it" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not server.requests
    waiting.join(10)
    assert "set.tar.gz: another process downloads it; waiting for that to end" in caplog.text
    assert server.requests == [("good", 0)]


@pytest.mark.integration
def test_progress_shows_throughput_and_time_left(server, tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO", "convzoo")
    monkeypatch.setattr(download, "_PROGRESS_S", 0.3)
    fetch(server, tmp_path, "slow")
    assert "of 0.3 MB, " in caplog.text
    assert " kB/s, " in caplog.text
    assert "seconds left" in caplog.text


def test_path_is_a_source_by_its_sha256(tmp_path):
    (tmp_path / "mine").write_bytes(CONTENT)
    (tmp_path / "other").write_bytes(OTHER)
    fetch_archive(ARCHIVE, [str(tmp_path / "none"), str(tmp_path / "other"), str(tmp_path / "mine")], tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert (tmp_path / "mine").exists()


def test_throughput_is_of_the_last_seconds():
    """200 bytes a second for 10 seconds, then 2: 30 seconds later the first ones no longer count."""
    now = [0.0]
    throughput = Throughput(30, lambda: now[0])
    received = 0
    for second in range(45):
        now[0] = second
        throughput.add(received)
        received += 200 if second < 10 else 2
        assert throughput.is_complete == (second >= 30)
    assert throughput.rate == 2
