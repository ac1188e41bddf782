"""Evaluate a recorded run, classify an image, or report a study: `python evaluate.py run=latest`, `… study=NAME`."""

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from convzoo.cli import command
from convzoo.experiments import evaluator
from convzoo.settings import evaluation
from convzoo.settings.schema import parse_settings


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
@command.job
def main(config: DictConfig) -> None:
    """Evaluate by the settings that Hydra composed."""
    settings = parse_settings(evaluation.EvaluateSettings, OmegaConf.to_container(config, resolve=True))
    evaluator.evaluate(settings, list(HydraConfig.get().overrides.task))


def run_command() -> None:
    """Run this file as a command; `convzoo-evaluate` calls it."""
    command.run(main, "evaluate")


if __name__ == "__main__":
    run_command()
