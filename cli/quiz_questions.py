"""Questions of `python -m convzoo.quiz` about layers, and how they are asked and explained.

An answer is read from the layers: from the plan of a model that is made of them. Only the calculation that explains it
is written here.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..models.planning import Plan, PlanRow

Shape = tuple[int, int, int]
SIZE = "height×width"
SHAPE = "height×width×channels"
SIZE_RULES = {
    "valid": "no padding: floor((size − kernel)/stride) + 1",
    "same": '"same" pads until the size is ceil(size/stride)',
    "half": '"half" adds floor(kernel/2) cells on each side:\nfloor((size + 2·floor(kernel/2) − kernel)/stride) + 1',
    "full": '"full" adds kernel − 1 cells on each side:\nfloor((size + 2·(kernel − 1) − kernel)/stride) + 1',
    "ceil": '"ceil" lets the last window go over the border:\nceil((size − window)/stride) + 1',
}
NUMBER_RULE = "floor((size + 2·padding − kernel)/stride) + 1"
DILATED_RULE = "a dilated kernel spans dilation·(kernel − 1) + 1 cells"
KERNEL_RULE = "each filter has kernel·kernel·channels weights and a bias"


@dataclass(frozen=True)
class LayerCall:
    """A layer: its class and its arguments.

    Attributes:
        name: of a class in `convzoo.layers`, or else in `keras.layers`.
        arguments: of its constructor.
    """

    name: str
    arguments: Mapping[str, Any]

    def build(self) -> Any:
        """Construct the layer."""
        import keras

        from .. import layers

        layer_class = getattr(layers if self.name in layers.__all__ else keras.layers, self.name)
        return layer_class(**self.arguments)

    def describe(self, unknown: str = "") -> str:
        """Return the call in Python; the argument `unknown` has a question mark for its value."""
        texts = [
            f"{key}=?" if key == unknown else f'{key}="{value}"' if isinstance(value, str) else f"{key}={value}"
            for key, value in self.arguments.items()
        ]
        return f"{self.name}({', '.join(texts)})"


@dataclass(frozen=True)
class Step:
    """A line of a calculation.

    Attributes:
        expression: with its numbers, such as `floor((32 + 2·2 − 5)/2) + 1`.
        value: of the layer.
        label: name of the value; "" where the question names it.
    """

    expression: str
    value: int
    label: str = ""

    def __str__(self) -> str:
        label = f"{self.label}: " if self.label else ""
        calculation = "" if self.expression == str(self.value) else f"{self.expression} = "
        return f"{label}{calculation}{self.value:,}"


@dataclass(frozen=True)
class Question:
    """A question, its answer and the calculation that explains it.

    Attributes:
        facts: lines on the input and its layers.
        text: the question itself.
        answer: of the layers; one number, or a number for each axis.
        rule: the calculation in words.
        steps: the calculation in numbers.
        form: names of the numbers of an answer, if there are several.
    """

    facts: tuple[str, ...]
    text: str
    answer: tuple[int, ...]
    rule: str
    steps: tuple[Step, ...]
    form: str = ""


Draw = Callable[[random.Random], Question]


@dataclass(frozen=True)
class Topic:
    """A topic.

    Attributes:
        summary: one line.
        draws: functions that draw a question, each of another form.
    """

    summary: str
    draws: tuple[Draw, ...]


def plan_layers(shape: Sequence[int], calls: Sequence[LayerCall]) -> "Plan":
    """Return the plan of a chain of layers, whose weights take no memory.

    Args:
        shape: (height, width, channels) of the input.
        calls: the layers.
    """
    import keras

    from ..models.builder import run_symbolically
    from ..models.planning import plan_model

    def make_plan() -> "Plan":
        x = inputs = keras.Input(shape)
        for call in calls:
            x = call.build()(x)
        return plan_model(keras.Model(inputs, x))

    return run_symbolically(make_plan)


def make_convolution(filters: int, kernel_size: int, **arguments: Any) -> LayerCall:
    return LayerCall("Conv2D", {"filters": filters, "kernel_size": kernel_size, **arguments})


def describe_layers(shape: Sequence[int], calls: Sequence[LayerCall], unknown: str = "") -> tuple[str, ...]:
    return f"input {join_product(shape)} ({SHAPE})", *(call.describe(unknown) for call in calls)


def join_product(numbers: Sequence[int]) -> str:
    return "×".join(map(str, numbers))


def join_factors(*factors: int) -> str:
    return "·".join(f"{factor:,}" for factor in factors)


def draw_shape(generator: random.Random, low: int, high: int, channels: Sequence[int]) -> Shape:
    """Draw a shape of images, two of three square."""
    height = generator.randint(low, high)
    width = generator.choice((height, height, generator.randint(low, high)))
    return height, width, generator.choice(channels)


def draw_padding(generator: random.Random, kernel_size: int) -> dict[str, int]:
    padding = generator.randint(0, kernel_size // 2)
    return {"padding": padding} if padding else {}


def write_size(size: int, arguments: Mapping[str, Any]) -> str:
    """Write the size of an output along one axis as a calculation."""
    kernel = arguments.get("kernel_size", arguments.get("pool_size"))
    stride = arguments.get("strides", arguments.get("pool_size", 1))
    padding = arguments.get("padding", "valid")
    dilation = arguments.get("dilation_rate", 1)
    if padding == "same":
        return f"ceil({size}/{stride})"
    if padding == "ceil":
        return f"ceil(({size} − {kernel})/{stride}) + 1"
    words = {"valid": "", "half": f" + 2·floor({kernel}/2)", "full": f" + 2·({kernel} − 1)"}
    added = words[padding] if isinstance(padding, str) else f" + 2·{padding}"
    extent = f"{kernel}" if dilation == 1 else f"({dilation}·({kernel} − 1) + 1)"
    return f"floor(({size}{added} − {extent})/{stride}) + 1" if stride > 1 else f"{size}{added} − {extent} + 1"


def find_size_rule(arguments: Mapping[str, Any]) -> str:
    padding = arguments.get("padding", "valid")
    rule = SIZE_RULES[padding] if isinstance(padding, str) else NUMBER_RULE
    if "pool_size" in arguments:
        rule = rule.replace("kernel", "window")
    return f"{DILATED_RULE}:\n{rule}" if "dilation_rate" in arguments else rule


def compute_size_steps(sizes: Sequence[int], call: LayerCall, row: "PlanRow", label: str = "") -> tuple[Step, ...]:
    """Return the calculation of an output's height and width, one line if they are alike."""
    steps = [
        Step(write_size(size, call.arguments), value)
        for size, value in zip(sizes[:2], row.output_shape[:2], strict=True)
    ]
    if steps[0] == steps[1]:
        return (Step(steps[0].expression, steps[0].value, label),)
    labels = [f"{label}{', ' if label else ''}{axis}" for axis in ("height", "width")]
    return tuple(Step(step.expression, step.value, each) for step, each in zip(steps, labels, strict=True))


def ask_size(shape: Shape, call: LayerCall) -> Question:
    """Return the question for height and width of a layer's output."""
    (row,) = plan_layers(shape, [call]).rows
    return Question(
        describe_layers(shape, [call]),
        "Height and width of the output?",
        row.output_shape[:2],
        find_size_rule(call.arguments),
        compute_size_steps(shape, call, row),
        SIZE,
    )


def ask_params(shape: Shape, call: LayerCall, rule: str, expression: str) -> Question:
    """Return the question for the parameters of a layer."""
    plan = plan_layers(shape, [call])
    return Question(
        describe_layers(shape, [call]), ask_params_text(call), (plan.params,), rule, (Step(expression, plan.params),)
    )


def ask_params_text(call: LayerCall) -> str:
    has_bias = call.arguments.get("use_bias", True)
    return f"How many parameters does the layer have{', biases included' if has_bias else ''}?"
