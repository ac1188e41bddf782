"""Plots as matplotlib figures, which need no screen."""

from .feature_maps import plot_feature_maps, plot_filters, plot_receptive_fields
from .learning_curves import plot_learning_curves
from .predictions import Mistakes, plot_confusion_matrix, plot_mistakes, plot_prediction, plot_reliability
from .previews import plot_batch, plot_learning_rates
from .saving import save_figure
from .shifts import plot_accuracy_by_shift, plot_equivariance
from .summary import plot_network, show_plan

__all__ = [
    "Mistakes",
    "plot_accuracy_by_shift",
    "plot_batch",
    "plot_confusion_matrix",
    "plot_equivariance",
    "plot_feature_maps",
    "plot_filters",
    "plot_learning_curves",
    "plot_learning_rates",
    "plot_mistakes",
    "plot_network",
    "plot_prediction",
    "plot_receptive_fields",
    "plot_reliability",
    "save_figure",
    "show_plan",
]
