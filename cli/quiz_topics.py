"""The topics of `python -m convzoo.quiz`, and the functions that draw the questions of each."""

import random
from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from ..settings.quiz import MIX
from .quiz_questions import (
    KERNEL_RULE,
    NUMBER_RULE,
    SHAPE,
    SIZE,
    LayerCall,
    Question,
    Shape,
    Step,
    Topic,
    ask_params,
    ask_params_text,
    ask_size,
    compute_size_steps,
    describe_layers,
    draw_padding,
    draw_shape,
    find_size_rule,
    join_factors,
    join_product,
    make_convolution,
    plan_layers,
)

if TYPE_CHECKING:
    pass

_TRIES = 20  # draws of a form before a question is repeated


def draw_questions(topic: str, seed: int) -> Iterator[tuple[str, Question]]:
    """Yield questions without end, each with the name of its topic.

    A seed always gives the same questions. All forms of a topic, or all topics of a mix, come once before one comes
    again. A question is not repeated while the topic has others.

    Args:
        topic: name of a topic, or `MIX` for all of them.
        seed: of the random numbers.
    """
    generator = random.Random(seed)
    previous: set[Question] = set()
    while True:
        if topic == MIX:
            deck = [(name, generator.choice(each.draws)) for name, each in TOPICS.items()]
        else:
            deck = [(topic, draw) for draw in TOPICS[topic].draws]
        generator.shuffle(deck)
        for name, draw in deck:
            drawn = (draw(generator) for _ in range(_TRIES))
            question = next((each for each in drawn if each not in previous), None) or draw(generator)
            previous.add(question)
            yield name, question


def _draw_strided_size(generator: random.Random) -> Question:
    kernel = generator.choice((3, 4, 5, 7))
    call = make_convolution(
        generator.choice((8, 16, 32)),
        kernel,
        strides=generator.choice((2, 2, 3, 4)),
        **draw_padding(generator, kernel),
    )
    return ask_size(draw_shape(generator, 16, 64, (1, 3)), call)


def _draw_two_strided_sizes(generator: random.Random) -> Question:
    shape = draw_shape(generator, 24, 64, (1, 3))
    calls = []
    for filters, strides in zip((8, 16), generator.choice(((1, 2), (2, 1), (2, 2), (3, 2))), strict=True):
        kernel = generator.choice((3, 5))
        calls.append(make_convolution(filters, kernel, strides=strides, **draw_padding(generator, kernel)))
    rows = plan_layers(shape, calls).rows
    return Question(
        describe_layers(shape, calls),
        "Height and width of the last output?",
        rows[-1].output_shape[:2],
        f"layer by layer: {NUMBER_RULE}",
        (
            *compute_size_steps(shape, calls[0], rows[0], "layer 1"),
            *compute_size_steps(rows[0].output_shape, calls[1], rows[1], "layer 2"),
        ),
        SIZE,
    )


def _draw_jump(generator: random.Random) -> Question:
    calls = []
    for filters in (8, 16, 32)[: generator.choice((2, 3))]:
        calls.append(make_convolution(filters, 3, strides=generator.choice((1, 2, 2, 3)), padding="same"))
    (row,) = plan_layers((64, 64, 3), calls).rows[-1:]
    return Question(
        describe_layers((64, 64, 3), calls),
        "By how many pixels of the input do the windows of two neighbouring outputs\nof the last layer lie apart?",
        row.jump[1:],
        "the strides of all layers, multiplied",
        (Step(join_factors(*(call.arguments["strides"] for call in calls)), row.jump[1]),),
    )


def _draw_strided_macs(generator: random.Random) -> Question:
    kernel = generator.choice((3, 5))
    call = make_convolution(generator.choice((8, 16)), kernel, strides=generator.choice((2, 3)), use_bias=False)
    shape = (side := generator.randint(9, 21), side, generator.choice((1, 3)))
    return _ask_macs(shape, call)


def _ask_macs(shape: Shape, call: LayerCall) -> Question:
    """Return the question for the multiplications of a convolution without padding."""
    (row,) = plan_layers(shape, [call]).rows
    kernel = call.arguments["kernel_size"]
    sizes = [
        Step(step.expression, step.value, step.label or "size of the output")
        for step in compute_size_steps(shape, call, row)
    ]
    return Question(
        describe_layers(shape, [call]),
        "How many multiplications does the layer need for one image?",
        (row.macs,),
        "each output value needs kernel·kernel·channels of them",
        (*sizes, Step(join_factors(*row.output_shape, kernel, kernel, shape[2]), row.macs, "multiplications")),
    )


