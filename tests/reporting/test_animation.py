"""Animations of layers: the numbers in the pictures, and the three file formats."""

import doctest
import io
import re
from xml.etree import ElementTree

import keras
import numpy as np
import pytest
from PIL import Image

from convzoo import UserError
from convzoo.evaluation.traces import trace_layer
from convzoo.layers import ChannelPooling2D, Conv2D, L2Pooling2D, LocallyConnected2D, MaxPooling2D
from convzoo.reporting.animation import animate_layer, build_scene, files, gif, render_animation

IMAGE = np.random.default_rng(0).integers(0, 4, (4, 4, 2)).astype("float32")
LAYERS = [
    Conv2D(2, 3, padding="half"),
    Conv2D(1, 3, strides=2, padding="full", padding_mode="circular"),
    Conv2D(2, 2, dilation_rate=2, groups=2),
    Conv2D(2, 1),
    LocallyConnected2D(1, 2, 2),
    keras.layers.Conv2DTranspose(1, 2, 2),
]
NAMESPACE = "{http://www.w3.org/2000/svg}"


def read(text):
    return float(text.replace("−", "-"))


def scene_of(layer, image=IMAGE):
    """The scene of a layer whose weights are integers, and its output."""
    layer.build((None, *image.shape))
    generator = np.random.default_rng(1)
    layer.set_weights([generator.integers(-2, 3, weight.shape) for weight in layer.weights])
    return build_scene(trace_layer(layer, image)), keras.ops.convert_to_numpy(layer(image[None]))[0]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_pictures_show_layer_outputs_and_their_products(layer):
    """The numbers are read from the boxes of each picture: products and bias add up to the value of the step."""
    scene, outputs = scene_of(layer)
    expected = np.moveaxis(outputs, -1, 0).ravel()
    shown = []
    for frame, text in zip(scene.frames, scene.texts, strict=True):
        terms = [read(shape.text) for shape in frame if shape.style == "term"]
        bias = read(re.search(r"bias \(?(−?[\d.]+)", text)[1]) if "bias" in text else 0
        for shape in frame:
            if shape.style == "current" and shape.text:
                shown.append(read(shape.text))
                assert shown[-1] == pytest.approx(sum(terms) + bias)
        values = [read(shape.text) for shape in frame if shape.style == "output" and shape.text]
        assert sorted(values) == sorted(expected[: len(values)])
    assert shown == pytest.approx(expected.tolist())


def test_pictures_of_several_maps_come_in_two_steps():
    """Dumoulin & Visin's two maps to three: the products of each map with a "?", then their sum."""
    scene, outputs = scene_of(Conv2D(3, 3))
    assert len(scene.frames) == 2 * outputs.size
    for first, second in zip(scene.frames[::2], scene.frames[1::2], strict=True):
        assert [shape.text for shape in first if shape.style == "pending"] == ["?"]
        assert [shape.text for shape in first if shape.style == "current"] == [""]  # of the legend
        sums = [read(shape.text.removeprefix("sum ")) for shape in first if re.fullmatch(r"sum [−\d.]+", shape.text)]
        terms = [read(shape.text) for shape in first if shape.style == "term"]
        assert sums == [sum(terms[:9]), sum(terms[9:])]
        assert [shape for shape in second if shape.style == "term"] == [s for s in first if s.style == "term"]


def test_picture_of_a_maximum_marks_its_cell():
    scene = build_scene(trace_layer(MaxPooling2D(2), np.arange(16).reshape(4, 4, 1)))
    assert [[s.text for s in frame if s.style == "selected"] for frame in scene.frames] == [
        ["5"],
        ["7"],
        ["13"],
        ["15"],
    ]


def test_padding_has_boxes_of_its_own():
    scene = build_scene(trace_layer(L2Pooling2D(3, 2, "half"), IMAGE[:, :, :1]))
    boxes = [shape for shape in scene.frames[0] if shape.style == "padding" and shape.width > 20]
    assert len(boxes) == 6 * 6 - 4 * 4
    assert {shape.text for shape in boxes} == {""}  # they are left out
    scene, _ = scene_of(Conv2D(1, 3, padding="half"), IMAGE[:, :, :1])
    assert {shape.text for shape in scene.frames[0] if shape.style == "padding" and shape.width > 20} == {"0"}


