"""Words of others on a picture."""


def plain(text):
    """Text that matplotlib draws as it is: two dollars would begin and end a formula."""
    return text.replace("$", r"\$")
