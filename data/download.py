"""Download of an archive whose sha256 is known, from the first of several sources that gives it."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .. import UserError

log = logging.getLogger("convzoo")

CONNECT_TIMEOUT_S = 5  # seconds for a host to answer
STALL_S = 30.0  # seconds over which the throughput counts
STALLED = 1_000  # bytes a second; a source with less has stalled
SLOW = 200_000  # bytes a second; a source with less waits until the others were tried
_PROGRESS_S = 10.0  # seconds between two lines about the progress
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Archive:
    """A file to download.

    Attributes:
        name: for messages.
        size: bytes.
        sha256: hexadecimal digits.
    """

    name: str
    size: int
    sha256: str


class SourceError(Exception):
    """A source that does not give an archive; the message says why."""


class SlowSourceError(SourceError):
    """A source that gives an archive slowly, while others may be faster.

    Attributes:
        rate: bytes a second.
    """

    def __init__(self, message: str, rate: float) -> None:
        super().__init__(message)
        self.rate = rate


@dataclass
class Throughput:
    """The throughput of a download over the last seconds.

    Attributes:
        window: seconds.
        clock: returns seconds.
    """

    window: float
    clock: Callable[[], float] = time.monotonic
    _points: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, received: int) -> None:
        """Add a point: the number of bytes that were received since the start."""
        now = self.clock()
        self._points.append((now, received))
        while len(self._points) > 2 and now - self._points[1][0] >= self.window:
            self._points.popleft()

    @property
    def is_complete(self) -> bool:
        """True if the points cover the window."""
        return self._points[-1][0] - self._points[0][0] >= self.window

    @property
    def rate(self) -> float:
        """Bytes a second in the window."""
        (start, first), (end, last) = self._points[0], self._points[-1]
        return (last - first) / max(end - start, 1e-3)


def describe_progress(received: int, total: int, rate: float) -> str:
    """Describe a download: megabytes, throughput and time left.

    Args:
        received: bytes.
        total: bytes.
        rate: bytes a second.

    Example:
        >>> describe_progress(17_000_000, 170_000_000, 85_000)
        '17.0 of 170.0 MB, 85 kB/s, 30 minutes left'
    """
    speed = f"{rate / 1e6:.1f} MB/s" if rate >= 1e6 else f"{rate / 1e3:.0f} kB/s"
    seconds = (total - received) / max(rate, 1)
    left = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
    return f"{received / 1e6:.1f} of {total / 1e6:.1f} MB, {speed}, {left} left"


def fetch_archive(archive: Archive, sources: Sequence[str], path: Path, stall_s: float = STALL_S) -> None:
    """Download an archive. It is accepted by its sha256 alone, wherever it comes from.

    A source that fails, stalls, or gives another file is left for the next one. So is a slow one. After the others the
    slow ones are tried again, the fastest first. An interrupted download is resumed where the source allows it, also
    by a later call.

    Args:
        archive: what to download.
        sources: web addresses and paths, in the order in which they are tried.
        path: the file to write.
        stall_s: seconds over which the throughput counts.

    Raises:
        UserError: no source gives the archive; the message names each with its reason.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    reasons: dict[str, str] = {}
    with _lock(path.with_name(f"{path.name}.lock"), archive.name):
        if path.exists():  # another process was quicker
            return
        untried = list(sources)
        slow_rates: dict[str, float] = {}  # by source, bytes a second
        while untried or slow_rates:
            is_first_try = bool(untried)
            source = untried.pop(0) if is_first_try else max(slow_rates, key=slow_rates.__getitem__)
            slow_rates.pop(source, None)
            has_others = is_first_try and bool(untried or slow_rates)
            try:
                _fetch(archive, source, part, has_others, stall_s)
            except SlowSourceError as error:
                log.info("%s from %s: %s; another source is tried first", archive.name, _host(source), error)
                slow_rates[source] = error.rate
            except SourceError as error:
                reasons[source] = str(error)
                log.warning("%s from %s: %s", archive.name, _host(source), error)
            else:
                os.replace(part, path)
                return
    listed = "; ".join(f"{source}: {reason}" for source, reason in reasons.items())
    raise UserError(f"{archive.name} cannot be fetched: {listed}")