def _draw_padded_size(generator: random.Random) -> Question:
    padding = generator.choice(("valid", "same", "half", "full", 1, 2, 3))
    kernel = generator.choice((3, 5, 7))
    strides = generator.choice(({}, {}, {"strides": 2}))
    dilation: dict[str, int] = {}
    if isinstance(padding, int) and generator.random() < 0.4:
        dilation = {"dilation_rate": 2}
    call = make_convolution(generator.choice((8, 16, 32)), kernel, **strides, padding=padding, **dilation)
    return ask_size(draw_shape(generator, 14, 40, (1, 3)), call)


def _draw_padding_amount(generator: random.Random) -> Question:
    kernel = generator.choice((3, 5, 7, 9, 11))
    padding = generator.choice(("half", "full"))
    call = make_convolution(8, kernel, padding=padding)
    shape = (side := generator.randint(16, 40), side, 3)
    (row,) = plan_layers(shape, [call]).rows
    return Question(
        describe_layers(shape, [call]),
        "How many rows of zeros does the layer add above the image?",
        row.padding[:1],
        {
            "half": '"half" adds floor(kernel/2) cells on each side',
            "full": '"full" adds kernel − 1 cells on each side: every window that touches the image',
        }[padding],
        (Step(f"floor({kernel}/2)" if padding == "half" else f"{kernel} − 1", row.padding[0]),),
    )


def _draw_padding_that_preserves_size(generator: random.Random) -> Question:
    kernel = generator.choice((3, 5, 7, 9, 11))
    dilation = generator.choice(({}, {"dilation_rate": generator.choice((2, 3))}))
    call = make_convolution(8, kernel, **dilation, padding="half")
    shape = (side := generator.randint(16, 40), side, 3)
    (row,) = plan_layers(shape, [call]).rows
    extent = f"{dilation['dilation_rate']}·({kernel} − 1)" if dilation else f"({kernel} − 1)"
    return Question(
        describe_layers(shape, [call], unknown="padding"),
        f"Which number for `padding` gives an output of {join_product(row.output_shape[:2])}?",
        row.padding[:1],
        f"stride 1 and a padding of {'dilation·' if dilation else ''}(kernel − 1)/2 preserve the size",
        (Step(f"{extent}/2", row.padding[0]),),
    )


def _draw_pooled_shape(generator: random.Random) -> Question:
    window = generator.choice((2, 2, 3, 4))
    strides = generator.choice(({}, {"strides": max(window - 1, 2)}))
    padding = generator.choice(({}, {"padding": "ceil"}))
    name = generator.choice(("MaxPooling2D", "AveragePooling2D", "L2Pooling2D"))
    call = LayerCall(name, {"pool_size": window, **strides, **padding})
    shape = draw_shape(generator, 8, 33, (6, 16, 64, 192))
    (row,) = plan_layers(shape, [call]).rows
    rule = find_size_rule(call.arguments)
    return Question(
        describe_layers(shape, [call]),
        "Shape of the output?",
        row.output_shape,
        f"channels stay;{'' if strides else ' strides default to pool_size;'}\n{rule}",
        (*compute_size_steps(shape, call, row), Step(f"{shape[2]}", row.output_shape[2], "channels")),
        SHAPE,
    )


def _draw_depth_pooled_channels(generator: random.Random) -> Question:
    call = LayerCall("ChannelPooling2D", {"pool_size": generator.choice((2, 3, 4))})
    shape = (side := generator.choice((8, 14, 28)), side, generator.choice((12, 24, 48, 50, 64, 96)))
    (row,) = plan_layers(shape, [call]).rows
    return Question(
        describe_layers(shape, [call]),
        "How many channels does the output have?",
        row.output_shape[2:],
        "it pools neighbouring channels, and strides default to pool_size;\nfloor((channels − window)/stride) + 1",
        (Step("floor(({} − {})/{}) + 1".format(shape[2], *2 * (call.arguments["pool_size"],)), row.output_shape[2]),),
    )


