"""Trains a network of the zoo, tests it once and records the run in MLflow: `python train.py model=allconv`."""

import contextlib

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from convzoo.configs import command, study_file


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
@command.job
def main(config):
    sweep, failures = HydraConfig.get().mode == RunMode.MULTIRUN, contextlib.nullcontext()
    if sweep and not config.plan and config.study != study_file.EVERYDAY:
        from convzoo.tracking import study

        if said := study_file.read(config.study, [each.path for each in HydraConfig.get().runtime.config_sources]):
            study.say(config.tracking.uri, config.study, said)
        failures = study.keeping_failures(config.tracking.uri, config.study, HydraConfig.get().overrides.task)
    with failures:
        outcome = prepare(config)
    if outcome:
        from convzoo.tracking.run import how_to_open

        outcome["see"] = how_to_open(config.tracking.uri, outcome["experiment"], None if sweep else outcome["run"])
        if not sweep:
            print(f"\nto see the run: {outcome['see']}")
    return outcome


def prepare(config):
    # Imports stand where they are needed: `--help` answers before TensorFlow would have been read.
    from convzoo import data
    from convzoo.training import backend, recipe

    config.data.update(data.found(config.data))
    settings = OmegaConf.to_container(config, resolve=True)
    data.check(settings.get("data"))
    settings = recipe.resolve(settings)
    if not config.plan:
        data.look(settings["data"])
    precision = backend.start(config.precision)

    from convzoo.analysis import pictures
    from convzoo.models import targets, zoo
    from convzoo.tracking.run import check_store
    from convzoo.training import preprocess

    targets.allow(settings["allow"], HydraConfig.get().overrides.task)
    rows = zoo.rows(config)
    loss, heads = zoo.loss_and_heads(config)
    preprocess.check(settings["recipe"]["preprocess"], rows)
    plan = zoo.plan_rows(rows, tuple(config.data.image_shape), config.data.classes, config.model.name)
    if config.plan:
        return pictures.show(plan, config.plan)
    check_store(config.tracking.uri)

    network = {"rows": rows, "loss": loss, "heads": heads}
    return train(settings, network, zoo.describe(config), plan, data.load(settings["data"]), precision)


def train(settings, network, axes, plan, data, precision):
    import keras

    from convzoo.analysis import evaluation, pictures
    from convzoo.data.stream import Batches
    from convzoo.models import assemble, objective
    from convzoo.tracking import study
    from convzoo.tracking.record import record
    from convzoo.tracking.run import Run, run_name
    from convzoo.training import fit, preprocess, signals

    recipe, typed = settings["recipe"], HydraConfig.get().overrides.task
    name = run_name(plan.name, settings["seed"], typed)
    params, tags = record(settings, network, axes, plan, data.digest, precision, keras.backend.backend(), typed)
    if done := study.reusable(settings["tracking"]["uri"], settings["study"], tags["identity"], settings["rerun"]):
        print(f"{name}: done before, {done}")
        return {"name": name, "val_accuracy": done.metrics.get("val_accuracy"), "found": True} | made(done)
    print(f"{name}: {plan.params:,} parameters, {plan.macs:,} MACs an image, {precision}\n{data.source}")
    print(*plan.notes, sep="\n", end="\n" if plan.notes else "")

    keras.utils.set_random_seed(settings["seed"])
    front = preprocess.fit_front(recipe["preprocess"], data.train.x)
    classes = len(data.class_names)
    model = assemble.assemble(network["rows"], data.train.x.shape[1:], classes, plan.name, front, dtype="uint8")
    preprocess.fit_rows(model, network["rows"], data.train.x)
    goal = objective.make(model, network["loss"], network["heads"])
    augmentation = {key: recipe[key] for key in ("flip", "shift", "fill")}
    batches = Batches(data.train, settings["batch_size"], settings["seed"], **augmentation)
    history = []
    with (
        signals.interrupting() as interrupts,
        Run(settings["tracking"]["uri"], settings["study"], name, params, tags) as run,
    ):
        run.text(OmegaConf.to_yaml(settings), "config.yaml")
        run.text(OmegaConf.to_yaml(network), "rows.yaml")
        run.text(f"{plan}\n", "plan.txt")
        for part in ("train", "validation", "test"):
            run.dataset(data, part)

        def on_epoch(epoch, metrics):
            history.append(metrics)
            run.metrics(metrics, epoch)

        fit.fit(
            model,
            batches,
            data.validation,
            recipe,
            learning_rate=settings["learning_rate"],
            epochs=settings["epochs"],
            objective=goal,
            select=settings["select"],
            on_step=interrupts.check,
            on_epoch=on_epoch,
        )
        test = evaluation.evaluate(fit.scores(model, data.test.x), data.test.y)
        run.metrics({f"test_{metric}": value for metric, value in test.metrics.items()}, settings["epochs"])
        run.figure(pictures.learning_curves(history, name), "learning_curves.png")
        run.save_model(model)
    print(test)
    return {"name": name, "val_accuracy": history[-1].get("val_accuracy"), "found": False} | made(run)


def made(run):
    return {"run": run.id, "experiment": run.experiment_id}


if __name__ == "__main__":
    command.run(main, "train")