@contextlib.contextmanager
def _lock(path: Path, name: str) -> Iterator[None]:
    """Wait until no other process of this machine downloads the file, and print a line before that."""
    try:
        import fcntl
    except ImportError:  # Windows: two downloads at once would spoil each other, and be fetched again
        yield
        return
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: another process downloads it; waiting for that to end", name)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _host(source: str) -> str:
    return urlsplit(source).hostname or source


def _fetch(archive: Archive, source: str, part: Path, has_others: bool, stall_s: float) -> None:
    """Complete `part` from a source and check it; what another source began with other bytes is fetched again."""
    resumed = part.stat().st_size if part.exists() else 0
    if "://" in source:
        _download(archive, source, part, has_others, stall_s)
    else:
        _copy(source, part)
        resumed = 0
    checksum = _compute_sha256(part)
    if checksum == archive.sha256:
        return
    size = part.stat().st_size
    part.unlink()
    if resumed:
        _fetch(archive, source, part, has_others, stall_s)
        return
    raise SourceError(f"it is another file: {size:,} bytes, sha256 {checksum}, expected {archive.sha256}")


def _copy(source: str, part: Path) -> None:
    try:
        shutil.copyfile(source, part)
    except OSError as error:
        raise SourceError(error.strerror or type(error).__name__) from error


def _compute_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(archive: Archive, source: str, part: Path, has_others: bool, stall_s: float) -> None:
    import requests  # what TFDS downloads with: the same proxies and certificates

    start = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if 0 < start < archive.size:
        headers["Range"] = f"bytes={start}-"
    else:
        start = 0
    try:
        with requests.get(source, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT_S, stall_s)) as response:
            if not response.ok:
                raise SourceError(f"HTTP {response.status_code}")
            if (
                start
                and response.headers.get("Content-Range", "").partition("/")[0] != f"bytes {start}-{archive.size - 1}"
            ):
                start = 0  # the whole file comes
            length = response.raw.length_remaining  # by Content-Length; None without one
            if length is not None and start + length != archive.size:
                raise SourceError(f"it is another file: {length:,} bytes, expected {archive.size - start:,}")
            _write(response, archive, part, start, (has_others, stall_s))
    except requests.Timeout as error:
        raise SourceError(f"it has stalled: no answer for {stall_s:.0f} s") from error
    except requests.RequestException as error:
        raise SourceError(type(error).__name__) from error


def _write(response: Any, archive: Archive, part: Path, start: int, limits: tuple[bool, float]) -> None:
    has_others, stall_s = limits
    received, throughput = start, Throughput(stall_s)
    throughput.add(received)
    last_line = throughput.clock()
    with part.open("ab" if start else "wb") as file:
        for chunk in _iterate_chunks(response, stall_s):
            file.write(chunk)
            received += len(chunk)
            throughput.add(received)
            rate = throughput.rate
            if received > archive.size:
                raise SourceError(f"it is another file: more than {archive.size:,} bytes")
            if throughput.is_complete and rate < STALLED:
                raise SourceError(f"it has stalled: {rate:,.0f} bytes a second in the last {stall_s:.0f} s")
            if throughput.is_complete and rate < SLOW and has_others:
                raise SlowSourceError(describe_progress(received, archive.size, rate), rate)
            if throughput.clock() - last_line >= _PROGRESS_S:
                last_line = throughput.clock()
                log.info("%s: %s", archive.name, describe_progress(received, archive.size, rate))
    if received < archive.size:
        raise SourceError(f"it ended after {received:,} of {archive.size:,} bytes")


def _iterate_chunks(response: Any, stall_s: float) -> Iterator[bytes]:
    """Yield what has arrived, without waiting for more."""
    try:
        while chunk := response.raw.read1(_CHUNK):
            yield chunk
    except Exception as error:  # those of urllib3, below what requests wraps
        name = type(error).__name__
        reason = f"it has stalled: nothing for {stall_s:.0f} s" if "Timeout" in name else f"it was cut off ({name})"
        raise SourceError(reason) from error
