"""Sets of TensorFlow Datasets: fetched and prepared by it once, then read from a copy of plain arrays."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import threading
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from .. import UserError
from . import cache

log = logging.getLogger("convzoo")

_FEATURES = re.compile(r"tensorflow_datasets\.core\.features\.[\w.]+")
_BYTES = 1_000_000  # of a file that describes a set; none has a hundredth
PATIENCE = 5  # seconds for the download host; TFDS itself tries for more than three minutes


def read(name, directory=None):
    """Returns `{"train": (x, y), "test": (x, y)}` and a sentence that says where they came from.

    Args:
        name: builder and exact version, as `cifar10:3.0.2`.
        directory: the data folder of TFDS. None: `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`.

    Raises:
        UserError: an unknown set or version; a half-prepared folder; a wrong archive; no archive and no
            network; a preparation that fails, on a full disk for one. What was there stays.
    """
    directory = _directory(name, directory)
    with _named(name, directory):
        arrays = _read(name, directory)
    parts = {part: (arrays[f"{part}_x"], arrays[f"{part}_y"]) for part in ("train", "test")}
    return parts, f"{name} of TensorFlow Datasets in {directory}"


def look(name, directory=None):
    """Refuses, in seconds and without TensorFlow, what `read` could not have: it tells what is missing.

    Args and errors as those of `read`.
    """
    directory = _directory(name, directory)
    folder, _ = _places(name, directory)
    with _named(name, directory):
        if not folder.exists():
            _preparation(name, directory, folder)
        else:
            _refuse_fault(name, folder)


def state(name, directory=None):
    """Text that changes with the files of a set."""
    folder, _ = _places(name, _directory(name, directory))
    return f"{folder} {cache.fingerprint(folder.iterdir(), cache.INODE)}"


def _places(name, directory):
    """Where TFDS has a set, and where its copy is."""
    copy = f"{name.replace('/', '-').replace(':', '-')}.npz"
    return directory.joinpath(*name.split(":")), directory / "convzoo" / copy


def _directory(name, directory):
    if not re.fullmatch(r"[\w/]+:\d+\.\d+\.\d+", str(name)):
        raise UserError(f"`data.tfds` must be builder:version, as cifar10:3.0.2. Received: {name}")
    return Path(directory or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser().absolute()


@contextlib.contextmanager
def _named(name, directory):
    try:
        yield
    except OSError as error:
        raise UserError(f"{name} cannot be read in {directory}: {_line(error)}") from error


def _read(name, directory):
    folder, copy = _places(name, directory)
    if folder.is_dir() and (arrays := cache.load(copy, cache.fingerprint(folder.iterdir()))):
        return arrays
    if not folder.exists():
        _prepare(name, directory, folder)
    _refuse_fault(name, folder)
    arrays = _decode(name, directory, folder)
    cache.save(copy, cache.fingerprint(folder.iterdir()), arrays)
    return arrays


def _refuse_fault(name, folder):
    if fault := _fault(folder):
        raise UserError(f"{folder} is not a whole {name}: {fault}. Move the folder away and run again")


def _fault(folder):
    """Says what a prepared folder lacks, or None; a look at names and sizes, without TFDS."""
    try:
        info = json.loads(_text(folder / "dataset_info.json"))
        splits = {split["name"]: (len(split["shardLengths"]), int(split["numBytes"])) for split in info["splits"]}
    except FileNotFoundError:
        return "dataset_info.json is missing"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "dataset_info.json is damaged"
    for part in ("train", "test"):
        if part not in splits:
            return f"dataset_info.json names no {part} split"
        count, size = splits[part]
        shards = list(folder.glob(f"*{part}.*-of-{count:05d}"))
        if len(shards) < count:
            return f"{len(shards)} of {count} files of the {part} split are there"
        if sum(shard.stat().st_size for shard in shards) < size:
            return f"{shards[0].name} is cut off"
    return _strange_feature(folder)


def _strange_feature(folder):
    """TFDS imports the modules of the classes that this file names."""
    try:
        values = [json.loads(_text(folder / "features.json"))]
    except FileNotFoundError:
        return "features.json is missing"
    except (ValueError, RecursionError):
        return "features.json is damaged"
    while values:
        value = values.pop()
        for key in ("pythonClassName", "python_class_name", "type") if isinstance(value, dict) else ():
            if isinstance(name := value.get(key), str) and not _FEATURES.fullmatch(name):
                return f"features.json names {name!r:.200}, which is no feature of TFDS"
        values += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return None


def _text(path):
    with path.open() as file:
        text = file.read(_BYTES + 1)
    if len(text) > _BYTES:
        raise ValueError("it is too large")
    return text


def _preparation(name, directory, folder):
    """The builder of what is not there yet, and what it prepares from, once all of it is at hand or can be fetched."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(
            f"{name} is not in {directory}, and nothing can be written to {existing}. "
            "Choose another folder with data.directory="
        )
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=directory)
    except (tfds.core.DatasetNotFoundError, AssertionError) as error:
        raise UserError(f"`data.tfds` must be a set that TFDS has. Received: {name} ({_line(error)})") from error
    downloads = directory / "downloads"
    own = downloads / "manual" / builder.name
    manual = own if own.is_dir() else own.parent
    _require_archives(builder, downloads, manual, own)
    return builder, tfds.download.DownloadConfig(
        manual_dir=manual,
        # MNIST and Fashion-MNIST have archives of the same names: apart, one is never taken for the other.
        extract_dir=downloads / "extracted" / builder.name,
    )


