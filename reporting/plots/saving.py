"""Figures written into the files that a setting names."""

from matplotlib.figure import Figure

from ... import UserError


def save_figure(figure: Figure, key: str, path: str) -> None:
    """Write a figure into a file, and print its name.

    Args:
        figure: the figure.
        key: the setting that names the file, for the message.
        path: of the file; its ending is the format.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        figure.savefig(path)
    except OSError as error:
        raise UserError(f"`{key}={path}`: {error.strerror}") from error
    print(f"drawn in {path}")
