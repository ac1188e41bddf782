"""The training of one run whose settings are checked: reuse a recorded one, or train, test and record it."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from ..settings import study_file
from ..settings.composition import ComposedRun
from ..settings.text import without_interpolations
from . import study_page
from .batch_size import AUTO, check_batch_fits, choose_batch_size
from .run_result import RunResult, Status

if TYPE_CHECKING:
    import numpy as np

    from ..data import Dataset
    from ..data.batches import Batches
    from ..models.planning import Plan
    from ..models.weights import NamedWeights
    from ..tracking.identity import RunIdentity
    from ..training.compiled import CompiledModelCache
    from ..training.finetuning import FineTuning

# Imports of MLflow, matplotlib and the backend stand in functions: a mistake in a setting is refused without them.


@cache
def _compiled_models() -> CompiledModelCache:
    """Return the cache of compiled models of this process."""
    from ..training.compiled import CompiledModelCache

    gc.freeze()  # a collection need not go through the modules, which now include MLflow
    return CompiledModelCache()


@dataclass
class TrainingRun:
    """A training whose settings, network and data are checked and loaded.

    Attributes:
        composed: the settings as they were composed.
        settings: the checked settings, as plain data.
        network: its `rows`, `loss` and `heads`.
        axes: values of the axes, as plain numbers and words.
        plan: of the network.
        data: the images.
        precision: the dtype policy.
        weights: those that the network starts from, or None.
    """

    composed: ComposedRun
    settings: dict[str, Any]
    network: dict[str, Any]
    axes: dict[str, Any]
    plan: Plan
    data: Dataset
    precision: str
    weights: NamedWeights | None = None
    _new_layers: tuple[str, ...] = field(default=(), init=False)  # those that `weights` did not fill

    def preview(self) -> RunResult:
        """Draw a batch, or the loss at rising learning rates, as the settings ask for; nothing is recorded."""
        from ..training.compiled import CompiledModel
        from . import previews

        settings = self.settings
        if settings["batch_size"] == AUTO:
            self._choose_batch_size()
        batches = self._make_batches()
        if settings["show_batch"]:
            previews.save_batch(batches, self.data, settings["show_batch"])
        if path := settings["lr_range"]:
            model = CompiledModel(*self._build_model())
            tuning = self._plan_finetuning(model.model)
            previews.find_learning_rate(model, batches, settings, "lr_range.png" if path is True else path, tuning)
        return RunResult(Status.PLANNED, self.plan.name)

    def run(self) -> RunResult:
        """Reuse the recorded run, or train."""
        from ..settings.text import printable
        from ..tracking import environment, study_runs
        from ..tracking.run_names import name_tags, run_name
        from ..training import backend, checkpoint, signals

        settings, study = self.settings, self.settings["study"]
        distinguishing = study_file.distinguishing_overrides(
            list(self.composed.overrides), study, self.composed.config_folders
        )
        name = run_name(self.plan.name, settings["seed"], distinguishing)
        device = backend.describe_device()
        more_tags = environment.environment_tags(settings["allow"]) | device
        more_tags |= name_tags(self.plan.name, distinguishing)
        if settings["batch_size"] == AUTO:
            self._choose_batch_size(more_tags)
        identity = self._identify()
        tags = identity.tags | more_tags
        origin = environment.origin_tags(tags)
        key = study_runs.checkpoint_key(tags["identity"], origin)
        with (
            signals.defer_interrupts() as interrupts,
            checkpoint.Checkpoints.from_config(settings, key, device) as checkpoints,
        ):
            policy = study_runs.ReusePolicy(
                settings["tracking"]["artifacts"], settings["rerun"], checkpoints.has_final_checkpoint, origin
            )
            reusable, reason = study_runs.find_reusable(settings["tracking"]["uri"], study, tags["identity"], policy)
            if reason:
                print(reason)
            if reusable:
                checkpoints.remove()
                print(printable(f"{name}: done before, {reusable}"))
                return self._result(Status.REUSED, reusable, reusable.metrics, ())
            checkpoints.check_device()
            check_batch_fits(self.plan, settings, len(self.data.train))
            others = checkpoints.list_other_origins(identity.former_identity)
            for folder in [] if checkpoints.has_partial_run else others:
                print(
                    f"{folder} holds a checkpoint of this run, made by other code or other versions. This training "
                    "starts over. To resume that one, press Ctrl-C, restore that code and those versions, and run the "
                    "same command"
                )
            return self._train(name, identity.params, tags, interrupts, checkpoints)

    def _identify(self, batch_size: int | None = None) -> RunIdentity:
        """Return the identity of the run, with another batch size if one is given."""
        import keras

        from ..tracking.identity import RunIdentity

        return RunIdentity(
            self.settings if batch_size is None else {**self.settings, "batch_size": batch_size},
            self.network,
            self.axes,
            self.plan,
            self.data.digest,
            self.precision,
            keras.backend.backend(),
            list(self.composed.overrides),
            self.weights.identity if self.weights else None,
        )

    def _choose_batch_size(self, tags: Mapping[str, str] | None = None) -> None:
        """Put the batch size that `batch_size=auto` stands for into the settings, and print it.

        Args:
            tags: of the run but those of its identity. Then it is the batch size of an interrupted run of the same
                settings, or of a finished one that differs at most in its seed, if there is one.
        """
        from ..tracking import environment, study_runs
        from ..training import checkpoint

        settings = self.settings

        def is_used(batch_size: int) -> bool:
            if tags is None:
                return False
            run_tags = {**self._identify(batch_size).tags, **tags}
            key = study_runs.checkpoint_key(run_tags["identity"], environment.origin_tags(run_tags))
            return checkpoint.can_resume(settings, key) or study_runs.has_finished_cell(
                settings["tracking"]["uri"], settings["study"], run_tags["cell"]
            )

        settings["batch_size"], reason = choose_batch_size(self.plan, settings, len(self.data.train), is_used)
        print(f"batch_size=auto: {settings['batch_size']}, {reason}")

    def _train(self, name: str, params: dict, tags: dict, interrupts: Any, checkpoints: Any) -> RunResult:
        from ..settings.text import printable, printable_lines
        from ..tracking import results
        from ..tracking.run import Run, RunSpec
        from ..training import learning_check, trainer

        settings, data, plan = self.settings, self.data, self.plan
        recipe = settings["recipe"]
        print(printable(f"{name}: {plan.params:,} parameters, {plan.macs:,} MACs an image, {self.precision}"))
        print(printable(data.source), printable_lines(data.summary), sep="\n")
        print(*plan.notes, sep="\n", end="\n" if plan.notes else "")
        model = self._compile(tags["cell"])
        tuning = self._plan_finetuning(model.model)
        batches = self._make_batches()
        learning = trainer.make_learning_check(model, batches, data.validation, settings)
        learning_check.warn_if_short(learning.length)
        spec = RunSpec(
            settings["tracking"]["uri"],
            settings["study"],
            name,
            params,
            tags,
            checkpoints.has_partial_run,
            settings["rerun"],
        )
        with Run.start(spec, poll=interrupts.check) as run:
            self._record_inputs(run)
            trainer_settings = trainer.TrainerSettings(
                recipe, settings["learning_rate"], settings["epochs"], settings["select"], tuning
            )

            def check() -> None:
                interrupts.check()
                run.check()

            callbacks = trainer.TrainerCallbacks(check, run.log_epoch, checkpoints, learning, self._compute_metrics)
            history = trainer.Trainer(model, batches, data.validation, trainer_settings, callbacks).fit()
            metrics, report = self._test(model, history, interrupts)
            run.log_metrics(metrics, len(history))
            if learning.reason:
                run.set_tag(results.NOT_LEARNING_TAG, learning.reason)
            if settings["tracking"]["artifacts"] == "full":
                self._record_outputs(run, model, history, name)
            interrupts.check()
        checkpoints.remove()
        print(*report, sep="\n")
        study_page.update_page(settings["tracking"]["uri"], settings["study"])
        return self._result(Status.FINISHED, run, {**history[-1], **metrics}, tuple(history))

    def _compile(self, cell: str) -> Any:
        """Build the network and its training step, or take those of the run before, if it differs only in its seed."""
        from ..training import compiled

        if self.weights is not None:  # the step of its last epochs is not that of its first
            return _compiled_models().get_or_build(None, self._build_model)
        key = compiled.cache_key(cell, self.plan.name, self.network, self.settings["allow"])
        return _compiled_models().get_or_build(key, self._build_model)

    def _plan_finetuning(self, model: Any) -> FineTuning | None:
        """Choose the layers that are trained, if the network starts from weights, and print a line."""
        from ..training.finetuning import FineTuning

        if self.weights is None:
            return None
        tuning = FineTuning.plan(model, self.settings, self._new_layers)
        print(tuning.describe(model))
        return tuning

    def _build_model(self) -> Any:
        """Return the network behind its preprocessing, with the weights of seed and source, and its objective."""
        import keras

        from ..models.weights import load_weights
        from ..training import preprocess

        settings = self.settings
        keras.utils.set_random_seed(settings["seed"])
        model, goal = preprocess.build_training_model(
            self.network, self.plan.name, settings["recipe"], self.data.train.x, len(self.data.class_names)
        )
        if self.weights is not None:
            report = load_weights(model, self.weights, new_head=settings["new_head"])
            self._new_layers = report.new_layers
            print(*(f"weights: {line}" for line in report.lines), sep="\n", end="\n" if report.lines else "")
        return model, goal

    def _make_batches(self) -> Batches:
        from ..data.augmentation.rows import make_augmentations
        from ..data.batches import Batches

        settings = self.settings
        augmentations = make_augmentations(settings["recipe"]["augmentation"])
        return Batches(
            self.data.train, settings["batch_size"], settings["seed"], augmentations, len(self.data.class_names)
        )

    def _record_inputs(self, run: Any) -> None:
        run.log_text(OmegaConf.to_yaml(without_interpolations(self.settings), resolve=True), "config.yaml")
        run.log_text(OmegaConf.to_yaml(self.network), "rows.yaml")
        run.log_text(f"{self.plan}\n", "plan.txt")
        for part in ("train", "validation", "test"):
            run.log_dataset(self.data, part)
        run.log_extra_tests(self.data)

    def _record_outputs(self, run: Any, model: Any, history: list, name: str) -> None:
        from ..reporting import plots

        run.log_figure(plots.plot_learning_curves(history, name), "learning_curves.png")
        run.save_model(model.model)

    def _test(self, model: Any, history: list, interrupts: Any) -> tuple[dict[str, float], list[str]]:
        """Test the model; returns the metrics of the test and of the whole training, and the lines to print."""
        from ..evaluation import tta
        from ..evaluation.metrics import evaluate
        from ..training import diagnosis, trainer

        settings = self.settings
        predict = partial(model.predict, on_batch=interrupts.check)
        test, tta_metrics = tta.evaluate_with_tta(
            predict, self.data.test, settings["test_shift"], settings["test_views"], self._compute_metrics
        )
        for name in settings["metrics"].keys() - tta_metrics:
            print(f"warning: the metric {name} is not finite on the test images; it is not recorded")
        extra = {name: evaluate(predict(split.x), split.y) for name, split in self.data.extra_tests.items()}
        metrics = {f"test_{metric}": value for metric, value in {**test.metrics, **tta_metrics}.items()}
        metrics |= {f"test_{name}_accuracy": evaluation.accuracy for name, evaluation in extra.items()}
        diagnosis.check_metrics_finite(metrics)
        return {**metrics, **trainer.summarize(history, settings["select"])}, [
            str(test),
            *tta.format_extra_metrics(tta_metrics),
            *(f"test {name} {tta_metrics[name]:.4f}" for name in settings["metrics"] if name in tta_metrics),
            *(evaluation.describe(f"test {name}") for name, evaluation in extra.items()),
        ]

    def _compute_metrics(self, labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
        """Compute the metrics that the settings choose."""
        from ..evaluation.chosen_metrics import compute_metrics

        return compute_metrics(self.settings["metrics"], labels, scores)

    def _result(self, status: Status, run: Any, metrics: Mapping[str, float], history: tuple) -> RunResult:
        from ..tracking import results

        return RunResult(
            status,
            run.name,
            dict(metrics),
            history,
            run.id,
            self.settings["study"],
            run.experiment_id,
            self.settings["tracking"]["uri"],
            results.val_accuracy(metrics),
        )
