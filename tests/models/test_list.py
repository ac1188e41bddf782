import os
import subprocess
import sys

from convzoo.models import names


def test_the_list_has_a_line_for_every_network():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-m", "convzoo.models"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    _, *lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(names())
    (nin,) = (line for line in lines if line.startswith("nin "))
    assert nin.split()[1:5] == ["2013", "32×32×3", "966,986", "222,486,528"]
    assert nin.endswith("10.41 cifar10, 8.81 cifar10+    Network In Network")
