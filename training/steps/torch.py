"""Training step on torch."""

from collections.abc import Iterator
from typing import Any

import torch

from .base import TrainStep


class TorchStep(TrainStep):
    """Trains on one batch after the other, not compiled."""

    def _train(self, images: Any, labels: Any) -> Iterator[tuple[Any, Any]]:
        variables = self.model.trainable_variables
        for x, y in zip(images, labels, strict=True):
            model = self.model_for(x.shape[1:])
            outputs = model(self.model_inputs(x, y), training=True)
            loss, accuracy = self.compute_loss(x, y, outputs, model.losses)
            self.model.zero_grad()
            loss.backward()
            is_finite = torch.isfinite(loss)
            if is_finite:
                with torch.no_grad():
                    self.optimizer.apply([variable.value.grad for variable in variables], variables)
            yield loss.detach(), accuracy
            if not is_finite:
                return