def _draw_pool_params(generator: random.Random) -> Question:
    window = generator.choice((2, 3))
    channels = generator.choice((6, 16, 32, 64, 96))
    pool = LayerCall("MaxPooling2D", {"pool_size": window, "strides": 2})
    call = make_convolution(channels, window, strides=2)
    shape = (side := generator.choice((16, 24, 32)), side, channels)
    params = plan_layers(shape, [call]).params - plan_layers(shape, [pool]).params
    return Question(
        (*describe_layers(shape, [pool]), "is replaced with", call.describe()),
        "How many parameters does this add, biases included?",
        (params,),
        f"a pool has no weights;\n{KERNEL_RULE}",
        (Step(f"{join_factors(window, window, channels, channels)} + {channels}", params),),
    )


def _draw_global_pool(generator: random.Random) -> Question:
    call = LayerCall("GlobalAveragePooling2D", {})
    shape = (side := generator.choice((4, 6, 7, 8)), side, generator.choice((10, 100, 192, 512)))
    (row,) = plan_layers(shape, [call]).rows
    return Question(
        describe_layers(shape, [call]),
        "How many values does it give for one image?",
        row.output_shape,
        "a mean of the whole map for each channel",
        (Step(join_factors(1, 1, shape[2]), row.output_shape[0]),),
    )


def _draw_small_convolution(generator: random.Random, **arguments: Any) -> tuple[Shape, LayerCall]:
    """Draw a convolution over a small image, without padding, so that a dense layer in its place has a weight count."""
    side = generator.choice((8, 10, 12, 16, 28, 32))
    call = make_convolution(generator.choice((1, 4, 6, 8)), generator.choice((3, 5)), **arguments)
    return (side, side, generator.choice((1, 3))), call


def _draw_inputs_of_an_output(generator: random.Random) -> Question:
    shape, call = _draw_small_convolution(generator, use_bias=False)
    (row,) = plan_layers(shape, [call]).rows
    reads = row.macs // prod(row.output_shape)
    kernel = call.arguments["kernel_size"]
    return Question(
        describe_layers(shape, [call]),
        f"Of the {prod(shape):,} input values, how many does one output value depend on?",
        (reads,),
        "it reads a window of kernel·kernel cells in each channel",
        (Step(join_factors(kernel, kernel, shape[2]), reads),),
    )


def _draw_sparse_products(generator: random.Random) -> Question:
    return _ask_macs(*_draw_small_convolution(generator, use_bias=False))


def _draw_dense_products(generator: random.Random) -> Question:
    shape, call = _draw_small_convolution(generator, use_bias=False)
    (row,) = plan_layers(shape, [call]).rows
    outputs, inputs = prod(row.output_shape), prod(shape)
    flatten, dense = LayerCall("Flatten", {}), LayerCall("Dense", {"units": outputs, "use_bias": False})
    plan = plan_layers(shape, [flatten, dense])
    return Question(
        describe_layers(shape, [call]),
        f"Its output is {join_product(row.output_shape)}. How many multiplications would a dense layer\nwith as many "
        "outputs need for one image?",
        (plan.macs,),
        f"every output value would depend on every input value;\nthe convolution needs {row.macs:,} multiplications",
        (
            Step(join_factors(*row.output_shape), outputs, "outputs"),
            Step(join_factors(*shape), inputs, "inputs"),
            Step(join_factors(outputs, inputs), plan.macs, "multiplications"),
        ),
    )


def _draw_shared_params(generator: random.Random) -> Question:
    shape = (side := generator.choice((8, 16, 32, 64)), side, generator.choice((1, 3, 16, 32)))
    kernel, filters = generator.choice((3, 5, 7)), generator.choice((6, 8, 16, 32))
    has_bias = generator.random() < 0.7
    call = make_convolution(filters, kernel, **({} if has_bias else {"use_bias": False}))
    weights = join_factors(kernel, kernel, shape[2], filters)
    rule = f"{KERNEL_RULE};\nall positions share them" if has_bias else f"{KERNEL_RULE};\nuse_bias=False leaves it out"
    return ask_params(shape, call, rule, f"{weights} + {filters}" if has_bias else weights)


def _draw_local_params(generator: random.Random) -> Question:
    shape, shared = _draw_small_convolution(generator)
    call = LayerCall("LocallyConnected2D", shared.arguments)
    (row,) = plan_layers(shape, [call]).rows
    kernel, (height, width, filters) = call.arguments["kernel_size"], row.output_shape
    return Question(
        (*describe_layers(shape, [call]), f"output {join_product(row.output_shape)}"),
        ask_params_text(call),
        (row.params,),
        "no sharing: every position has filters and biases of its own",
        (Step(f"{height}·{width}·({join_factors(kernel, kernel, shape[2], filters)} + {filters})", row.params),),
    )


