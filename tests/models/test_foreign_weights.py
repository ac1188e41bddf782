"""Weights of other libraries: mapped by kind and shape, folded, checked by a probe.

The networks that the weights come from are written here in Keras's own layers, or in torch's layout by hand.
`pytest -m slow` compares with keras.applications, and with torchvision where it is installed.
"""

import json
import pickle
import subprocess
import sys
import zipfile
from importlib import import_module

import h5py
import keras
import numpy as np
import pytest
from sampling import sample

from convzoo import UserError
from convzoo.models import build
from convzoo.models.builder import assemble
from convzoo.models.weights import read_source
from convzoo.models.weights.convert import ForeignWeights, convert, map_weights
from convzoo.models.weights.keras_applications import fetch_application, read_application
from convzoo.models.weights.named_weights import iter_layers
from convzoo.models.weights.probe import Probe, read_probe
from convzoo.models.weights.published import KERAS_APPLICATIONS, TORCHVISION_FILES, Form
from convzoo.models.weights.torch_file import read_safetensors, units_of_state
from convzoo.models.weights.units import Unit, units_of_keras

as_array = keras.ops.convert_to_numpy
TOLERANCE = 1e-5  # of the largest score
DEEP_TOLERANCE = 3e-5  # of whole networks: MobileNetV2 alone is above 1e-5


def random_value(rng, name, shape):
    """A weight that keeps activations in range: small where it is added, near 1 where it is multiplied."""
    if name in ("gamma", "moving_variance"):
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    if "kernel" in name:
        depthwise = name == "depthwise_kernel"
        fan_in = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
        return (rng.normal(size=shape) * np.sqrt(2 / fan_in)).astype("float32")
    return (0.1 * rng.normal(size=shape)).astype("float32")


def randomize(model, seed=0):
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        for weight in layer.weights:
            name = "depthwise_kernel" if is_depthwise and weight.name == "kernel" else weight.name
            weight.assign(random_value(rng, name, weight.shape))
    return model


def pixels(shape, count=2):
    return np.random.default_rng(1).integers(0, 256, (count, *shape)).astype("float32")


def relative_error(scores, expected):
    difference = as_array(scores) - as_array(expected)
    return float(np.abs(difference).max() / np.abs(as_array(expected)).max())


def write_safetensors(path, state):
    """A file as torch's library writes it: names sorted."""
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for name in sorted(state):
        value = np.ascontiguousarray(state[name], "<f4")
        end = len(content) + value.nbytes
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(content), end]}
        content += value.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


# Folding, by small networks


def load_into(rows, reference, probe=None, **form):
    """Our model of rows with the weights of a reference, mapped without its probe unless there is one."""
    model = assemble(rows, reference.input_shape[1:], reference.output_shape[-1], "small")
    foreign = ForeignWeights("file", "small", units_of_keras(reference), Form(**form), probe)
    values, _ = map_weights(model, foreign)
    for path, layer in iter_layers(model):
        layer.load_own_variables(values[path])
    return model


MEAN = {"_target_": "keras.layers.GlobalAveragePooling2D"}
SCORE = {"_target_": "keras.layers.Dense", "units": 3}


@pytest.mark.parametrize("norm", [{}, {"scale": False}, {"epsilon": 0.1}])
def test_bias_epsilon_and_gamma_are_folded(norm):
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(4, 3, use_bias=True)(inputs)
    x = keras.layers.BatchNormalization(epsilon=1e-5)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    reference = randomize(keras.Model(inputs, keras.layers.Dense(3)(x)))
    rows = {
        "conv": {"_target_": "keras.layers.Conv2D", "filters": 4, "kernel_size": 3, "use_bias": False},
        "norm": {"_target_": "keras.layers.BatchNormalization", **norm},
        "relu": {"_target_": "keras.layers.ReLU"},
        "mean": MEAN,
        "score": SCORE,
    }
    images = np.random.default_rng(1).normal(size=(2, 6, 6, 2)).astype("float32")
    assert relative_error(load_into(rows, reference)(images), reference(images)) < TOLERANCE


