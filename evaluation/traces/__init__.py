"""Each output value of a layer, with the cells, weights and terms that it is computed from."""

from .steps import MAX_STEPS, Part, Step, Trace
from .tracing import has_trace, trace_layer

__all__ = ["MAX_STEPS", "Part", "Step", "Trace", "has_trace", "trace_layer"]
