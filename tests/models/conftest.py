import os

import pytest

from convzoo.models import names

# Networks that repeat another's rows more or fewer times, or with other numbers; those of large pictures have a copy
# for CIFAR's. `CONVZOO_TEST=all` takes them too.
ALIKE = {f"resnet{n}{option}" for n in (32, 44, 56, 110) for option in ("", "_b")} | {
    *("vgg11 vgg13 vgg19 vgg11_cifar vgg13_cifar vgg19_cifar resnet34 resnet34_cifar".split()),
    *("preact_resnet164 wrn_28_10 allconv_b_all allconv_c_all allconv_b_base allconv_c_base".split()),
    *("allconv_c_convpool allconv_c_strided".split()),
}


def pytest_collection_modifyitems(items):
    slow = [item for item in items if item.get_closest_marker("slow") and hasattr(item, "callspec")]
    for item in slow if os.environ.get("CONVZOO_TEST") != "all" else ():
        name = item.callspec.params.get("name")
        if name in ALIKE or f"{name}_cifar" in names():
            item.add_marker(pytest.mark.skip(reason="like another of its kind; CONVZOO_TEST=all runs it"))