def test_bias_behind_which_no_normalization_stands_is_refused():
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.ReLU()(keras.layers.Conv2D(4, 3)(inputs))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
    reference = randomize(keras.Model(inputs, keras.layers.Dense(3)(x)))
    rows = {
        "conv": {"_target_": "keras.layers.Conv2D", "filters": 4, "kernel_size": 3, "use_bias": False},
        "relu": {"_target_": "keras.layers.ReLU"},
        "norm": {"_target_": "keras.layers.BatchNormalization"},
        "mean": MEAN,
        "score": SCORE,
    }
    with pytest.raises(UserError, match="file has a bias for conv, which has none here"):
        load_into(rows, reference)


def test_dense_and_convolution_take_each_others_kernels():
    inputs = keras.Input((4, 5, 2))
    x = keras.layers.SeparableConv2D(3, 1)(inputs)
    x = keras.layers.Conv2D(4, (4, 5), activation="relu")(x)
    x = keras.layers.Dense(6)(keras.layers.Flatten()(x))
    reference = randomize(keras.Model(inputs, keras.layers.Dense(3)(x)))
    rows = {
        "conv": {"_target_": "keras.layers.SeparableConv2D", "filters": 3, "kernel_size": 1},
        "fc1": {"_target_": "convzoo.layers.FullyConnected", "units": 4, "activation": "relu"},
        "as_map": {"_target_": "keras.layers.Reshape", "target_shape": [1, 1, 4]},
        "fc2": {"_target_": "keras.layers.Conv2D", "filters": 6, "kernel_size": 1},
        "flat": {"_target_": "keras.layers.Flatten"},
        "score": SCORE,
    }
    images = np.random.default_rng(1).normal(size=(2, 4, 5, 2)).astype("float32")
    assert relative_error(load_into(rows, reference)(images), reference(images)) < TOLERANCE


def test_first_kernel_of_bgr_images_is_turned_round():
    inputs = keras.Input((6, 6, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    reference = randomize(keras.Model(inputs, keras.layers.Dense(3)(x)))
    rows = {"conv": {"_target_": "keras.layers.Conv2D", "filters": 4, "kernel_size": 3}, "mean": MEAN, "score": SCORE}
    images = np.random.default_rng(1).normal(size=(2, 6, 6, 3)).astype("float32")
    model = load_into(rows, reference, is_bgr=True)
    assert relative_error(model(images), reference(images[..., ::-1])) < TOLERANCE


# The order of the shortcut


def two_ways(shortcut_first):
    """A block whose body and shortcut are convolutions of one shape, called in either order, and its rows."""
    inputs = keras.Input((6, 6, 2))
    first, second = keras.layers.Conv2D(2, 3, padding="same"), keras.layers.Conv2D(2, 3, padding="same")
    a, b = first(inputs), keras.layers.ReLU()(second(inputs))
    x = keras.layers.Add()([a, b] if shortcut_first else [b, a])
    model = randomize(keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))))
    conv = {"_target_": "keras.layers.Conv2D", "filters": 2, "kernel_size": 3, "padding": "same"}
    body = {"conv": conv, "relu": {"_target_": "keras.layers.ReLU"}}
    rows = {
        "block": {"_target_": "convzoo.layers.Residual", "body": body, "shortcut": {"conv": conv}},
        "mean": MEAN,
        "score": SCORE,
    }
    return model, rows


def test_two_orders_that_fit_are_refused_without_a_probe():
    model, rows = two_ways(True)
    with pytest.raises(UserError, match="fits small in 2 ways, which give different weights; put a probe beside it"):
        load_into(rows, model)


@pytest.mark.parametrize("shortcut_first", [False, True])
def test_probe_decides_between_two_orders(shortcut_first):
    model, rows = two_ways(shortcut_first)
    images = np.random.default_rng(1).normal(size=(2, 6, 6, 2)).astype("float32")
    loaded = load_into(rows, model, Probe(images, as_array(model(images))))
    assert relative_error(loaded(images), model(images)) < TOLERANCE


