"""Weight decay and schedules, against torch and against curves worked out by hand."""

import keras
import numpy as np
import pytest

from convzoo.training.optimizer import L2SGD, make_optimizer, make_schedule

RECIPE = dict(momentum=0.9, nesterov=False, weight_decay=0.01, warmup=0.0, boundaries=[], schedule="constant")


@pytest.mark.parametrize("nesterov", [False, True])
def test_weight_decay_is_torch_s_on_kernels_and_leaves_biases(nesterov):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = {"kernel": rng.normal(size=(4, 3)), "bias": rng.normal(size=3)}
    start = {name: value.astype("float32") for name, value in start.items()}
    gradients = [
        {name: rng.normal(size=value.shape).astype("float32") for name, value in start.items()} for _ in range(3)
    ]

    ours = {name: keras.Variable(value, name=name) for name, value in start.items()}
    optimizer = L2SGD(0.1, momentum=0.9, nesterov=nesterov, l2=0.01)
    theirs = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in start.items()}
    groups = [
        {"params": [theirs["kernel"]], "weight_decay": 0.01},
        {"params": [theirs["bias"]], "weight_decay": 0.0},
    ]
    reference = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=nesterov)
    for step in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(step[name]) for name in ours], list(ours.values()))
        for name, parameter in theirs.items():
            parameter.grad = torch.tensor(step[name])
        reference.step()
    for name, variable in ours.items():
        expected = theirs[name].detach().numpy()
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), expected, rtol=1e-5, atol=1e-6)


def test_a_recipe_s_weight_decay_reaches_the_optimizer():
    optimizer = make_optimizer(RECIPE | {"nesterov": True}, 0.1)
    assert (optimizer.l2, optimizer.momentum, optimizer.nesterov) == (0.01, 0.9, True)
    assert optimizer.weight_decay is None
    assert make_optimizer(RECIPE | {"lookahead": 0.8}, 0.1, 12).lookahead == 0.8


def rates(**changes):
    schedule = make_schedule(RECIPE | changes, 0.5, 4, 10)
    return [float(schedule(step)) for step in range(41)]


def test_constant():
    assert rates() == [0.5] * 41


def test_steps_divide_by_ten_after_their_epochs():
    found = rates(schedule="steps", boundaries=[1, 3])
    assert found[:10] == pytest.approx([0.5] * 10)
    assert found[10:30] == pytest.approx([0.05] * 20)
    assert found[30:] == pytest.approx([0.005] * 11)


def test_cosine_rises_to_the_rate_and_falls_to_zero():
    found = rates(schedule="cosine", warmup=0.25)
    assert found[0] == 0
    assert found[5] == pytest.approx(0.25)
    assert max(found) == found[10] == pytest.approx(0.5)
    assert found[25] == pytest.approx(0.25)  # half a cosine is at half height in its middle
    assert found[40] == pytest.approx(0, abs=1e-7)


def test_a_whole_number_is_a_rate_too():
    """Keras takes the dtype of its constants from the rate: an integer would make π three."""
    whole = make_schedule(RECIPE | {"schedule": "cosine"}, 1, 4, 10)
    assert [float(whole(step)) for step in (20, 40)] == pytest.approx([0.5, 0], abs=1e-6)


def test_cosine_without_warmup_starts_at_the_rate():
    found = rates(schedule="cosine")
    assert found[0] == pytest.approx(0.5)
    assert found[20] == pytest.approx(0.25)


def test_triangle_is_the_one_of_airbench94():
    """As its code draws it: np.interp(steps, [0, int(0.23 * total), total], [0.2, 1, 0.07])."""
    found = rates(schedule="triangle", warmup=0.23)
    assert found == pytest.approx((0.5 * np.interp(np.arange(41), [0, 9, 40], [0.2, 1, 0.07])).tolist())


def test_the_biases_of_normalizations_may_have_a_rate_of_their_own():
    """Two steps of torch's SGD with a group of parameters at 64 times the rate."""
    torch = pytest.importorskip("torch")
    optimizer = make_optimizer(RECIPE | {"bias_rate": 64.0, "weight_decay": 0.0}, 0.01)
    ours = {name: keras.Variable(np.ones(3, "float32"), name=name) for name in ("kernel", "bias", "beta", "gamma")}
    theirs = {name: torch.nn.Parameter(torch.ones(3)) for name in ours}
    groups = [{"params": [value], "lr": 0.64 if name == "beta" else 0.01} for name, value in theirs.items()]
    reference = torch.optim.SGD(groups, momentum=0.9)
    for step in range(2):
        gradients = [np.full(3, 0.1 * (step + 1) * (n + 1), "float32") for n in range(4)]
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], list(ours.values()))
        for parameter, gradient in zip(theirs.values(), gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        reference.step()
    for name, value in ours.items():
        found = keras.ops.convert_to_numpy(value)
        np.testing.assert_allclose(found, theirs[name].detach().numpy(), rtol=1e-5, err_msg=name)


def test_inverse_is_caffe_s_inv():
    """Caffe's documentation: base_lr · (1 + gamma · iter)^−power; LeNet's solver has 0.0001 and 0.75."""
    schedule = make_schedule(RECIPE | {"schedule": "inverse"}, 0.01, 1, 10_000)
    assert float(schedule(0)) == pytest.approx(0.01)
    assert float(schedule(10_000)) == pytest.approx(0.01 * 2**-0.75, rel=1e-5)