def _prepare(name, directory, folder):
    builder, config = _preparation(name, directory, folder)
    for leftover in folder.parent.glob(f"incomplete.*_{folder.name}"):
        log.warning("%s is of a preparation that was cut short, or still runs; it is not used", leftover)
    try:
        builder.download_and_prepare(download_config=config)
    except Exception as error:
        if folder.is_dir() and not _fault(folder):
            return  # another process was quicker
        reason = "the disk is full" if "no space left" in str(error).lower() else _line(error)
        raise UserError(
            f"{name} cannot be prepared in {directory}: {reason}. What was there before is unchanged; "
            "mend this, or choose another folder with data.directory="
        ) from error


def _require_archives(builder, downloads, manual, own):
    """Checks what was put there by hand; where something must be fetched, that its host answers."""
    from tensorflow_datasets.core.download.resource import get_dl_fname

    missing = []
    for url, info in (builder.url_infos or {}).items():
        archive = manual / (info.filename or Path(urlsplit(url).path).name)
        fetched = get_dl_fname(url, info.checksum)
        if archive.exists():
            with archive.open("rb") as file:
                checksum = hashlib.file_digest(file, "sha256").hexdigest()
            if checksum != info.checksum:
                raise UserError(
                    f"{archive} is not the archive of {builder.name}: its sha256 is {checksum}, expected "
                    f"{info.checksum}. Put the right one ({url}) there or into {own}"
                )
        elif not any((folder / fetched).exists() for folder in (downloads, downloads / builder.name)):
            missing.append((url, info))
    if missing and (reason := _unreachable(missing[0][0])):
        archives = ", ".join(f"{url} ({info.size}, sha256 {info.checksum})" for url, info in missing)
        raise UserError(
            f"{builder.name} is not in {downloads.parent}, and {urlsplit(missing[0][0]).hostname} cannot be "
            f"reached ({reason}). By hand: put {archives} into {own}. Or take data=digits: it needs nothing"
        )


def _unreachable(url):
    """Says why `url` cannot be fetched, or None; takes `PATIENCE` seconds at most, name lookup included."""
    import requests  # what TFDS downloads with: the same proxies and certificates

    outcome = [f"no answer in {PATIENCE} s"]

    def ask():
        try:
            with requests.get(url, stream=True, timeout=PATIENCE) as response:
                outcome[0] = None if response.ok else f"HTTP {response.status_code}"
        except requests.RequestException as error:
            outcome[0] = type(error).__name__

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return outcome[0]


def _decode(name, directory, folder):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf
    import tensorflow_datasets as tfds

    builder, arrays = tfds.builder(name, data_dir=directory), {}
    log.info("Reading %s; the next start takes it from a copy of plain arrays", folder)
    try:
        for part in ("train", "test"):
            batches = tfds.as_numpy(builder.as_dataset(split=part, as_supervised=True, batch_size=1000))
            x, y = zip(*batches, strict=True)
            arrays[f"{part}_x"], arrays[f"{part}_y"] = np.concatenate(x), np.concatenate(y).astype(np.int32)
    except tf.errors.OpError as error:
        raise UserError(f"{folder} cannot be read: {_line(error)}. Move it away and run again") from error
    return arrays


def _line(error):
    text = re.sub(r"\{\{.*?\}\} ?", "", f"{type(error).__name__}: {error}")  # TensorFlow's node names
    return text.splitlines()[0].rstrip(" .:")