def test_probe_refuses_a_swapped_pair_of_kernels():
    model, rows = two_ways(True)
    images = np.random.default_rng(1).normal(size=(2, 6, 6, 2)).astype("float32")
    probe = Probe(images, as_array(model(images)) * 1.01)
    with pytest.raises(UserError, match=r"the scores of its probe differ by 0\.01 of the largest, more than 0\.0001"):
        load_into(rows, model, probe)


# State dicts of torch


def torch_state(reference):
    """The state dict of a chain of Keras layers in torch's layout: OIHW, dense kernels over CHW, `N.weight`."""
    state, shape = {}, None
    for index, layer in enumerate(reference.layers):
        if isinstance(layer, keras.layers.Flatten):
            shape = layer.input.shape[1:]
        if not layer.weights:
            continue
        kernel, bias = map(as_array, layer.weights)
        if kernel.ndim == 4:
            kernel = kernel.transpose(3, 2, 0, 1)
        elif shape is not None:
            kernel = kernel.reshape(*shape, -1).transpose(3, 2, 0, 1).reshape(kernel.shape[1], -1)
            shape = None
        else:
            kernel = kernel.T
        state |= {f"{index}.weight": kernel, f"{index}.bias": bias}
    return state


@pytest.fixture(scope="module")
def lenet_in_keras():
    """The LeNet of PyTorch's tutorial, of ten classes, in Keras's layers."""
    layers = keras.layers
    conv = dict(kernel_size=5, activation="relu")
    chain = [keras.Input((32, 32, 1)), layers.Conv2D(6, **conv), layers.MaxPooling2D(2), layers.Conv2D(16, **conv)]
    chain += [layers.MaxPooling2D(2), layers.Flatten()]
    chain += [layers.Dense(120, "relu"), layers.Dense(84, "relu"), layers.Dense(10)]
    return randomize(keras.Sequential(chain))


def test_state_dict_gives_the_scores_of_its_network(lenet_in_keras, tmp_path, capsys):
    path = write_safetensors(tmp_path / "lenet.safetensors", torch_state(lenet_in_keras))
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 1)).astype("float32")
    assert relative_error(build("lenet", weights=path)(images), lenet_in_keras(images)) < TOLERANCE
    output = capsys.readouterr().out
    assert "no probe: layers matched by order and shape alone" in output
    assert "its form is not in convzoo's table" in output


def test_probe_beside_a_file_is_compared(lenet_in_keras, tmp_path, capsys):
    state = torch_state(lenet_in_keras)
    path = write_safetensors(tmp_path / "lenet.safetensors", state)
    images = pixels((32, 32, 1)) / 255
    np.savez(tmp_path / "lenet.probe.npz", images=images, scores=as_array(lenet_in_keras(images)))
    build("lenet", weights=path)
    assert "the scores of its probe agree to" in capsys.readouterr().out
    rows = state["0.weight"][::-1].copy()  # filters of one shape in each other's places
    write_safetensors(path, {**state, "0.weight": rows})
    with pytest.raises(UserError, match=r"lenet\.safetensors fits lenet by its shapes, but the scores of its probe"):
        build("lenet", weights=path)


def test_probe_without_its_arrays_is_refused(lenet_in_keras, tmp_path):
    path = write_safetensors(tmp_path / "lenet.safetensors", torch_state(lenet_in_keras))
    np.savez(tmp_path / "lenet.probe.npz", images=np.zeros((1, 32, 32, 3)))
    with pytest.raises(UserError, match=r"lenet\.probe\.npz must have the arrays `images` and `scores`"):
        build("lenet", weights=path)


