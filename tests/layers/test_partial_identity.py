import keras
import numpy as np
import pytest

from convzoo.layers import Conv2D, PartialIdentity

IMAGES = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype("float32")


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("filters", [2, 3, 8])
@pytest.mark.parametrize("kernel_size", [3, (5, 1)])
def test_the_first_filters_pass_their_channels_on(filters, kernel_size):
    layer = Conv2D(filters, kernel_size, padding="half", kernel_initializer="identity")
    passed = min(filters, 3)
    np.testing.assert_allclose(numbers(layer(IMAGES))[..., :passed], IMAGES[..., :passed], atol=1e-6)


def test_the_rest_begin_as_torch_s_do():
    """Uniform in ±1/√fan_in: a variance of a third of the bound's square."""
    kernel = numbers(PartialIdentity(seed=1)((3, 3, 16, 400)))[..., 16:]
    bound = 1 / np.sqrt(3 * 3 * 16)
    assert bound * 0.99 < np.abs(kernel).max() <= bound
    assert kernel.var() == pytest.approx(bound**2 / 3, rel=0.02)
    assert abs(kernel.mean()) < 0.01 * bound


def test_config():
    config = keras.saving.serialize_keras_object(PartialIdentity(seed=3))
    copy = keras.saving.deserialize_keras_object(config)
    np.testing.assert_array_equal(numbers(copy((3, 3, 2, 9))), numbers(PartialIdentity(seed=3)((3, 3, 2, 9))))
    layer = Conv2D.from_config(Conv2D(4, 3, kernel_initializer="identity").get_config())
    assert isinstance(layer.kernel_initializer, PartialIdentity)


def test_what_cannot_pass_on():
    with pytest.raises(ValueError, match=r"height, width, channels, filters.*shape=\(3, 4\)"):
        PartialIdentity()((3, 4))
    with pytest.raises(ValueError, match=r"`groups` must be 1.*groups=2"):
        Conv2D(4, 3, groups=2, kernel_initializer="identity")
