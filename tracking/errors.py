"""Errors of a store, and what each of them says about a record: refused for good, or to be sent again later."""

import re

from .. import UserError
from ..settings.text import printable, without_password

_REFUSAL_CODES = ("INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")
LOGIN_CODES = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED")
_AUTH_CODES = (*LOGIN_CODES, "PERMISSION_DENIED", "ENDPOINT_NOT_FOUND", "NOT_FOUND")
# Messages of a store that accepts nothing now, whatever the record is.
_UNAVAILABLE = (
    "failed with exception|Max retries|timed out|Connection|Remote end closed|Broken pipe|database is locked|"
    "disk is full|readonly database|disk I/O error|unable to open database"
)
_MAX_LENGTH = 200  # characters of a cause that is shown


class StoreUnavailableError(UserError):
    """A store that worked before does not answer now."""


def mlflow_error() -> type[Exception]:
    """Return MLflow's exception class, without importing MLflow before it is needed."""
    from mlflow.exceptions import MlflowException

    return MlflowException


def is_refused(error: Exception) -> bool:
    """Return whether a store has refused a request for good. Any other error may go away."""
    if isinstance(error, UserError):
        return not isinstance(error, StoreUnavailableError)
    return getattr(error, "error_code", None) in (*_REFUSAL_CODES, *_AUTH_CODES)


def has_no_answer(error: Exception) -> bool:
    """Return whether the store accepts nothing at all now, so that the record is not the reason."""
    is_unavailable = isinstance(error, StoreUnavailableError | ConnectionError | TimeoutError)
    return is_unavailable or bool(re.search(_UNAVAILABLE, str(error)))


def is_auth_error(error: Exception) -> bool:
    """Return whether a server does not know the user or the password, or denies access."""
    return getattr(error, "error_code", None) in _AUTH_CODES


def one_line(error: Exception) -> str:
    """Describe an error in at most one line that a terminal may show, without passwords.

    Example:
        >>> one_line(ValueError("http://me:secret@host is down"))
        'http://me:***@host is down'
    """
    if isinstance(error, OSError) and error.strerror and error.filename:
        return printable(f"{error.strerror}: {error.filename}")
    return without_password(printable(_first_cause(str(error).strip() or type(error).__name__)))


def _first_cause(text: str) -> str:
    """Return the innermost cause that a message of MLflow, urllib3 or SQLAlchemy quotes."""
    ended = r"timed out|Remote end closed connection|Connection reset by peer|Broken pipe|too many \d+ error"
    if cause := re.search(rf"\[Errno -?\d+\] ([^'\")>]+)|({ended})", text):
        return cause[1] or cause[2]  # urllib3's, quoted by MLflow
    if cause := re.search(r"\((?:\w+\.)+\w+\) ([^\n]+)", text):
        return cause[1][:_MAX_LENGTH]  # the database's, quoted by SQLAlchemy
    return " ".join(text.splitlines()[0].split())[:_MAX_LENGTH]