def test_state_dict_of_other_classes_gets_a_new_head(lenet_in_keras, tmp_path, capsys):
    path = write_safetensors(tmp_path / "lenet.safetensors", torch_state(lenet_in_keras))
    model = build("lenet", classes=7, weights=path)
    np.testing.assert_array_equal(as_array(model.weights[0]), as_array(lenet_in_keras.weights[0]))
    assert "a new head for 7 classes" in capsys.readouterr().out


def test_state_dict_of_another_network_is_refused(lenet_in_keras, tmp_path):
    path = write_safetensors(tmp_path / "lenet.safetensors", torch_state(lenet_in_keras))
    with pytest.raises(UserError, match=r"lenet\.safetensors has no weights for conv1, conv .*: it is of another"):
        build("nin", weights=path)


def test_state_dict_with_layers_left_over_is_refused(lenet_in_keras, tmp_path):
    state = {**torch_state(lenet_in_keras), "99.weight": np.zeros((3, 10)), "99.bias": np.zeros(3)}
    with pytest.raises(UserError, match="it is of another network, or of another form of it"):
        build("lenet", weights=write_safetensors(tmp_path / "lenet.safetensors", state))


def test_names_of_safetensors_come_back_into_order(tmp_path):
    names = ["conv1", "bn1", "layer1.0.conv1", "layer1.0.bn1", "layer1.0.conv2", "layer1.0.downsample.0"]
    names += ["layer1.2.conv1", "layer1.10.conv1", "layer2.0.conv1", "fc"]
    write_safetensors(tmp_path / "x.safetensors", {f"{name}.weight": np.zeros((1, 1)) for name in names})
    state = read_safetensors(tmp_path / "x.safetensors")
    assert [name.removesuffix(".weight") for name in state] == names


def test_units_of_a_state_dict_have_kinds():
    norm = dict.fromkeys(["a.weight", "a.bias", "a.running_mean", "a.running_var"], np.ones(4))
    others = {"a.num_batches_tracked": np.array(1), "b.weight": np.ones((4, 1, 3, 3)), "c.weight": np.ones((2, 4))}
    units = units_of_state({**norm, **others, "aux.weight": np.ones((2, 4))}, 1e-3, ("aux.",))
    assert [(unit.name, unit.kind, unit.shape) for unit in units] == [
        ("a", "norm", (4,)),
        ("b", "conv", (3, 3, 1, 4)),
        ("c", "dense", (4, 2)),
    ]
    assert units[0].epsilon == 1e-3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        (2).to_bytes(8, "little") + b"[]",
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}     ',
        (64).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[-9],"data_offsets":[0,36]}}        ' + bytes(36),
        (100_000 * 2).to_bytes(8, "little") + b"[" * 200_000,
    ],
)
def test_damaged_safetensors_are_refused_in_one_line(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.safetensors is no whole file of safetensors") as error:
        read_source(tmp_path / "x.safetensors", "lenet")
    assert "\n" not in str(error.value)


def test_tensors_in_each_other_are_refused(tmp_path):
    header = {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for name in ("a", "b")}
    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    with pytest.raises(UserError, match="tensors lie in each other"):
        read_safetensors(tmp_path / "x.safetensors")


def test_weight_without_values_is_refused(tmp_path):
    path = write_safetensors(tmp_path / "x.safetensors", {"fc.weight": np.zeros((10**9, 0))})
    with pytest.raises(UserError, match=r"x\.safetensors: fc has a weight without values"):
        read_source(path, "lenet")


def test_network_far_larger_than_its_file_is_not_built():
    kernel = np.broadcast_to(np.float32(1), (1, 10**7))
    foreign = ForeignWeights("x.pth", "lenet", [Unit("fc", "dense", {"kernel": kernel})], Form())
    with pytest.raises(UserError, match=r"x\.pth is of another network than lenet, which has [\d,]{11,} weights"):
        convert(foreign)


def test_layers_that_could_change_places_need_a_probe(tmp_path):
    names = ["body.one", "body.two", "body.three"]
    path = write_safetensors(tmp_path / "x.safetensors", {f"{name}.weight": np.ones((2, 2)) for name in names})
    with pytest.raises(UserError, match=r"body\.one and body\.three have one shape: put a probe beside it"):
        read_source(path, "lenet")


def test_unit_with_more_than_kernel_and_bias_is_other():
    state = {"a.weight": np.ones((2, 4)), "a.scale": np.ones(2), "b.weight": np.ones((2, 4)), "b.bias": np.ones(2)}
    assert [unit.kind for unit in units_of_state(state, 1e-3)] == ["other", "dense"]


def test_probe_that_does_not_inflate_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "x.probe.npz", images=pixels((8, 8, 1)), scores=np.zeros((2, 3)))
    content = bytearray((tmp_path / "x.probe.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "x.probe.npz") as archive:
        start = archive.getinfo("images.npy").header_offset + 30 + len("images.npy") + 20
    content[start : start + 8] = b"\xff" * 8
    (tmp_path / "x.probe.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.probe\.npz must have the arrays `images` and `scores`"):
        read_probe(tmp_path / "x.pth")


@pytest.mark.parametrize("kind", ["sparse", "meta", "expanded"])
def test_pickle_of_tensors_without_values_is_refused(kind, tmp_path):
    torch = pytest.importorskip("torch")
    tensor = {
        "sparse": lambda: torch.eye(3).to_sparse(),
        "meta": lambda: torch.zeros(3, 3, device="meta"),
        "expanded": lambda: torch.zeros(1).expand(10**6, 10**3),
    }[kind]()
    torch.save({"fc.weight": tensor}, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"x\.pth (is damaged|holds a tensor that is no plain array)") as error:
        read_source(tmp_path / "x.pth", "lenet")
    assert "\n" not in str(error.value)


def test_pickle_without_torch_gets_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "x.pth").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UserError, match=r"x\.pth is a pickle, which torch alone reads safely: pip install torch"):
        read_source(tmp_path / "x.pth", "lenet")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickle_with_code_executes_nothing(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"conv1.weight": torch.zeros(3), "bomb": Bomb(tmp_path / "ran")}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol=2))
    for name in ("zip.pth", "plain.pth"):
        with pytest.raises(UserError, match="nothing of it was run"):
            read_source(tmp_path / name, "lenet")
    assert not (tmp_path / "ran").exists()


