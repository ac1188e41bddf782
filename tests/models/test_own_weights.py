"""Weights of our own files and runs, by the names of layers."""

import io
import json
import zipfile
import zlib

import h5py
import keras
import numpy as np
import pytest

from convzoo import UserError
from convzoo.cli.import_weights import import_weights
from convzoo.layers import Normalization
from convzoo.models import build
from convzoo.models.builder import assemble
from convzoo.models.registry import compose_network
from convzoo.models.registry import rows as network_rows
from convzoo.models.weights import apply_changes, load_weights, read_source, runs
from convzoo.models.weights.published import KERAS_APPLICATIONS
from convzoo.training import backend

as_array = keras.ops.convert_to_numpy
SHAPE = (8, 8, 1)
ROWS = {
    "conv": {"_target_": "keras.layers.Conv2D", "filters": 4, "kernel_size": 3},
    "mean": {"_target_": "keras.layers.GlobalAveragePooling2D"},
    "score": {"_target_": "keras.layers.Dense", "units": 3},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A ResNet-20 for four classes whose every weight is random, and its two files."""
    model = build("resnet20", image_shape=SHAPE, classes=4)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in model.weights])
    folder = tmp_path_factory.mktemp("files")
    paths = {suffix: folder / f"model{suffix}" for suffix in (".keras", ".weights.h5")}
    model.save(paths[".keras"])
    model.save_weights(paths[".weights.h5"])
    return model, paths


def small(preprocessing=()):
    return assemble(ROWS, SHAPE, 3, "small", preprocessing, dtype="uint8" if preprocessing else "float32")


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_build_with_own_file_has_its_weights(trained, suffix):
    model, paths = trained
    loaded = build("resnet20", image_shape=SHAPE, classes=4, weights=paths[suffix])
    for mine, theirs in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(as_array(mine), as_array(theirs), err_msg=mine.path)


def test_build_with_other_classes_makes_a_new_head(trained, capsys):
    model, paths = trained
    loaded = build("resnet20", image_shape=SHAPE, classes=5, weights=paths[".keras"])
    for mine, theirs in zip(loaded.weights[:-2], model.weights[:-2], strict=True):
        np.testing.assert_array_equal(as_array(mine), as_array(theirs), err_msg=mine.path)
    assert "score: a new head for 5 classes" in capsys.readouterr().out


def test_load_weights_with_new_head_keeps_the_fresh_one(trained):
    model, paths = trained
    fresh = build("resnet20", image_shape=SHAPE, classes=4)
    before = as_array(fresh.weights[-2])
    report = load_weights(fresh, paths[".weights.h5"], new_head=True)
    assert report.new_layers == ("score",)
    np.testing.assert_array_equal(as_array(fresh.weights[-2]), before)
    np.testing.assert_array_equal(as_array(fresh.weights[0]), as_array(model.weights[0]))


def test_build_without_classifier_takes_the_body(trained):
    model, paths = trained
    body = build("resnet20", image_shape=(16, 16, 1), include_top=False, weights=paths[".keras"])
    for mine, theirs in zip(body.weights, model.weights[: len(body.weights)], strict=True):
        np.testing.assert_array_equal(as_array(mine), as_array(theirs), err_msg=mine.path)


def test_source_of_a_scaled_model_has_its_preprocessing(tmp_path):
    layers = [keras.layers.Rescaling(0.1, name="scale"), keras.layers.Normalization(name="standardize")]
    layers[1].adapt(np.random.default_rng(0).normal(3.0, 2.0, (50, *SHAPE)))
    model = small(layers)
    model.save(tmp_path / "model.keras")
    source = read_source(tmp_path / "model.keras", "small")
    assert [(name, row["_target_"]) for name, row in source.preprocessing.items()] == [
        ("scale", "keras.layers.Rescaling"),
        ("standardize", "keras.layers.Normalization"),
    ]
    images = np.random.default_rng(1).integers(0, 256, (2, *SHAPE)).astype("float32")
    front = [keras.layers.Rescaling(0.1, name="scale"), keras.layers.Normalization(name="standardize")]
    loaded = assemble(ROWS, SHAPE, 3, "small", front)
    load_weights(loaded, source)
    np.testing.assert_allclose(as_array(loaded(images)), as_array(model(images)), rtol=1e-6)


def test_weights_alone_of_a_scaled_model_are_refused(tmp_path):
    standardize = keras.layers.Normalization(name="standardize")
    standardize.adapt(np.ones((2, *SHAPE)))
    small([standardize]).save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(UserError, match=r"x.weights.h5 has weights for standardize, a layer that small has not"):
        load_weights(small(), tmp_path / "x.weights.h5")


def test_file_of_another_network_is_refused(trained):
    with pytest.raises(UserError, match=r"model.keras has no weights for cccp1, cccp2, .* of another network than nin"):
        load_weights(build("nin"), trained[1][".keras"])
    other = assemble({"mean": ROWS["mean"], "other": ROWS["score"]}, SHAPE, 3, "other")
    with pytest.raises(UserError, match=r"model\.keras is no file of other: it has .*conv1.*, the network other"):
        load_weights(other, trained[1][".keras"])


def test_file_of_a_deeper_network_is_refused(trained):
    with pytest.raises(UserError, match=r"has no weights for .*it is of another network than resnet32"):
        load_weights(build("resnet32", image_shape=SHAPE, classes=4), trained[1][".keras"])


def test_file_of_other_shapes_leaves_the_model_as_it_was(tmp_path, trained):
    wide = {**ROWS, "conv": {**ROWS["conv"], "filters": 5}}
    assemble(wide, SHAPE, 3, "small").save(tmp_path / "wide.keras")
    model = small()
    before = [as_array(weight) for weight in model.weights]
    with pytest.raises(UserError, match=r"wide.keras: the weights of conv have the shapes 3×3×1×5, 5, and 3×3×1×4, 4"):
        load_weights(model, tmp_path / "wide.keras")
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(as_array(weight), value)


def test_truncated_file_is_refused_in_one_line(tmp_path, trained):
    for suffix, path in trained[1].items():
        content = path.read_bytes()
        for size in (0, 100, len(content) // 2, len(content) - 10):
            (tmp_path / f"cut{suffix}").write_bytes(content[:size])
            with pytest.raises(UserError, match=r"cut.* is no whole file of Keras") as error:
                read_source(tmp_path / f"cut{suffix}", "resnet20")
            assert "\n" not in str(error.value)


def test_missing_file_and_strange_values_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such file"):
        build("lenet", weights=tmp_path / "gone.keras")
    with pytest.raises(UserError, match=r"`weights` must be a file, run:ID or imagenet. Received: 3"):
        build("lenet", weights=3)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    model = small()
    model.set_weights([np.full(weight.shape, np.nan) for weight in model.weights])
    model.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(UserError, match=r"the weights of [a-z]+ are not all finite"):
        load_weights(small(), tmp_path / "x.weights.h5")


def external_link(group, folder):
    with h5py.File(folder / "secret.h5", "w") as secret:
        secret["kernel"] = np.zeros((3, 3, 1, 4), "float32")
    group["0"] = h5py.ExternalLink(str(folder / "secret.h5"), "kernel")


def external_storage(group, folder):
    (folder / "secret").write_bytes(bytes(144))
    group.create_dataset("0", (3, 3, 1, 4), "float32", external=[(str(folder / "secret"), 0, 144)])


def huge(group, folder):
    group.create_dataset("0", (10**6, 10**6), "float32", chunks=(1000, 1000))


def circle(group, folder):
    group["0"] = np.zeros((3, 3, 1, 4), "float32")
    group["again"] = group.parent


def text(group, folder):
    group["0"] = "import os"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_link, "is a link"),
        (external_storage, "lies in another file"),
        (huge, "inflate"),
        (circle, "in each other"),
        (text, "must hold numbers"),
    ],
)
@pytest.mark.parametrize("is_zipped", [False, True])
def test_hostile_weights_are_refused(tmp_path, change, message, is_zipped):
    small().save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = io.BytesIO(members["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        group = file["layers/conv2d/vars"]
        del group["0"]
        change(group, tmp_path)
    path = tmp_path / ("bad.keras" if is_zipped else "bad.weights.h5")
    if is_zipped:
        with zipfile.ZipFile(path, "w") as archive:
            for name, value in {**members, "model.weights.h5": content.getvalue()}.items():
                archive.writestr(name, value)
    else:
        path.write_bytes(content.getvalue())
    with pytest.raises(UserError, match=message):
        load_weights(small(), path)


def test_run_opener_that_is_registered_opens_runs(trained, monkeypatch):
    class Opened:
        def __init__(self, run_id, store):
            self.path = {"a1": str(trained[1][".keras"])}[run_id]

        def __enter__(self):
            return self.path

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(runs, "_openers", [Opened])
    loaded = build("resnet20", image_shape=SHAPE, classes=4, weights="run:a1")
    np.testing.assert_array_equal(as_array(loaded.weights[0]), as_array(trained[0].weights[0]))


# The form of a file's network, its classes and its images


def test_build_from_a_file_of_another_form_is_refused(tmp_path):
    relu6 = {"_target_": "keras.layers.ReLU", "max_value": 6}
    inner = {"_target_": "convzoo.layers.Repeat", "times": 2, "body": {"relu": relu6}}
    for rows, message in (
        (
            {**ROWS, "conv": {**ROWS["conv"], "activation": "relu6"}},
            r'its conv\.activation is "relu6", and "linear" in',
        ),
        ({**ROWS, "conv": {**ROWS["conv"], "strides": 2}}, r"its conv\.strides is \[2, 2\], and \[1, 1\] in the model"),
        ({"inner": inner, **ROWS}, r"its inner/relu\.max_value is 6(\.0)?, and null in the model"),
    ):
        assemble(rows, SHAPE, 3, "small").save(tmp_path / "other.keras")
        relu = {**inner, "body": {"relu": {**relu6, "max_value": None}}}
        model = assemble({"inner": relu, **ROWS} if "inner" in rows else ROWS, SHAPE, 3, "small")
        with pytest.raises(UserError, match=rf"other\.keras is of another form of small: {message}"):
            load_weights(model, tmp_path / "other.keras")


@pytest.mark.slow  # a MobileNet
def test_changed_rows_of_a_file_are_not_lost(tmp_path):
    config = compose_network("mobilenet_v1", (32, 32, 3), 3)
    apply_changes(config, KERAS_APPLICATIONS["mobilenet_v1"].form.changes)
    model = assemble(network_rows(config), (32, 32, 3), 3, "mobilenet_v1")
    model.save(tmp_path / "one.keras")
    with pytest.raises(UserError, match=r"its .*(max_value|activation) is .*6.* in the model. Change the model's rows"):
        build("mobilenet_v1", weights=tmp_path / "one.keras")


def test_build_takes_classes_and_size_of_its_file(trained):
    model, paths = trained
    loaded = build("resnet20", weights=paths[".keras"])
    assert (loaded.input_shape, loaded.output_shape) == ((None, *SHAPE), (None, 4))
    np.testing.assert_array_equal(as_array(loaded.weights[-1]), as_array(model.weights[-1]))


def test_import_of_an_own_file_keeps_its_classes(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "start", lambda *_: None)
    import_weights("resnet20", str(trained[1][".keras"]), str(tmp_path / "out.keras"))
    written = read_source(tmp_path / "out.keras", "resnet20")
    assert (written.classes, written.image_shape) == (4, SHAPE)
    np.testing.assert_array_equal(written.layers["score"]["1"], as_array(trained[0].weights[-1]))


def test_import_without_a_head_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "start", lambda *_: None)
    build("lenet", classes=4).save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(UserError, match=r"x\.weights\.h5 has no weights for [a-z0-9]+ of lenet with 10 classes"):
        import_weights("lenet", str(tmp_path / "x.weights.h5"), str(tmp_path / "out.keras"))
    assert not (tmp_path / "out.keras").exists()


# A source that does not state its scaling


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_preprocessing_the_source_lacks_is_kept(tmp_path, suffix):
    plain, path = small(), tmp_path / f"plain{suffix}"
    plain.save(path) if suffix == ".keras" else plain.save_weights(path)
    normalization = Normalization(name="normalization")
    normalization.adapt(np.random.default_rng(0).normal(3.0, 2.0, (50, *SHAPE)))
    adapted = [as_array(weight) for weight in normalization.weights]
    model = small([keras.layers.Rescaling(0.1, name="scale"), normalization])
    report = load_weights(model, path)
    assert report.new_layers == ()
    assert f"plain{suffix} does not say how its images were scaled: scale, normalization stays as it is" in report.lines
    for weight, value in zip(normalization.weights, adapted, strict=True):
        np.testing.assert_array_equal(as_array(weight), value)
    np.testing.assert_array_equal(as_array(model.weights[-2]), as_array(plain.weights[-2]))


# Damaged files


@pytest.mark.parametrize("layers", [[1], [{"config": 1}], {"a": 1}, [{"config": {"name": [1], "units": "3"}}]])
def test_config_of_strange_layers_is_passed_over(tmp_path, layers):
    small().save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = json.dumps({"config": {"layers": layers}}).encode()
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
        for name, value in members.items():
            archive.writestr(name, value)
    source = read_source(tmp_path / "bad.keras", "small")
    assert (source.preprocessing, source.classes, source.image_shape) == ({}, None, None)


@pytest.mark.parametrize("error", [zlib.error, EOFError, MemoryError])
def test_member_that_does_not_inflate_is_refused(tmp_path, monkeypatch, error):
    small().save(tmp_path / "model.keras")

    def fail(*_):
        raise error("invalid block type")

    monkeypatch.setattr(zipfile.ZipFile, "read", fail)
    with pytest.raises(UserError, match=r"model\.keras is no whole file of Keras: invalid block type"):
        read_source(tmp_path / "model.keras", "small")