@pytest.mark.parametrize(
    "layer",
    [Conv2D(1, 3, padding=1, activation="relu"), ChannelPooling2D(2, mode="lp"), Conv2D(4, 2)],
    ids=lambda layer: layer.name,
)
def test_texts_fit_their_boxes_and_the_picture(layer):
    """Measured in the font of the GIF."""
    scene = build_scene(trace_layer(layer, np.random.default_rng(0).normal(scale=30, size=(3, 3, 2))))
    shapes = set().union(*map(set, scene.frames))
    for shape in shapes:
        length = gif._load_font(100, shape.style == "heading").getlength(shape.text) * shape.size / 100
        right, bottom = shape.x + (shape.width or length), shape.y + (shape.height or shape.size / 2)
        assert right <= scene.width, shape
        assert bottom <= scene.height, shape
        assert length <= (shape.width or scene.width), shape
        assert shape.size >= 8, shape
    lines = [s for s in scene.frames[-1] if not s.width]
    ends = {(s.y, s.x, gif._load_font(100, False).getlength(s.text) * s.size / 100) for s in lines}
    for y, x, length in ends:  # no line runs into the next one beside it
        assert all(other_x >= x + length or other_x <= x for other_y, other_x, _ in ends if abs(other_y - y) < 8)


def test_runs_repeat_every_picture():
    scene, _ = scene_of(Conv2D(2, 2), IMAGE[:3, :3])
    runs = scene.runs()
    for number, frame in enumerate(scene.frames):
        drawn = [shape for first, end, shapes in runs if first <= number < end for shape in shapes]
        assert len(drawn) == len(set(drawn))
        assert set(drawn) == set(frame)


def test_scene_refuses_maps_that_are_too_large():
    with pytest.raises(UserError, match=r"9 maps of 6×6 cells .* are too large for a readable picture"):
        build_scene(trace_layer(MaxPooling2D(3), np.zeros((6, 6, 9))))


@pytest.fixture(scope="module")
def scene():
    return scene_of(Conv2D(1, 2, padding="full", strides=2), IMAGE[:3, :3])[0]


def test_svg_shows_one_picture_at_a_time(scene):
    root = ElementTree.fromstring(render_animation(scene, ".svg", 0.5))
    assert root.find(f"{NAMESPACE}title").text == scene.title
    count = len(scene.frames) + 2  # the last one stays for three
    for number, frame in enumerate(scene.frames):
        texts = []
        for group in root.iter(f"{NAMESPACE}g"):
            animation = group.find(f"{NAMESPACE}animate")
            is_visible = group.get("visibility", "visible") == "visible"
            if animation is not None:
                assert animation.get("dur") == f"{count * 0.5:g}s"
                times = [float(time) for time in animation.get("keyTimes").split(";")]
                values = animation.get("values").split(";")
                assert times == sorted(times)
                now = [value for time, value in zip(times, values, strict=True) if time <= (number + 0.5) / count]
                is_visible = now[-1] == "visible"
            if is_visible:
                texts += [text for each in group.iter(f"{NAMESPACE}text") for text in each.itertext() if text.strip()]
        assert sorted(texts) == sorted(shape.text for shape in dict.fromkeys(frame) if shape.text)


def test_html_has_controls_and_loads_nothing(scene):
    page = render_animation(scene, ".html").decode()
    assert not re.search(r"\b(src|href)=|url\(|@import|fetch\(|https?:", page)
    assert "default-src 'none'" in page
    assert f"const count = {len(scene.frames)}," in page
    assert set(re.findall(r'<(?:button|input|select) id="(\w+)"', page)) == {
        *("first", "back", "play", "next", "last", "position", "speed")
    }
    keys = re.search(r"const actions = \{(.*?)\};", page, re.DOTALL)[1]
    assert re.findall(r'(\w+|" "): ', keys) == ['" "', "ArrowLeft", "ArrowRight", "Home", "End"]


def test_gif_has_every_picture_and_repeats(scene):
    image = Image.open(io.BytesIO(render_animation(scene, ".gif", 0.5)))
    assert (image.n_frames, image.size) == (len(scene.frames), (scene.width, scene.height))
    assert image.info["loop"] == 0
    durations = []
    for number in range(image.n_frames):
        image.seek(number)
        durations.append(image.info["duration"])
        current = next(shape for shape in scene.frames[number] if shape.style in ("current", "pending") and shape.text)
        pixel = image.convert("RGB").getpixel((int(current.x) + 8, int(current.y) + 8))
        cyan = (0x7F, 0xE0, 0xE0) if number % 2 else (0xF2, 0xFB, 0xFB)  # pale while the sum is not known
        assert np.abs(np.subtract(pixel, cyan)).max() < 12
    assert durations == [500] * (len(scene.frames) - 1) + [1500]


def test_animate_layer_refuses_other_formats_and_folders(tmp_path):
    with pytest.raises(UserError, match=r"must be a file that ends in \.gif, \.html, \.svg"):
        animate_layer(MaxPooling2D(2), IMAGE, tmp_path / "a.mp4")
    with pytest.raises(UserError, match="No such file or directory"):
        animate_layer(MaxPooling2D(2), IMAGE, tmp_path / "none" / "a.svg")


def test_animate_layer_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(files, extraglobs={"np": np}).failed == 0
    assert ElementTree.parse(tmp_path / "max_pooling.svg").getroot().tag == f"{NAMESPACE}svg"
