"""Table of published weights: the rows that they change, the scaling of their images, and where they are to be had."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Rows = Mapping[str, Mapping[str, Any]]

_NORMALIZATION = "convzoo.layers.Normalization"
# Of images with values from 0 to 255. The means are those of ImageNet, red first.
SCALED_TO_ONE: Rows = {"scale": {"_target_": "keras.layers.Rescaling", "scale": 1 / 127.5, "offset": -1.0}}
CAFFE_MEANS: Rows = {
    "center": {"_target_": _NORMALIZATION, "mean": [123.68, 116.779, 103.939], "variance": [1.0, 1.0, 1.0]}
}
STANDARDIZED: Rows = {
    "standardize": {
        "_target_": _NORMALIZATION,
        "mean": [255 * mean for mean in (0.485, 0.456, 0.406)],
        "variance": [(255 * deviation) ** 2 for deviation in (0.229, 0.224, 0.225)],
    }
}


@dataclass(frozen=True)
class Form:
    """The form that a library gives to a network.

    Attributes:
        changes: settings by which our network takes that form.
        preprocessing: rows that scale images with values from 0 to 255 as that library does.
        is_bgr: whether its images have their channels in the order blue, green, red.
        epsilon: of the normalizations, where the file does not state it.
        left_out: beginnings of the names of layers that have no part in the scores.
        note: a sentence for the user about what still differs, or "".
        fault: why its weights compute something else here, or "".
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Rows = field(default_factory=dict)
    is_bgr: bool = False
    epsilon: float = 1e-5
    left_out: tuple[str, ...] = ()
    note: str = ""
    fault: str = ""


@dataclass(frozen=True)
class KerasApplication:
    """A network of keras.applications.

    Attributes:
        class_name: of the function that makes it.
        module: with its `preprocess_input`.
        form: of the network.
    """

    class_name: str
    module: str
    form: Form


_CAFFE = Form(preprocessing=CAFFE_MEANS, is_bgr=True)
_TENSORFLOW = Form(preprocessing=SCALED_TO_ONE)
KERAS_APPLICATIONS: Mapping[str, KerasApplication] = {
    "vgg16": KerasApplication("VGG16", "vgg16", _CAFFE),
    "vgg19": KerasApplication("VGG19", "vgg19", _CAFFE),
    "resnet50": KerasApplication("ResNet50", "resnet", _CAFFE),
    "densenet121": KerasApplication("DenseNet121", "densenet", Form(preprocessing=STANDARDIZED)),
    "inception_v3": KerasApplication("InceptionV3", "inception_v3", _TENSORFLOW),
    "xception": KerasApplication("Xception", "xception", _TENSORFLOW),
    "mobilenet_v1": KerasApplication(
        "MobileNet",
        "mobilenet",
        Form(
            changes={"model.shared.ConvNormActivation.activation": "relu6", "model.shared.ReLU.max_value": 6},
            preprocessing=SCALED_TO_ONE,
            note="Keras's form pads images of an odd size otherwise; sizes that 32 divides agree",
        ),
    ),
    "mobilenet_v2": KerasApplication("MobileNetV2", "mobilenet_v2", _TENSORFLOW),
}


def _resnet_v1_5() -> dict[str, Any]:
    """Return the changes by which the 3×3 convolutions of resnet50 have the strides of the 1×1 before them."""
    changes: dict[str, Any] = {}
    for block in ("conv3_1", "conv4_1", "conv5_1"):
        body = f"model.layers.{block}.body"
        changes |= {f"{body}.conv1": {"strides": 1, "role": None}, f"{body}.conv2": {"strides": 2, "role": "strided"}}
    return changes


def _averages_with_border() -> dict[str, Any]:
    """Return the changes by which the average pools of inception_v3 count the cells of the padding, which are zero."""
    average = {"_target_": "convzoo.layers.AveragePooling2D", "pool_size": 3, "strides": 1, "padding": "valid"}
    body = {"pad": {"_target_": "keras.layers.ZeroPadding2D", "padding": 1}, "average": average}
    row = {"_target_": "convzoo.layers.Repeat", "times": 1, "body": body}
    modules = [f"mixed_{name}" for name in ("5b", "6b", "6e")]
    modules += [f"mixed_{name}.body.inception" for name in ("5c_5d", "6c_6d", "7b_7c")]
    return {f"model.layers.{module}.branches.branch_pool.pool": row for module in modules}


def _symmetric_padding() -> dict[str, Any]:
    """Return the changes by which the strided convolutions of mobilenet_v2 are padded alike on both sides."""
    block = "convzoo.layers.ConvNormActivation"
    changes: dict[str, Any] = {"model.layers.conv1.padding": "half"}
    for name, channels, filters in (("2_1", 16, 24), ("3_1", 24, 32), ("4_1", 32, 64), ("6_1", 96, 160)):
        depthwise = {"kernel_size": 3, "strides": 2, "use_bias": False, "role": "strided"}
        body = {
            "expand": {"_target_": block, "filters": 6 * channels, "kernel_size": 1, "activation": "relu6"},
            "pad": {"_target_": "keras.layers.ZeroPadding2D", "padding": 1},
            "depthwise": {"_target_": "keras.layers.DepthwiseConv2D", **depthwise},
            "norm": {"_target_": "convzoo.layers.BatchNormalization"},
            "relu6": {"_target_": "keras.layers.ReLU", "max_value": 6},
            "project": {"_target_": block, "filters": filters, "kernel_size": 1, "activation": None},
        }
        changes[f"model.layers.bottleneck{name}"] = {"_target_": "convzoo.layers.Repeat", "times": 1, "body": body}
    return changes


_AS_TORCHVISION = Form(preprocessing=STANDARDIZED)
# State dicts of torchvision, and of timm where it has the same form.
TORCH: Mapping[str, Form] = {
    **dict.fromkeys(("vgg11", "vgg13", "vgg16", "vgg19", "resnet18", "resnet34", "densenet121"), _AS_TORCHVISION),
    **dict.fromkeys(("squeezenet_1_0", "squeezenet_1_1"), _AS_TORCHVISION),
    "resnet50": Form(changes=_resnet_v1_5(), preprocessing=STANDARDIZED),
    "mobilenet_v2": Form(changes=_symmetric_padding(), preprocessing=STANDARDIZED),
    "inception_v3": Form(
        changes=_averages_with_border(), preprocessing=SCALED_TO_ONE, epsilon=1e-3, left_out=("AuxLogits.",)
    ),
    "inception_v4": Form(preprocessing=SCALED_TO_ONE, epsilon=1e-3),
    "xception": Form(fault="timm's form pads the maps before its pools alike on both sides, which no row of ours does"),
}
UNKNOWN_FORM = Form(
    note="its form is not in convzoo's table: padding, strides, epsilon and the scaling of images may differ"
)

# Names of torchvision's files; the eight digits are the beginning of the file's SHA-256.
TORCHVISION_ADDRESS = "https://download.pytorch.org/models/"
TORCHVISION_FILES: Mapping[str, str] = {
    "densenet121": "densenet121-a639ec97.pth",
    "inception_v3": "inception_v3_google-0cc3c7bd.pth",
    "mobilenet_v2": "mobilenet_v2-b0353104.pth",
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "squeezenet_1_0": "squeezenet1_0-b66bff10.pth",
    "squeezenet_1_1": "squeezenet1_1-b8a52dc0.pth",
    "vgg11": "vgg11-8a719046.pth",
    "vgg13": "vgg13-19584684.pth",
    "vgg16": "vgg16-397923af.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
}
