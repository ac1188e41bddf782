"""`python -m convzoo.layers … animate=FILE`."""

import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from PIL import Image

from convzoo.cli import animate_layer, list_layers
from convzoo.cli.layer_examples import EXAMPLES
from convzoo.evaluation import traces
from convzoo.settings.animation import AnimationSettings

SVG = "{http://www.w3.org/2000/svg}"
# Input, kernel, stride, padding and output of the seven figures of Dumoulin & Visin, 2016, chapter 2.
FIGURES = {
    "no_padding": (4, 3, 1, 0, 2),
    "arbitrary_padding": (5, 4, 1, 2, 6),
    "half_padding": (5, 3, 1, 1, 5),
    "full_padding": (5, 3, 1, 2, 7),
    "no_padding_strides": (5, 3, 2, 0, 2),
    "padding_strides": (5, 3, 2, 1, 3),
    "padding_strides_odd": (6, 3, 2, 1, 3),
}


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Call the command with words, in an empty folder; returns its exit code and what it printed."""

    def run(*words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["layers", *words])
        try:
            list_layers.run_command()
            code = 0
        except SystemExit as ended:
            code = ended.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def traced(monkeypatch):
    """The traces that are made, which the command draws."""
    made, trace = [], traces.trace_layer
    monkeypatch.setattr(traces, "trace_layer", lambda *arguments: made.append(trace(*arguments)) or made[-1])
    return made


def texts(file):
    return [text.strip() for text in ElementTree.parse(file).getroot().itertext() if text.strip()]


def test_command_draws_the_layer_of_its_words(command, tmp_path):
    code, out, _ = command("Conv2D", "kernel_size=3", "padding=full", "strides=2", "animate=conv.svg")
    assert (code, out) == (0, "drawn in conv.svg\n")
    shown = texts(tmp_path / "conv.svg")
    assert shown[0] == "Conv2D: kernel 3×3, stride 2, padding full"
    assert "5×5×1 → 4×4×1    size of the output: ⌊(5 + 2 + 2 − 3) / 2⌋ + 1 = 4" in shown


def test_command_takes_the_image_and_arguments_of_the_user(command, tmp_path):
    words = ["image=[[3,0],[1,2]]", "kernel_initializer=ones", "use_bias=false", "kernel_size=(2,1)"]
    assert command("Conv2D", *words, "padding=((0,1),(0,0))", "animate=a.svg")[0] == 0
    shown = texts(tmp_path / "a.svg")
    assert {"3·1 + 1·1 = 4", "0·1 + 2·1 = 2", "1·1 + 0·1 = 1", "2·1 + 0·1 = 2"} <= set(shown)


def test_command_writes_each_format_by_its_ending(command, tmp_path):
    for suffix, start in ((".gif", b"GIF89a"), (".html", b"<!doctype html>"), (".svg", b"<svg ")):
        assert command("MaxPooling2D", "image_shape=[4,4]", f"animate=pool{suffix}")[0] == 0
        assert (tmp_path / f"pool{suffix}").read_bytes().startswith(start)
    with Image.open(tmp_path / "pool.gif") as image:
        assert image.n_frames == 4


@pytest.mark.parametrize(("name", "sizes"), FIGURES.items())
def test_example_has_the_sizes_of_its_figure(command, traced, name, sizes):
    assert command(f"example={name}", "animate=a.svg")[0] == 0
    (trace,) = traced
    size, kernel, stride, padding, output = sizes
    assert trace.inputs.shape == (size, size, 1)
    assert trace.padded.shape == (size + 2 * padding,) * 2 + (1,)
    assert trace.outputs.shape == (output, output, 1)
    assert trace.steps[0].parts[0].weights.shape == (kernel, kernel)
    assert trace.steps[1].parts[0].cells[0] == (0, stride)


def test_example_cs231n_has_the_sizes_of_the_demo(command, traced):
    """CS231n, Convolutional neural networks: 5×5×3, two filters of 3×3×3, stride 2, padding 1, biases 1 and 0."""
    assert command("example=cs231n", "animate=a.svg")[0] == 0
    (trace,) = traced
    assert (trace.inputs.shape, trace.padded.shape, trace.outputs.shape) == ((5, 5, 3), (7, 7, 3), (3, 3, 2))
    assert [step.bias for step in trace.steps] == [1] * 9 + [0] * 9
    assert trace.steps[1].parts[0].cells[0] == (0, 2)


def test_example_list_names_every_example(command):
    code, out, _ = command("example=list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(EXAMPLES)


def test_example_all_writes_a_file_for_each(command, tmp_path, monkeypatch):
    monkeypatch.setattr(animate_layer, "EXAMPLES", {name: EXAMPLES[name] for name in ("max_pooling", "one_by_one")})
    assert command("example=all", "animate={example}.svg")[0] == 0
    assert {path.name for path in tmp_path.glob("*.svg")} == {"max_pooling.svg", "one_by_one.svg"}


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in FIGURES])
def test_every_example_is_drawn(command, tmp_path, name):
    assert command(f"example={name}", "animate=a.svg")[0] == 0
    assert (tmp_path / "a.svg").stat().st_size > 5000


@pytest.mark.parametrize(
    "words",
    [
        "PartiallyConnected2D connections=[[0],[0,1]]",
        "LocallyConnected1D",
        "FractionalMaxPooling2D",
        "WhitenedConv2D kernel_size=1",
        "MixedPooling2D",
        "Maxout",
        "GlobalMaxPooling2D",
        "DepthwiseConv2D",
        "StridedConv2D",
        "Conv2D groups=2 filters=2 dilation_rate=2",
    ],
)
def test_layers_have_images_of_their_own(command, words):
    code, out, err = command(*words.split(), "animate=a.svg")
    assert (code, out, err) == (0, "drawn in a.svg\n", "")


def test_same_command_gives_the_same_file(command, tmp_path):
    for file, seed in (("a.svg", 0), ("b.svg", 0), ("c.svg", 1)):
        command("FractionalMaxPooling2D", f"image_seed={seed}", f"animate={file}")
    first, second, third = ((tmp_path / file).read_text() for file in ("a.svg", "b.svg", "c.svg"))
    assert first == second
    assert first != third


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("Conv2D", "`animate` is missing"),
        ("Conv2D animate=a.mp4", "`animate` must be a file that ends in .gif, .html, .svg. Received: animate='a.mp4'"),
        ("animate=a.gif", "`animate` needs a layer, as Conv2D, or `example=NAME`; `example=list` lists the examples"),
        ("Conv2d animate=a.gif", "`Conv2d`: there is no such layer; did you mean Conv2D?"),
        ("Dropout animate=a.gif", "`Dropout` has no sliding window to animate; there are: AdaptivePoly"),
        ("Conv2D kernel=3 animate=a.gif", "`kernel`: Conv2D has no such argument; did you mean kernel_size"),
        ("Conv2D padding=some animate=a.gif", 'Conv2D cannot be built: `padding` must be "valid", "half"'),
        ("Conv2D image_shape=[2,2] animate=a.gif", "Conv2D refuses an image of shape (2, 2, 1): The padded image"),
        ("Conv2D image_shape=[0,2] animate=a.gif", "`image_shape` must be a list of 2 or 3 positive integers"),
        (
            "Conv2D image=[[1],[2,3]] animate=a.gif",
            "`image` must be rows of numbers, all of one length, such as [[1,2],[3,4]]",
        ),
        ("Conv2D image=[[1]] image_shape=[1,1] animate=a.gif", "`image` has its own shape: leave out `image_shape`"),
        ("Conv2D seconds=0 animate=a.gif", "`seconds` must be above 0. Received: seconds=0"),
        ("Conv2D filters=[ animate=a.gif", "`filters` has a value that cannot be read. Received: filters=["),
        ("PartiallyConnected2D animate=a.gif", "`PartiallyConnected2D` needs `connections=`"),
        ("Conv2D MaxPooling2D animate=a.gif", "an animation has one layer"),
        ("example=half animate=a.gif", "`example=half`: there is no such example; did you mean half_padding?"),
        ("Conv2D example=cs231n animate=a.gif", "`example=cs231n` has its own layer. Received also: Conv2D"),
        ("example=all animate=a.gif", "`animate` must contain {example} for all examples. Received: animate=a.gif"),
        ("Conv2D image_shape=[30,30] animate=a.gif", "the layer gives 784 values, 28×28×1; an animation shows at most"),
        ("Conv2D animate=none/a.gif", "`animate=none/a.gif`: No such file or directory"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(command, words, message):
    code, out, err = command(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_help_describes_every_setting(command):
    code, out, _ = command("--help")
    assert code == 0
    assert set(re.findall(r"^  (\w+) ", out, re.MULTILINE)) == set(AnimationSettings.model_fields) - {"layer"}


@pytest.mark.integration
def test_process_draws_without_the_noise_of_the_backend(tmp_path):
    command = [sys.executable, "-m", "convzoo.layers", "Conv2D", "animate=a.gif", "image_shape=[4,4]"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "drawn in a.gif\n")
    assert re.fullmatch(r"convzoo\.layers: loading \w+ …\n", done.stderr)
    assert (tmp_path / "a.gif").stat().st_size > 5000