def _draw_dense_params(generator: random.Random) -> Question:
    shape = (side := generator.choice((8, 12, 16, 28, 32)), side, generator.choice((1, 3)))
    units = generator.choice((10, 32, 84, 100, 120))
    calls = [LayerCall("Flatten", {}), LayerCall("Dense", {"units": units})]
    plan = plan_layers(shape, calls)
    return Question(
        describe_layers(shape, calls),
        "How many parameters do the layers have, biases included?",
        (plan.params,),
        "a dense layer has a weight for each pair of input and unit, and a bias a unit",
        (Step(f"{join_factors(*shape, units)} + {units}", plan.params),),
    )


def _draw_connections(generator: random.Random) -> Question:
    shape, call = _draw_small_convolution(generator)
    (row,) = plan_layers(shape, [call]).rows
    kernel, (height, width, filters) = call.arguments["kernel_size"], row.output_shape
    weights = f"({join_factors(kernel, kernel, shape[2])} + 1)"
    return Question(
        (*describe_layers(shape, [call]), f"output {join_product(row.output_shape)}; {row.params:,} parameters"),
        "How many connections are that, if each use of a weight or a bias counts?",
        (row.connections,),
        "all positions share the parameters, and each has connections of its own",
        (Step(f"{join_factors(height, width, filters)}·{weights}", row.connections),),
    )


def _draw_pointwise(generator: random.Random) -> tuple[Shape, LayerCall]:
    side, channels = generator.choice((7, 8, 14, 28, 32)), generator.choice((16, 32, 64, 96, 192, 256))
    return (side, side, channels), make_convolution(generator.choice((10, 16, 32, 64)), 1)


def _draw_pointwise_params(generator: random.Random) -> Question:
    shape, call = _draw_pointwise(generator)
    filters = call.arguments["filters"]
    return ask_params(shape, call, KERNEL_RULE, f"{join_factors(1, 1, shape[2], filters)} + {filters}")


def _draw_pointwise_shape(generator: random.Random) -> Question:
    shape, call = _draw_pointwise(generator)
    (row,) = plan_layers(shape, [call]).rows
    filters = Step(f"{call.arguments['filters']}", row.output_shape[2], "channels, one a filter")
    return Question(
        describe_layers(shape, [call]),
        "Shape of the output?",
        row.output_shape,
        "a window of one cell fits everywhere: size − kernel + 1",
        (*compute_size_steps(shape, call, row), filters),
        SHAPE,
    )


def _draw_reduction(generator: random.Random, count: str) -> Question:
    """Draw a 3×3 or 5×5 convolution behind a 1×1 one that reduces the channels."""
    side, channels = generator.choice((7, 14, 28)), generator.choice((64, 128, 192, 256))
    reduced, filters, kernel = generator.choice((16, 24, 32)), generator.choice((32, 64, 128)), generator.choice((3, 5))
    shape = (side, side, channels)
    calls = [make_convolution(reduced, 1, use_bias=False)]
    calls += [make_convolution(filters, kernel, padding="same", use_bias=False)]
    plan = plan_layers(shape, calls)
    direct = plan_layers(shape, calls[1:])
    value, whole = getattr(plan, count), getattr(direct, count)
    kernels = (1, 1, channels, reduced), (kernel, kernel, reduced, filters)
    positions = "" if count == "params" else f"{side}·{side}·"
    terms = [join_factors(*each) for each in kernels]
    expression = " + ".join(terms) if not positions else f"{positions}({' + '.join(terms)})"
    name = "parameters" if count == "params" else "multiplications for one image"
    return Question(
        describe_layers(shape, calls),
        f"How many {name} do both layers have together?"
        if count == "params"
        else f"How many {name} do both layers need together?",
        (value,),
        f"kernel·kernel·channels·filters of each layer{', at each position' if positions else ''};\n"
        f"the second layer alone, without the 1×1, has {whole:,}",
        (Step(expression, value),),
    )


def _draw_reduction_params(generator: random.Random) -> Question:
    return _draw_reduction(generator, "params")


def _draw_reduction_macs(generator: random.Random) -> Question:
    return _draw_reduction(generator, "macs")


