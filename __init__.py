"""convzoo: convolutional networks as Keras tables, and the harness that compares them.

Nothing heavy is imported here: `convzoo.layers` needs Keras and one backend alone.
"""

__version__ = "0.1.0"


class UserError(ValueError):
    """What was asked for cannot be had: commands print it as one line and exit with 2."""
