"""Networks of the zoo that are built unlike each other."""

from sampling import ALL

from convzoo.models import names

# Networks that repeat another's rows more or fewer times, or with other numbers.
ALIKE = {f"resnet{n}{option}" for n in (32, 44, 56, 110) for option in ("", "_b")} | {
    *("vgg11 vgg13 vgg19 vgg11_cifar vgg13_cifar vgg19_cifar resnet34 resnet34_cifar".split()),
    *("preact_resnet164 wrn_28_10 allconv_b_all allconv_c_all allconv_b_base allconv_c_base".split()),
    *("allconv_c_convpool allconv_c_strided".split()),
}


def is_like_another(name: str) -> bool:
    """Whether a network is like another one: those for large images have a copy for CIFAR's."""
    return name in ALIKE or f"{name}_cifar" in names()


def distinct(networks):
    """Those of some networks that are not like another one; all of them with `CONVZOO_TEST=all`."""
    return [name for name in networks if ALL or not is_like_another(name)]
