"""Pictures as matplotlib figures that need no screen."""

from .answers import confusion_matrix, mistakes, reliability, said
from .curves import learning_curves
from .inside import feature_maps, filters, receptive_fields
from .plan import network, show
from .shifts import accuracy_under_shift, equivariance

__all__ = [
    "accuracy_under_shift",
    "confusion_matrix",
    "equivariance",
    "feature_maps",
    "filters",
    "learning_curves",
    "mistakes",
    "network",
    "receptive_fields",
    "reliability",
    "said",
    "show",
]
