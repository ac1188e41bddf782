"""What evaluate.py is asked, checked before anything is read."""

from .. import UserError
from ..configs.keys import NAME, check_keys, check_rules, is_name

KEYS = ["run", "image", "register", "shift", "images", "border", "image_index", "study", "data", "allow", "tracking"]


def _word_or_null(value):
    return value is None or (isinstance(value, str) and value.strip() != "" and value.isprintable())


RULES = {
    "run": (_word_or_null, "latest, or the id of a run"),
    "image": (_word_or_null, "a picture's file"),
    "register": (_word_or_null, "a name in the registry"),
    "study": (lambda v: v is None or is_name(v), NAME),
    "data.directory": (_word_or_null, "a folder"),
    "tracking.uri": (lambda v: isinstance(v, str), "sqlite:///file or the address of a server"),
}


def check(config):
    """Refuses what is none, or asks for two things that exclude each other.

    Args:
        config: the resolved config, a plain mapping.

    Raises:
        UserError: naming the key.
    """
    check_keys(config, {"": KEYS, "data": ["directory"], "tracking": ["uri"]})
    check_rules(config, RULES)
    if (config["run"] is None) == (config["study"] is None):
        raise UserError("say which: `run=latest`, `run=ID` with the id that train.py or MLflow showed, or `study=NAME`")
    if config["run"] is None and (config["image"] is not None or config["register"] is not None):
        raise UserError("`image` and `register` ask for a run: `run=latest`, or `run=ID`")