def test_pickle_of_a_state_dict_is_read(lenet_in_keras, tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in torch_state(lenet_in_keras).items()}
    torch.save({"state_dict": state}, tmp_path / "lenet.pth")
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 1)).astype("float32")
    model = build("lenet", weights=tmp_path / "lenet.pth")
    assert relative_error(model(images), lenet_in_keras(images)) < TOLERANCE


def test_pickle_that_is_damaged_is_refused_by_its_name(tmp_path):
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(b"half of it")
    with pytest.raises(UserError, match="is damaged: its SHA-256 begins with"):
        read_source(tmp_path / "resnet18-f37072fd.pth", "resnet18")


# Published weights


def no_network(*args, **kwargs):
    raise OSError("URL fetch failure on https://host/file.h5: None -- no route")


def test_imagenet_without_network_says_which_file_to_bring(monkeypatch):
    monkeypatch.setattr(keras.utils, "get_file", no_network)
    with pytest.raises(UserError, match=r"cannot be fetched .*Bring https://.*/resnet18-f37072fd.pth and name it"):
        build("resnet18", weights="imagenet")
    monkeypatch.setattr(keras.applications, "ResNet50", no_network)
    with pytest.raises(UserError, match=r"cannot be fetched .*Bring https://host/file\.h5 and name it: weights=FILE"):
        build("resnet50", weights="imagenet")
    with pytest.raises(UserError, match="no published weights are known for lenet; there are some for densenet121"):
        build("lenet", weights="imagenet")


