"""A network drawn: what is in the picture, read off the figure."""

from matplotlib.patches import Rectangle

from convzoo.analysis.pictures import network
from convzoo.models import plan


def test_boxes_are_as_tall_as_the_maps_and_named():
    axes = network(plan("lenet")).axes[0]
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    heights = [round(32 * box.get_height(), 6) for box in boxes]
    assert heights[:5] == [32, 28, 14, 10, 5]  # the image, conv1, pool1, conv2, pool2
    widths = [box.get_width() for box in boxes]
    assert widths[0] < widths[1] < widths[3]  # 1, 6 and 16 channels
    texts = [text.get_text() for text in axes.texts]
    assert "28×28×6" in texts
    assert "pool2\nsees 16×16" in texts  # LeNet's second pool sees 16×16 pixels
    assert "61,706 parameters" in axes.get_title()