def _draw_window(generator: random.Random, filters: int) -> LayerCall:
    """Draw a convolution or a pool for a stack of layers."""
    kind = generator.choice(("conv", "conv", "dilated", "pool"))
    if kind == "pool":
        return LayerCall("MaxPooling2D", {"pool_size": generator.choice((2, 3)), "strides": 2})
    if kind == "dilated":
        return make_convolution(filters, 3, padding="same", dilation_rate=2)
    strides = generator.choice(({}, {}, {"strides": 2}))
    return make_convolution(filters, generator.choice((1, 3, 3, 5)), **strides, padding="same")


def _draw_receptive_field(generator: random.Random) -> Question:
    strides = generator.choice(({}, {"strides": 2}))
    calls = [make_convolution(8, generator.choice((3, 5, 7)), **strides, padding="same")]
    calls += [_draw_window(generator, filters) for filters in (16, 32, 64)[: generator.choice((1, 2, 2, 3))]]
    return _ask_receptive_field(calls)


def _draw_plain_receptive_field(generator: random.Random) -> Question:
    kernels = [generator.choice((3, 3, 5, 7)) for _ in range(generator.choice((2, 3, 4)))]
    return _ask_receptive_field([make_convolution(8, kernel, padding="same") for kernel in kernels])


def _ask_receptive_field(calls: Sequence[LayerCall]) -> Question:
    shape = (64, 64, 3)
    rows = plan_layers(shape, calls).rows
    jumps = [1, *(row.jump[0] for row in rows)]
    terms = []
    for call, jump in zip(calls, jumps, strict=False):
        size = call.arguments.get("kernel_size", call.arguments.get("pool_size"))
        dilation = call.arguments.get("dilation_rate", 1)
        terms.append(f"{f'{dilation}·' if dilation > 1 else ''}({size} − 1)·{jump}")
    is_dilated = any("dilation_rate" in call.arguments for call in calls)
    return Question(
        describe_layers(shape, calls),
        "How large is the receptive field of one value of the last output, in pixels?",
        rows[-1].receptive_field,
        f"1, and for each layer {'dilation·' if is_dilated else ''}(kernel − 1)\ntimes the strides before it",
        (Step(f"1 + {' + '.join(terms)}", rows[-1].receptive_field[0]),),
        SIZE,
    )


def _draw_depth_for_receptive_field(generator: random.Random) -> Question:
    kernel, depth = generator.choice((3, 3, 5, 7)), generator.randint(2, 7)
    call = make_convolution(8, kernel, padding="same")
    rows = plan_layers((64, 64, 3), [call] * 8).rows
    target = rows[depth - 1].receptive_field
    layers = next(i for i, row in enumerate(rows, 1) if row.receptive_field >= target)
    return Question(
        (f"each layer {call.describe()}",),
        f"How many of these layers in a row have a receptive field of {join_product(target)}?",
        (layers,),
        "it starts at 1, and at stride 1 each layer adds kernel − 1",
        (Step(f"({target[0]} − 1)/({kernel} − 1)", layers),),
    )


TOPICS = {
    "stride": Topic(
        "sizes, distances and multiplications of strided convolutions",
        (_draw_strided_size, _draw_two_strided_sizes, _draw_jump, _draw_strided_macs),
    ),
    "padding": Topic(
        "valid, same, half and full padding, and numbers of cells",
        (_draw_padded_size, _draw_padding_amount, _draw_padding_that_preserves_size),
    ),
    "receptive_field": Topic(
        "receptive fields of stacked layers",
        (_draw_receptive_field, _draw_plain_receptive_field, _draw_depth_for_receptive_field),
    ),
    "sparsity": Topic(
        "products of a convolution and of a dense layer",
        (_draw_inputs_of_an_output, _draw_sparse_products, _draw_dense_products),
    ),
    "parameter_sharing": Topic(
        "parameters of convolution, locally connected and dense layer",
        (_draw_shared_params, _draw_local_params, _draw_dense_params, _draw_connections),
    ),
    "pooling": Topic(
        "shapes of pools over the map and over depth",
        (_draw_pooled_shape, _draw_depth_pooled_channels, _draw_pool_params, _draw_global_pool),
    ),
    "one_by_one": Topic(
        "1×1 convolutions: shapes, parameters and multiplications",
        (_draw_pointwise_params, _draw_pointwise_shape, _draw_reduction_params, _draw_reduction_macs),
    ),
}
