"""What the wheel holds, and that it works away from the checkout: `python tests/wheel.py convzoo.whl`."""

import re
import sys
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import convzoo

clone = Path(__file__).parents[1]
assert clone not in Path(convzoo.__file__).parents, f"{convzoo.__file__} is the checkout, not the wheel"

files = {name for name in zipfile.ZipFile(sys.argv[1]).namelist() if ".dist-info/" not in name}
rooms = {name.split("/")[1] for name in files if name.count("/") > 1}
assert rooms == {
    "benchmarks",
    "cli",
    "configs",
    "data",
    "evaluation",
    "experiments",
    "layers",
    "models",
    "reporting",
    "settings",
    "tracking",
    "training",
}, rooms
assert {name for name in files if name.count("/") == 1} == {
    f"convzoo/{name}" for name in ("__init__.py", "evaluate.py", "py.typed", "quiz.py", "train.py")
}
assert {name for name in files if name.endswith(".yaml")} == {
    f"convzoo/{path.relative_to(clone)}" for path in (clone / "configs").rglob("*.yaml")
}
assert {name for name in files if name.endswith(".html")} == {
    f"convzoo/{path.relative_to(clone)}" for path in (clone / "reporting" / "templates").iterdir()
}

core = {re.match(r"[\w-]+", needed)[0] for needed in requires("convzoo") if "extra ==" not in needed}
assert core == {"keras", "numpy"}, core
assert version("convzoo") == convzoo.__version__

from convzoo.layers import L2Pooling2D  # noqa: E402
from convzoo.models import build, names, plan  # noqa: E402

assert L2Pooling2D(2).compute_output_shape((None, 4, 4, 1)) == (None, 2, 2, 1)
assert plan("nin").params == 966_986
assert build("lenet").count_params() == 61_706
print(f"the wheel holds {len(files)} files and {len(names())} networks")
