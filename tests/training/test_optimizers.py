"""Optimizers of rows, against formulas in NumPy and against Keras's own."""

import keras
import numpy as np
import pytest
from sampling import sample

from convzoo import UserError, training
from convzoo.layers import BatchNormalization
from convzoo.models.objective import make_objective
from convzoo.training.optimizers import OPTIMIZERS, check_optimizer, make_optimizer
from convzoo.training.optimizers.muon import orthogonalize
from convzoo.training.steps import make_train_step

SHAPES = {"kernel": (3, 3, 2, 5), "bias": (5,), "beta": (5,)}


def recipe(name, *, keys=None, **arguments):
    target = name if "." in name else f"keras.optimizers.{name}"
    return {"optimizer": {"_target_": target, **arguments}, **(keys or {})}


def numbers(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return {name: (scale * rng.normal(size=shape)).astype("float32") for name, shape in SHAPES.items()}


def update(optimizer, gradients, start=None):
    """The weights after some steps."""
    variables = {name: keras.Variable(value, name=name) for name, value in (start or numbers(0)).items()}
    optimizer.build(list(variables.values()))
    for step in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(step[name]) for name in variables], list(variables.values()))
    return {name: keras.ops.convert_to_numpy(each) for name, each in variables.items()}


@pytest.mark.parametrize("target", OPTIMIZERS)
def test_optimizer_of_row_steps_and_obeys_rate_factors(target):
    row = recipe(target, keys={"rate_factors": {"bias": 0.0}})
    check_optimizer(row)
    weights = update(make_optimizer(row, 0.01), [numbers(1), numbers(2)])
    assert all(np.isfinite(each).all() for each in weights.values())
    np.testing.assert_allclose(weights["bias"], numbers(0)["bias"], rtol=1e-6)
    assert (weights["kernel"] != numbers(0)["kernel"]).any()


