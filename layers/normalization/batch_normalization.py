import keras
from keras import ops

from .. import backend_ops


@keras.saving.register_keras_serializable(package="convzoo")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's `BatchNormalization`, by the backend's fused operation where it has one.

    The same arguments, weights and values. Keras composes it of a dozen passes over the images; TensorFlow and torch
    have one operation for all of them and one for the way back, which a convolutional network of bfloat16 feels:
    on two cores All-CNN-C with BatchNorm trains a third faster. Images whose channels are not last, a mask, `renorm`,
    `synchronized` and JAX, which fuses by itself, go Keras's way.

    Args:
        axis, momentum, epsilon, center, scale, …: as in `keras.layers.BatchNormalization`.

    Input shape:
        Any.

    Output shape:
        As the input's.

    Reference:
        Ioffe and Szegedy, Batch normalization: accelerating deep network training by reducing internal covariate
        shift, 2015 (arXiv 1502.03167).
    """

    def call(self, inputs, training=None, mask=None):
        images = len(inputs.shape) == 4 and self.axis in (-1, 3) and mask is None
        if (
            not images
            or self.renorm
            or self.synchronized
            or not backend_ops.has_fused_batch_normalization(inputs, self.epsilon)
        ):
            return super().call(inputs, training=training, mask=mask)
        scale = self.gamma if self.scale else ops.ones_like(self.moving_mean)
        offset = self.beta if self.center else ops.zeros_like(self.moving_mean)
        if not (training and self.trainable):
            statistics = self.moving_mean, self.moving_variance
            return backend_ops.batch_normalization(inputs, scale, offset, self.epsilon, statistics)
        outputs, mean, variance = backend_ops.batch_normalization(inputs, scale, offset, self.epsilon)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + ops.cast(value, moving.dtype) * (1.0 - self.momentum))
        return outputs