def test_imagenet_deletes_a_download_cut_short(tmp_path, monkeypatch):
    """Else Keras takes the file of its cache for ever."""
    file = tmp_path / TORCHVISION_FILES["resnet18"]
    file.write_bytes(b"half of it")
    monkeypatch.setattr(keras.utils, "get_file", lambda *args, **kwargs: str(file))
    with pytest.raises(UserError, match=r"not with f37072fd\. It is deleted; the same command fetches it again"):
        build("resnet18", weights="imagenet")
    assert not file.exists()


def tiny_application(classes=1000, include_top=True, weights=None, classifier_activation=None):
    """Stands for keras.applications' MobileNet: as many calls, and few weights."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3, name="conv1")(inputs))
    return randomize(keras.Model(inputs, keras.layers.Dense(classes, name="predictions")(x)))


@pytest.mark.parametrize("is_fetched", [False, True])
def test_application_is_float32_whatever_the_policy(is_fetched, monkeypatch, tmp_path):
    monkeypatch.setattr(keras.applications, "MobileNet", tiny_application)
    reference = tiny_application(1000 if is_fetched else 3)
    reference.save_weights(tmp_path / "x.weights.h5")
    keras.config.set_dtype_policy("bfloat16")
    try:
        if is_fetched:
            source = fetch_application("mobilenet_v1")
        else:
            source = read_application(tmp_path / "x.weights.h5", "mobilenet_v1", "")
        assert keras.config.dtype_policy().name == "bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    scores = reference(source.probe.images / 127.5 - 1)
    assert relative_error(source.probe.scores, scores) < TOLERANCE


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"bias": (2**24,)}, "is no file of keras.applications"),  # without a kernel: no classifier
        ({"bias": (0,), "kernel": (4, 0)}, "is no file of keras.applications"),
        ({"bias": (2**23,), "kernel": (1, 2**23)}, "is too small for a classifier of 8,388,608 classes"),
    ],
)
def test_application_file_with_a_hollow_head_is_refused(shapes, message, monkeypatch, tmp_path):
    def make(classes=3, **options):
        if classes > 3:
            pytest.fail(f"a classifier of {classes} classes is built")
        return tiny_application(classes)

    monkeypatch.setattr(keras.applications, "MobileNet", make)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, shape in shapes.items():
            file.create_dataset(
                f"predictions/predictions/{name}:0", shape, "int8", chunks=(1,) * len(shape) if all(shape) else None
            )
    with pytest.raises(UserError, match=message) as error:
        read_source(tmp_path / "x.h5", "mobilenet_v1")
    assert "\n" not in str(error.value)


def test_caffe_model_is_refused_in_one_line(tmp_path):
    (tmp_path / "x.caffemodel").write_bytes(b"")
    with pytest.raises(UserError, match="Caffe models are not supported"):
        build("alexnet", weights=tmp_path / "x.caffemodel")


def test_torchvision_names_end_in_a_hash():
    assert all(name.endswith(".pth") and len(name.rpartition("-")[2]) == 12 for name in TORCHVISION_FILES.values())


def application(network, image_shape=None, **options):
    entry = KERAS_APPLICATIONS[network]
    options = {"classifier_activation": None, "classes": 10, **options}
    return getattr(keras.applications, entry.class_name)(weights=None, input_shape=image_shape, **options)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
@pytest.mark.parametrize("network", sample(list(KERAS_APPLICATIONS), 3))
@pytest.mark.filterwarnings("ignore")
def test_file_of_keras_applications_gives_its_scores(network, suffix, tmp_path):
    if suffix == ".keras" and network != "mobilenet_v2":
        pytest.skip("the same weights inside")
    reference = randomize(application(network))
    path = tmp_path / f"file{suffix}"
    reference.save_weights(path) if suffix == ".weights.h5" else reference.save(path)
    preprocess = import_module(f"keras.applications.{KERAS_APPLICATIONS[network].module}").preprocess_input
    sizes = [reference.input_shape[1:]] + [(160, 192, 3)] * (not network.startswith("vgg"))
    for shape in sizes:
        images = pixels(shape)
        other = application(network, shape)
        other.set_weights(reference.get_weights())
        error = relative_error(build(network, shape, 10, weights=path)(images), other(preprocess(images.copy())))
        print(f"{network}, {shape}: {error:.1e}")
        assert error < DEEP_TOLERANCE


@pytest.mark.slow
def test_file_without_classifier_gives_the_body(tmp_path):
    reference = randomize(application("mobilenet_v2", (96, 96, 3), include_top=False))
    reference.save_weights(tmp_path / "body.weights.h5")
    images = pixels((96, 96, 3))
    body = build("mobilenet_v2", (96, 96, 3), include_top=False, weights=tmp_path / "body.weights.h5")
    error = relative_error(body(images), reference(images / 127.5 - 1))
    assert error < 2e-4  # of single values of the last map: no mean over its places evens out their rounding
    assert build("mobilenet_v2", (96, 96, 3), 5, weights=tmp_path / "body.weights.h5").output_shape == (None, 5)


@pytest.mark.slow
def test_file_of_another_application_is_refused(tmp_path):
    application("mobilenet_v2", (96, 96, 3)).save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(UserError, match=r"x\.weights\.h5 is no file of keras\.applications' MobileNet, nor of convzoo"):
        build("mobilenet_v1", weights=tmp_path / "x.weights.h5")


TORCHVISION = (
    "vgg11 vgg16 resnet18 resnet34 resnet50 densenet121 squeezenet_1_0 squeezenet_1_1 mobilenet_v2 inception_v3"
)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("network", TORCHVISION.split())
def test_state_dict_of_torchvision_gives_its_scores(network, suffix, tmp_path):
    torch, torchvision = pytest.importorskip("torch"), pytest.importorskip("torchvision")
    reference = getattr(torchvision.models, network.replace("net_1_", "net1_"))(weights=None)
    rng = np.random.default_rng(0)
    names = {"running_mean": "bias", "running_var": "gamma", "bias": "bias"}
    with torch.no_grad():
        for key, value in reference.state_dict().items():
            last = key.rpartition(".")[2]
            name = names.get(last, "gamma" if value.ndim == 1 else "kernel")
            if last != "num_batches_tracked":
                shape = tuple(value.shape)
                turned = random_value(rng, name, (*shape[1:], shape[0]) if name == "kernel" else shape)
                value.copy_(torch.from_numpy(np.moveaxis(turned, -1, 0).copy() if name == "kernel" else turned))
    reference.eval()
    path = tmp_path / f"file{suffix}"
    state = {key: value.numpy() for key, value in reference.state_dict().items() if value.ndim}
    torch.save(reference.state_dict(), path) if suffix == ".pth" else write_safetensors(path, state)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    if network == "inception_v3":
        mean = deviation = np.array([0.5, 0.5, 0.5])
        reference.transform_input = False
    size = {"inception_v3": 299}.get(network, 224)
    for shape in [(size, size, 3), *[(197, 165, 3)] * (network[:3] not in ("vgg", "inc"))]:
        images = pixels(shape)
        scaled = ((images / 255 - mean) / deviation).astype("float32").transpose(0, 3, 1, 2)
        with torch.no_grad():
            expected = reference(torch.from_numpy(scaled.copy())).numpy()
        error = relative_error(build(network, shape, weights=path)(images), expected)
        print(f"{network}, {shape}: {error:.1e}")
        assert error < DEEP_TOLERANCE


@pytest.mark.slow
def test_import_command_writes_a_model(lenet_in_keras, tmp_path):
    write_safetensors(tmp_path / "lenet.safetensors", torch_state(lenet_in_keras))
    words = [sys.executable, "-m", "convzoo.models", "import", "lenet", "lenet.safetensors", "--output", "out.keras"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "out.keras: lenet with the weights of lenet.safetensors, SHA-256" in done.stdout
    again = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "`--output` must be a new file" in again.stderr
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 1)).astype("float32")
    model = keras.models.load_model(tmp_path / "out.keras")
    assert relative_error(model(images), lenet_in_keras(images)) < TOLERANCE
