"""Train a network, test it once, and record the run in MLflow: `python train.py model=allconv`."""

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from convzoo.cli import command
from convzoo.experiments.run_result import RunResult
from convzoo.settings.composition import ComposedRun


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
@command.job
def main(config: DictConfig) -> RunResult:
    """Train by the settings that Hydra composed."""
    from convzoo.experiments import launchers, runner

    hydra_config = HydraConfig.get()
    composed = ComposedRun.from_hydra(config, hydra_config)
    result = runner.run_composed(composed, is_watched=launchers.runs_in_process(hydra_config))
    if result.run_id and hydra_config.mode != RunMode.MULTIRUN:
        from convzoo.tracking.addresses import how_to_open

        print(f"\nView run: {how_to_open(result.tracking_uri, result.experiment_id, result.run_id)}")
    return result


def run_command() -> None:
    """Run this file as a command; `convzoo-train` calls it."""
    command.run(main, "train")


if __name__ == "__main__":
    run_command()