@pytest.mark.parametrize("target", [name for name in OPTIMIZERS if name.rpartition(".")[2] != "ScheduleFreeAdamW"])
def test_row_without_options_steps_as_keras_does(target):
    """Without decay, whose variables differ; our own classes are compared with their formulas below."""
    if target.startswith("convzoo"):
        pytest.skip("ours")
    decay = {"weight_decay": 0.0, **({"adam_weight_decay": 0.0} if target.endswith("Muon") else {})}
    ours = update(make_optimizer(recipe(target, **decay), 0.01), [numbers(1), numbers(2)])
    theirs = update(getattr(keras.optimizers, target.rpartition(".")[2])(0.01, **decay), [numbers(1), numbers(2)])
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_arguments_of_row_reach_the_optimizer():
    arguments = dict(beta_1=0.8, weight_decay=0.1, clipvalue=2.0, use_ema=True, ema_momentum=0.5, amsgrad=True)
    optimizer = make_optimizer(recipe("AdamW", **arguments, gradient_accumulation_steps=3), 0.01)
    assert {name: getattr(optimizer, name) for name in arguments} == arguments
    assert optimizer.gradient_accumulation_steps == 3
    assert isinstance(optimizer, keras.optimizers.AdamW)
    assert float(optimizer.learning_rate) == pytest.approx(0.01)
    assert make_optimizer(recipe("SGD", momentum=0), 0.01).momentum == 0.0


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Lion", "Muon", "ScheduleFreeAdamW", "convzoo.training.Muon"])
def test_excluded_variables_do_not_decay(name):
    still = [{key: np.zeros(shape, "float32") for key, shape in SHAPES.items()}]
    decay = {"adam_weight_decay": 0.5} if name == "Muon" else {}
    row = recipe(name, weight_decay=0.5, **decay, keys={"decay_variables": ["kernel", "beta"]})
    weights = update(make_optimizer(row, 0.1), still)
    np.testing.assert_allclose(weights["bias"], numbers(0)["bias"], rtol=1e-5)
    np.testing.assert_allclose(weights["beta"], 0.95 * numbers(0)["beta"], rtol=1e-5)
    if not name.endswith("Muon"):  # whose update of a kernel has no length of zero
        np.testing.assert_allclose(weights["kernel"], 0.95 * numbers(0)["kernel"], rtol=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_l2sgd_adds_penalty_to_gradient_of_kernels(nesterov):
    row = recipe("convzoo.training.L2SGD", momentum=0.9, nesterov=nesterov, l2=0.01)
    found = update(make_optimizer(row, 0.1), [numbers(1), numbers(2)])
    for name, weights in numbers(0).items():
        velocity = 0.0
        for step in (numbers(1), numbers(2)):
            gradient = step[name] + (0.01 * weights if name == "kernel" else 0.0)
            velocity = 0.9 * velocity + gradient
            weights = weights - 0.1 * (gradient + 0.9 * velocity if nesterov else velocity)
        np.testing.assert_allclose(found[name], weights, rtol=1e-4, atol=1e-6, err_msg=name)


def test_l2sgd_scales_rate_of_some_variables():
    """As torch's SGD does with a group of parameters at 64 times the rate."""
    row = recipe("convzoo.training.L2SGD", momentum=0.9, keys={"rate_factors": {"beta": 64.0}})
    found = update(make_optimizer(row, 0.01), [numbers(1), numbers(2)])
    first, second = numbers(1), numbers(2)
    for name, rate in {"kernel": 0.01, "bias": 0.01, "beta": 0.64}.items():
        wanted = numbers(0)[name] - rate * first[name] - rate * (0.9 * first[name] + second[name])
        np.testing.assert_allclose(found[name], wanted, rtol=1e-4, atol=1e-6, err_msg=name)


def test_rate_factors_multiply_where_several_match():
    row = recipe("SGD", keys={"rate_factors": {"be": 2.0, "beta": 3.0}})
    found = update(make_optimizer(row, 0.01), [numbers(1)])
    np.testing.assert_allclose(found["beta"], numbers(0)["beta"] - 0.06 * numbers(1)["beta"], rtol=1e-4, atol=1e-6)


def newton_schulz(matrix, steps):
    """Jordan's loop, in float64."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (np.linalg.norm(matrix) + 1e-7)
    if matrix.shape[0] > matrix.shape[1]:
        x = x.T
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


@pytest.mark.parametrize("shape", [(18, 5), (5, 18), (7, 7)])
def test_orthogonalize_matches_published_iteration(shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    found = keras.ops.convert_to_numpy(orthogonalize(keras.ops.convert_to_tensor(matrix.astype("float32")), 5))
    np.testing.assert_allclose(found, newton_schulz(matrix, 5), rtol=1e-3, atol=1e-4)
    values = np.linalg.svd(found, compute_uv=False)
    assert 0.65 < values.min() <= values.max() < 1.25


@pytest.mark.parametrize(("others", "normalize"), [("sgd", True), ("adamw", False)])
def test_muon_matches_published_form(others, normalize):
    """As airbench94_muon: Nesterov momentum of the kernel as a matrix of filters, orthogonalized."""
    arguments = dict(momentum=0.6, newton_schulz_steps=3, normalize=normalize, others=others, others_rate=0.5)
    found = update(make_optimizer(recipe("convzoo.training.Muon", **arguments), 0.1), [numbers(1), numbers(2)])
    for name, weights in numbers(0).items():
        momentum, square = 0.0, 0.0
        for step, gradient in enumerate([numbers(1)[name], numbers(2)[name]], 1):
            if name == "kernel":
                momentum = 0.6 * momentum + gradient
                matrix = (gradient + 0.6 * momentum).reshape(18, 5)
                weights = weights * (5**0.5 / np.linalg.norm(weights)) if normalize else weights
                weights = weights - 0.1 * newton_schulz(matrix.T, 3).T.reshape(weights.shape)
            elif others == "sgd":
                momentum = 0.9 * momentum + gradient
                weights = weights - 0.05 * (gradient + 0.9 * momentum)
            else:
                momentum = 0.9 * momentum + 0.1 * gradient
                square = 0.999 * square + 0.001 * gradient**2
                mean, deviation = momentum / (1 - 0.9**step), np.sqrt(square / (1 - 0.999**step))
                weights = weights - 0.05 * mean / (deviation + 1e-7)
        np.testing.assert_allclose(found[name], weights, rtol=2e-3, atol=2e-4, err_msg=name)


@pytest.mark.parametrize(("filters", "scale"), [(72, 2.0), (18, 1.0)])
def test_muon_scales_update_of_wide_kernels(filters, scale):
    """√(72 / 18); the singular values of an update are near it, and near Liu's number with `rms_rate`."""
    gradient = np.random.default_rng(0).normal(size=(3, 3, 2, filters)).astype("float32")
    for rms_rate, expected in {None: scale, 0.2: 0.2 * filters**0.5}.items():
        row = recipe("convzoo.training.Muon", rms_rate=rms_rate, momentum=0.0)
        weights = update(make_optimizer(row, 1.0), [{"kernel": gradient}], {"kernel": np.zeros_like(gradient)})
        values = np.linalg.svd(weights["kernel"].reshape(18, filters), compute_uv=False)
        assert values.mean() == pytest.approx(expected, rel=0.25)


def test_muon_leaves_depthwise_kernels_to_the_others():
    gradient = {"kernel": np.random.default_rng(0).normal(size=(3, 3, 4, 1)).astype("float32")}
    row = recipe("convzoo.training.Muon", nesterov=False)
    weights = update(make_optimizer(row, 0.1), [gradient], {"kernel": np.zeros((3, 3, 4, 1), "float32")})
    np.testing.assert_allclose(weights["kernel"], -0.1 * gradient["kernel"], rtol=1e-5)


def test_schedule_free_matches_paper():
    """Algorithm 1 of Defazio 2024 with Adam's denominator and equal weights of the average."""
    optimizer = make_optimizer(recipe("ScheduleFreeAdamW", warmup_steps=2), 0.1)
    steps = [numbers(seed) for seed in range(1, 5)]
    found = update(optimizer, steps)
    averages = optimizer.evaluation_weights()
    for (name, start), average in zip(numbers(0).items(), averages, strict=True):
        z = x = start.astype("float64")
        square = 0.0
        for number, gradients in enumerate(steps, 1):
            square = 0.999 * square + 0.001 * gradients[name] ** 2
            rate = 0.1 * min(number / 2, 1)
            z = z - rate * gradients[name] / (np.sqrt(square / (1 - 0.999**number)) + 1e-8)
            x = x + (z - x) / number
        np.testing.assert_allclose(found[name], 0.1 * z + 0.9 * x, rtol=1e-3, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(average), x, rtol=1e-3, atol=1e-5, err_msg=name)


def test_evaluation_weights_are_moving_averages():
    optimizer = make_optimizer(recipe("SGD", use_ema=True, ema_momentum=0.8), 0.1)
    steps = [numbers(seed) for seed in range(1, 4)]
    update(optimizer, steps)
    for (name, weights), average in zip(numbers(0).items(), optimizer.evaluation_weights(), strict=True):
        mean = None
        for gradients in steps:
            weights = weights - 0.1 * gradients[name]
            mean = weights if mean is None else 0.8 * mean + 0.2 * weights
        np.testing.assert_allclose(keras.ops.convert_to_numpy(average), mean, rtol=1e-4, atol=1e-6)
    assert make_optimizer(recipe("SGD"), 0.1).evaluation_weights() is None


@pytest.mark.parametrize(("target", "period", "accumulated"), [("SGD", 3, None), ("AdamW", 5, None), ("SGD", 2, 2)])
def test_lookahead_moves_weights_of_any_optimizer(target, period, accumulated):
    """Plain steps, and by hand after each due update t of n: w ← w + 0.8 (t / n)³ (w̄ − w), w̄ ← w."""
    options = {"gradient_accumulation_steps": accumulated} if accumulated else {}
    batches = accumulated or 1
    updates = 12 // batches
    steps = [numbers(seed) for seed in range(1, 13)]
    row = recipe(target, **options, keys={"lookahead": {"rate": 0.8, "period": period}})
    found = update(make_optimizer(row, 0.01, steps=12), steps)
    plain = make_optimizer(recipe(target), 0.01)
    weights, slow = numbers(0), None
    variables = [keras.Variable(value, name=name) for name, value in weights.items()]
    plain.build(variables)
    for number in range(1, updates + 1):
        part = steps[(number - 1) * batches : number * batches]
        plain.apply([np.mean([each[name] for each in part], axis=0) for name in weights], variables)
        now = [keras.ops.convert_to_numpy(each) for each in variables]
        slow = slow or now
        if (updates - number) % period == period - 1:
            share = 0.8 * (number / updates) ** 3
            slow = [w + share * (s - w) for w, s in zip(now, slow, strict=True)]
            for variable, value in zip(variables, slow, strict=True):
                variable.assign(value)
    for name, variable in zip(weights, variables, strict=True):
        np.testing.assert_allclose(found[name], keras.ops.convert_to_numpy(variable), rtol=1e-4, atol=1e-6)


def test_schedule_counts_batches_of_accumulated_gradients():
    """The rate of an update is the schedule's at the last of its batches."""
    schedule = training.Linear(1.0, total_steps=8, steps_per_epoch=8)
    row = recipe("SGD", gradient_accumulation_steps=4)
    found = update(make_optimizer(row, schedule), 4 * [numbers(1)])
    np.testing.assert_allclose(found["bias"], numbers(0)["bias"] - (5 / 8) * numbers(1)["bias"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", sample(list(OPTIMIZERS)))
def test_train_step_runs_every_optimizer_with_all_options(target):
    """Compiled as a training compiles it: the paths of the variables are known in the trace."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((6, 6, 2))
    for layer in (keras.layers.Conv2D(4, 3), BatchNormalization(), keras.layers.Flatten(), keras.layers.Dense(3)):
        x = layer(x)
    model = keras.Model(inputs, x)
    lookahead = {} if target.endswith("FreeAdamW") else {"lookahead": {"rate": 0.5, "period": 2}}
    keys = {"rate_factors": {"beta": 2.0}, "decay_variables": ["kernel"], **lookahead}
    options = dict(weight_decay=0.01, use_ema=True, clipnorm=1.0, gradient_accumulation_steps=2)
    optimizer = make_optimizer(recipe(target, **options, keys=keys), training.Linear(0.01, 6, 3), steps=6)
    step = make_train_step(model, make_objective(model), optimizer)
    images = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")
    before = [weight.copy() for weight in model.get_weights()]
    losses = [step.train_on_batch(images, np.arange(8, dtype="int32") % 3)[0] for _ in range(4)]
    step.synchronize()
    assert np.isfinite(losses).all()
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert len(optimizer.evaluation_weights()) == len(model.trainable_variables)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"_target_": "keras.optimizers.AdamV"}, "`recipe.optimizer._target_=keras.optimizers.AdamV`.*did you mean"),
        ({"_target_": "AdamW"}, "did you mean keras.optimizers.AdamW"),
        ({"_target_": "os.system"}, "there are: keras.optimizers.Adadelta"),
        ({"_target_": "keras.optimizers.LossScaleOptimizer"}, "there is no such class here"),
        ({"_target_": "keras.optimizers.SGD", "momentun": 1}, "`recipe.optimizer.momentun`.*did you mean momentum"),
        ({"_target_": "keras.optimizers.SGD", "name": "x"}, "`recipe.optimizer.name`: SGD has no such argument"),
        ({"_target_": "keras.optimizers.SGD", "lookahead": {}}, "`recipe.optimizer.lookahead`"),
        ({"_target_": "keras.optimizers.SGD", "momentum": 1.5}, "`recipe.optimizer.momentum` must be a number from 0"),
        ({"_target_": "keras.optimizers.SGD", "nesterov": 1}, "`recipe.optimizer.nesterov` must be true or false"),
        ({"_target_": "keras.optimizers.SGD", "weight_decay": {"a": 1}}, "`recipe.optimizer.weight_decay` must be a"),
        ({"_target_": "keras.optimizers.SGD", "clipnorm": -1.0}, "`recipe.optimizer.clipnorm` must be a number above"),
        ({"_target_": "keras.optimizers.SGD", "clipnorm": 1, "clipvalue": 1}, "Only one of `clipnorm`"),
        ({"_target_": "keras.optimizers.SGD", "gradient_accumulation_steps": 1}, "must be an integer >= 2"),
        ({"_target_": "convzoo.training.Muon", "others": "adam"}, "`recipe.optimizer.others`: `others` must be sgd or"),
        ({"momentum": 0.9}, "`recipe.optimizer` must be a mapping with `_target_`"),
    ],
)
def test_check_optimizer_names_the_key(row, words):
    with pytest.raises(UserError, match=words) as error:
        check_optimizer({"optimizer": row})
    assert "\n" not in str(error.value)


def test_check_optimizer_refuses_lookahead_of_schedule_free():
    with pytest.raises(UserError, match=r"`recipe.lookahead`"):
        check_optimizer(recipe("ScheduleFreeAdamW", keys={"lookahead": {"rate": 0.5, "period": 5}}))


def test_own_optimizers_are_read_from_their_config():
    for optimizer in (training.L2SGD(0.1, l2=0.5, decay_variables=["gamma"]), training.Muon(0.1, others="adamw")):
        config = keras.optimizers.serialize(optimizer)
        again = keras.optimizers.deserialize(config)
        assert type(again) is type(optimizer)
        assert again.get_config() == optimizer.get_config()
