"""Text of users in a plot."""


def escape_math(text: str) -> str:
    """Escape dollars, so that matplotlib draws a text as it is: two dollars would enclose a formula."""
    return text.replace("$", r"\$")
