"""Sets that the real TFDS prepares from made images."""

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered


def prepare_noise(
    directory, name, splits, classes=3, shape=(8, 8, 3), sizes=(8, 8), dtype=np.uint8, keys=("image", "label")
):
    """Lets the real TFDS prepare a set of noise, and returns the images and labels of each split.

    Args:
        splits: mapping from split to its number of images.
        classes: their number, or their names.
        shape: of the feature, None where it varies.
        sizes: (least, greatest) number of pixels of a side, where it varies.
        keys: the supervised keys.

    Images of a split whose name starts with "unlabelled" get TFDS's -1 for no label.
    """
    rng = np.random.default_rng(0)
    class_count = classes if isinstance(classes, int) else len(classes)
    named = {"num_classes": classes} if isinstance(classes, int) else {"names": classes}

    def examples(split, count):
        for i in range(count):
            drawn = rng.integers(sizes[0], sizes[1], 2, endpoint=True)
            height, width = (size or other for size, other in zip(shape, drawn, strict=False))
            yield {
                "image": rng.integers(0, 256, (height, width, shape[2])).astype(dtype),
                "label": -1 if split.startswith("unlabelled") else i % class_count,
            }

    written = {split: list(examples(split, count)) for split, count in splits.items()}

    with registered.skip_registration():

        class Noise(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")
            __module__ = __name__

            def _info(self):
                image = tfds.features.Image(shape=shape, dtype=dtype, encoding_format="png")
                features = tfds.features.FeaturesDict({"image": image, "label": tfds.features.ClassLabel(**named)})
                return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=keys)

            def _split_generators(self, manager):
                return {split: ((i, each) for i, each in enumerate(written[split])) for split in splits}

            def _generate_examples(self):
                raise NotImplementedError

    Noise.name = name
    Noise(data_dir=directory).download_and_prepare()
    return written
