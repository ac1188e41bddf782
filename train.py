"""Trains a network of the zoo, tests it once and records the run in MLflow: `python train.py model=allconv`."""

from functools import partial

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from convzoo.configs import command


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
@command.job
def main(config):
    outcome = prepare(config)
    if outcome and outcome["run"] and HydraConfig.get().mode != RunMode.MULTIRUN:
        from convzoo.tracking.store import how_to_open

        print(f"\nto see the run: {how_to_open(config.tracking.uri, outcome['experiment'], outcome['run'])}")
    return outcome


def prepare(config):
    # Imports stand where they are needed: `--help` answers before TensorFlow would have been read.
    from convzoo import data
    from convzoo.studies import launchers
    from convzoo.training import backend, recipe

    config.data.update(data.found(config.data))
    settings = OmegaConf.to_container(config, resolve=True)
    data.check(settings.get("data"))
    settings = recipe.resolve(settings)
    if not config.plan:
        data.look(settings["data"])
    backend.start(config.precision, launchers.cores(config.launcher))

    from convzoo.analysis import pictures
    from convzoo.models import targets, zoo
    from convzoo.tracking import delivery
    from convzoo.training import preprocess

    targets.allow(settings["allow"], HydraConfig.get().overrides.task)
    precision = backend.choose(config.precision, zoo.rows(config))
    network, plan = zoo.network(config)
    preprocess.check(settings["recipe"], network)
    if config.plan:
        return pictures.show(plan, config.plan)
    delivery.settle(config.tracking.uri)
    return train(settings, network, zoo.describe(config), plan, data.load(settings["data"]), precision)


def train(settings, network, axes, plan, data, precision):
    import keras

    from convzoo.analysis import pictures, views
    from convzoo.data.stream import Batches
    from convzoo.studies import files
    from convzoo.tracking import result, study
    from convzoo.tracking.record import record
    from convzoo.tracking.run import Run, run_name
    from convzoo.training import checkpoint, compiled, fit, preprocess, signals

    recipe, uri, name_of_study = settings["recipe"], settings["tracking"]["uri"], settings["study"]
    name = run_name(plan.name, settings["seed"], files.telling(HydraConfig.get(), name_of_study))
    typed = HydraConfig.get().overrides.task
    params, tags = record(settings, network, axes, plan, data.digest, precision, keras.backend.backend(), typed)
    with signals.interrupting() as interrupts, checkpoint.of(settings, study.key(tags["identity"])) as checkpoints:
        kept, again = settings["tracking"]["artifacts"], settings["rerun"]
        if done := study.reusable(uri, name_of_study, tags["identity"], again, kept, checkpoints.trained):
            checkpoints.remove()
            print(f"{name}: done before, {done}")
            return {"found": True, "val_accuracy": result.val_accuracy(done.metrics), **study.place(done)}
        print(f"{name}: {plan.params:,} parameters, {plan.macs:,} MACs an image, {precision}\n{data.source}")
        print(*plan.notes, sep="\n", end="\n" if plan.notes else "")

        def fresh():
            keras.utils.set_random_seed(settings["seed"])
            return preprocess.fitted(network, plan.name, recipe, data.train.x, len(data.class_names))

        ready = compiled.of(compiled.key(tags["cell"], plan.name, network, settings["allow"]), fresh)
        augmentation = {key: recipe[key] for key in ("flip", "shift", "fill")}
        with Run(uri, name_of_study, name, params, tags, checkpoints.begun, again, interrupts.check) as run:
            run.text(OmegaConf.to_yaml(settings), "config.yaml")
            run.text(OmegaConf.to_yaml(network), "rows.yaml")
            run.text(f"{plan}\n", "plan.txt")
            for part in ("train", "validation", "test"):
                run.dataset(data, part)
            history = fit.fit(
                ready,
                Batches(data.train, settings["batch_size"], settings["seed"], **augmentation),
                data.validation,
                recipe,
                learning_rate=settings["learning_rate"],
                epochs=settings["epochs"],
                select=settings["select"],
                checkpoints=checkpoints,
                on_step=lambda: (interrupts.check(), run.check()),
                on_epoch=run.epoch,
            )
            looking = partial(ready.scores, on_batch=interrupts.check)
            test, beside = views.measured(looking, data.test, settings["test_shift"], settings["test_flip"])
            found = {f"test_{metric}": value for metric, value in {**test.metrics, **beside}.items()}
            in_all = fit.in_all(history, settings["select"])
            run.metrics({**found, **in_all}, settings["epochs"])
            if kept == "full":
                run.figure(pictures.learning_curves(history, name), "learning_curves.png")
                run.save_model(ready.model)
            interrupts.check()
        checkpoints.remove()
    print(test, *views.told(beside), sep="\n")
    return {"found": False, "val_accuracy": result.val_accuracy({**history[-1], **in_all}), **study.place(run)}


if __name__ == "__main__":
    command.run(main, "train")
