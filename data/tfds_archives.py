"""The archives of a set of TensorFlow Datasets: which are missing, and where they can be had."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .. import UserError
from .download import CONNECT_TIMEOUT_S, Archive, fetch_archive

_MAX_LISTED_ARCHIVES = 4  # named in a message
_MIRRORS = {  # of the same file, by its sha256
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd": (  # that of the tests of Swift for TensorFlow
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
    ),
}


@dataclass(frozen=True)
class MissingArchive:
    """An archive of a set that must be fetched.

    Attributes:
        url: the address that TFDS knows.
        info: size, sha256 and file name that TFDS knows.
        sources: addresses and paths, in the order in which they are tried.
    """

    url: str
    info: Any
    sources: tuple[str, ...]

    def fetch(self, folder: Path) -> None:
        """Fetches the archive into the folder where TFDS looks for it."""
        from tensorflow_datasets.core.download.resource import get_dl_fname

        path, name = folder / get_dl_fname(self.url, self.info.checksum), _file_name(self.url, self.info)
        fetch_archive(Archive(name, int(self.info.size), self.info.checksum), self.sources, path)
        path.with_name(f"{path.name}.INFO").write_text(json.dumps({"original_fname": name}))


def _file_name(url: str, info: Any) -> str:
    return info.filename or Path(urlsplit(url).path).name


def find_missing_archives(builder: Any, downloads: Path, manual: Path, mirror: str | None) -> list[MissingArchive]:
    """Finds the archives that are not there, and checks those that the user put there."""
    from tensorflow_datasets.core.download.resource import get_dl_fname

    missing, own_folder = [], downloads / "manual" / builder.name
    for url, info in (builder.url_infos or {}).items():
        archive = manual / _file_name(url, info)
        download_name = get_dl_fname(url, info.checksum)
        if archive.exists():
            with archive.open("rb") as file:
                checksum = hashlib.file_digest(file, "sha256").hexdigest()
            if checksum != info.checksum:
                raise UserError(
                    f"{archive} is not the archive of {builder.name}: its sha256 is {checksum}, expected "
                    f"{info.checksum}. Put the right one ({url}) there or into {own_folder}"
                )
        elif not any(
            all((folder / f"{download_name}{suffix}").exists() for suffix in ("", ".INFO"))
            for folder in (downloads, downloads / builder.name)
        ):
            own = (_locate_at_mirror(mirror, url, info),) if mirror else ()
            missing.append(MissingArchive(url, info, (*own, url, *_MIRRORS.get(info.checksum, ()))))
    return missing


def _locate_at_mirror(mirror: str, url: str, info: Any) -> str:
    """The place of an archive at a mirror, which is the archive itself, or a folder of archives."""
    if "://" in mirror:
        return mirror + _file_name(url, info) if mirror.endswith("/") else mirror
    path = Path(mirror).expanduser().absolute()
    return str(path / _file_name(url, info) if path.is_dir() else path)


def check_reachable(name: str, directory: Path, own_folder: Path, missing: list[MissingArchive]) -> None:
    """Refuses a set whose first missing archive no source can give."""
    if not missing:
        return
    sources = missing[0].sources
    with ThreadPoolExecutor(len(sources)) as pool:
        reasons = dict(zip(sources, pool.map(_find_source_error, sources), strict=True))
    if not all(reasons.values()):
        return
    first, *others = [
        f"{urlsplit(source).hostname or source} cannot be reached ({reasons[source]})" for source in sources
    ]
    further = "".join(f", {other.replace(' cannot be reached', '')} neither" for other in others)
    archives = _list_archives([(each.url, each.info) for each in missing])
    raise UserError(
        f"{name} is not in {directory}, and {first}{further}. By hand: put {archives} into {own_folder}, "
        "or set data.mirror=. Or take data=digits: it needs nothing"
    )


def _find_source_error(source: str) -> str | None:
    if "://" in source:
        return _find_connection_error(source)
    return None if Path(source).is_file() else "there is no such file"


def _list_archives(missing: list[tuple[str, Any]]) -> str:
    """Names archives by their common address; one that is another file is refused with its checksum later."""
    folders: dict[str, list[str]] = {}
    for url, info in missing[:_MAX_LISTED_ARCHIVES]:
        address, _, file = url.rpartition("/")
        name = info.filename or Path(urlsplit(url).path).name
        folders.setdefault(f"{address}/", []).append(f"{name}{f' (there {file})' * (name != file)}, {info.size}")
    text = "; ".join(f"{'; '.join(names)} from {address}" for address, names in folders.items())
    more = len(missing) - _MAX_LISTED_ARCHIVES
    return text + (f" and {more} more" if more > 0 else "")


def _find_connection_error(url: str) -> str | None:
    """Says why `url` cannot be fetched, or None; takes `CONNECT_TIMEOUT_S` seconds at most, name lookup included."""
    import requests  # what TFDS downloads with: the same proxies and certificates

    outcome: list[str | None] = [f"no answer in {CONNECT_TIMEOUT_S} s"]

    def request() -> None:
        try:
            with requests.get(url, stream=True, timeout=CONNECT_TIMEOUT_S) as response:
                outcome[0] = None if response.ok else f"HTTP {response.status_code}"
        except requests.RequestException as error:
            outcome[0] = type(error).__name__

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT_S)
    return outcome[0]
