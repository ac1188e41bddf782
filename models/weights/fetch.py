"""`weights="imagenet"`: weights that their publisher's own library fetches, or torchvision's by address and hash."""

import re
from pathlib import Path

import keras

from ... import UserError
from ...settings.text import printable
from ..allowlist import first_line
from .convert import ForeignWeights
from .digest import read_digest
from .keras_applications import fetch_application
from .published import KERAS_APPLICATIONS, TORCHVISION_ADDRESS, TORCHVISION_FILES
from .torch_file import read_torch_file

IMAGENET = "imagenet"


def fetch_imagenet(network: str) -> ForeignWeights:
    """Fetch the published weights of a network.

    Raises:
        UserError: none are known, or they cannot be fetched; the message says which file to bring. Or a download was
            cut short; its file is deleted.
    """
    if network not in {*KERAS_APPLICATIONS, *TORCHVISION_FILES}:
        known = ", ".join(sorted({*KERAS_APPLICATIONS, *TORCHVISION_FILES}))
        raise UserError(f"`weights=imagenet`: no published weights are known for {network}; there are some for {known}")
    if network in KERAS_APPLICATIONS:
        try:
            return fetch_application(network)
        except UserError:
            raise
        except Exception as error:
            address = re.search(r"https?://[^\s:]+", str(error))
            file = address[0] if address else f"the file of keras.applications' {network}"
            raise _unreachable(network, file, error) from error
    name = TORCHVISION_FILES[network]
    try:
        path = Path(keras.utils.get_file(name, TORCHVISION_ADDRESS + name, cache_subdir="convzoo"))
    except Exception as error:
        raise _unreachable(network, TORCHVISION_ADDRESS + name, error) from error
    digest = read_digest(path)
    expected = Path(name).stem.rpartition("-")[2]
    if not digest.startswith(expected):
        path.unlink()
        raise UserError(
            f"`weights=imagenet`: {printable(path)} was not the whole of {TORCHVISION_ADDRESS + name}: its SHA-256 "
            f"begins with {digest[:8]}, not with {expected}. It is deleted; the same command fetches it again"
        )
    return read_torch_file(path, network, digest, None)


def _unreachable(network: str, address: str, error: Exception) -> UserError:
    return UserError(
        f"`weights=imagenet`: the weights of {network} cannot be fetched ({printable(first_line(error))[:80]}…). "
        f"Bring {address} and name it: weights=FILE"
    )
