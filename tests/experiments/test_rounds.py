"""The rounds of a study that adds seeds until it is decided, on typed accuracies and without a training."""

import random
import re

import pytest
from synthetic_runs import make_run

import convzoo
from convzoo import UserError
from convzoo.experiments import rounds
from convzoo.experiments.rounds import RoundPlan, iterate_rounds, plan_round
from convzoo.experiments.sweep import SweepError
from convzoo.reporting.grid import find_missing_runs
from convzoo.reporting.study_report import StudyReport
from convzoo.settings import study_file
from convzoo.settings.hydra_internals import parse_word, select_jobs
from convzoo.settings.overrides import quote_text
from convzoo.settings.schema import parse
from convzoo.settings.study_schema import StudyFile, parse_budget

CLAIMS = [
    {"says": "max beats l2", "better": {"pooling": "max"}, "than": {"pooling": "l2"}, "by": 0.01},
    {"says": "max beats average", "better": {"pooling": "max"}, "than": {"pooling": "average"}, "by": 0.01},
]
SPEC = {
    "sweep": {"pooling": ["max", "l2", "average"]},
    "claims": CLAIMS,
    "until": "decided",
    "seeds": {"from": 3, "to": 12},
    "budget": "1 hour",
}
WORDS = ["pooling=max,l2,average", "seed=0,1,2", "epochs=5"]
# Max is 10 points better than l2 at every seed, and 1.5 points better than average with a deviation of about 1 point.
LOSS = {
    "max": lambda seed: 0.0,
    "l2": lambda seed: 0.1 + 0.001 * (seed % 3),
    "average": lambda seed: 0.005 + 0.01 * (seed % 3),
}


def train(pooling, seed, seconds=10.0, **more):
    accuracy = 0.8 + 0.001 * (seed % 2) - LOSS[pooling](seed)
    return make_run({"pooling": pooling}, seed, accuracy, seconds=seconds, **more)


def train_first_seeds(seconds=10.0, seeds=range(3)):
    return [train(pooling, seed, seconds) for pooling in LOSS for seed in seeds]


def plan(runs, spec=SPEC, recorded=None):
    report = StudyReport("mine", runs, recorded or spec) if runs else None
    return plan_round(report, parse(StudyFile, spec, "mine"), WORDS, lambda words: True)


def poolings(step):
    return {word.partition("=")[2] for job in step.jobs for word in job if word.startswith("pooling=")}


def run_study(runs=(), order=None, interrupted_after=None):
    """Run rounds until there is none; returns the runs and the last plan. `order` shuffles the runs of a round."""
    runs = list(runs)
    names = {run.name for run in runs}
    while isinstance(step := plan(runs), RoundPlan):
        jobs = [(pooling, seed) for pooling in sorted(poolings(step)) for seed in step.seeds]
        if order:
            order.shuffle(jobs)
        for job in jobs:
            if (run := train(*job)).name in names:
                continue
            if len(runs) == interrupted_after:
                return runs, step
            runs.append(run)
            names.add(run.name)
    return runs, step


def verdicts(runs):
    return [(each.verdict, each.reason) for each in StudyReport("mine", runs, SPEC).judgements]


def test_first_round_has_all_cells():
    step = plan([])
    assert step.seeds == (0, 1, 2)
    assert poolings(step) == {"max", "l2", "average"}
    assert plan([train("max", 0)]) == step


def test_cell_of_decided_claim_is_no_longer_run():
    runs, reason = run_study()
    (first, second) = StudyReport("mine", runs, SPEC).judgements
    assert first.verdict == "better"
    seeds = {pooling: {run.params["seed"] for run in runs if run.params["pooling"] == pooling} for pooling in LOSS}
    assert len(seeds["l2"]) < len(seeds["average"]) == len(seeds["max"])
    assert second.verdict == "undecided"
    assert reason == "1 of 2 claims undecided after 12 seeds, the most that `seeds` allows"
    assert "anytime-valid 97.5 % interval" in first.reason
    assert "fixed-n interval" in first.reason


@pytest.mark.integration
def test_kill_at_any_run_changes_no_decision():
    whole, reason = run_study()
    expected = verdicts(whole)
    for number in range(len(whole)):
        killed, _ = run_study(interrupted_after=number)
        resumed, again = run_study(killed, order=random.Random(number))
        assert {run.name for run in resumed} == {run.name for run in whole}
        assert (verdicts(resumed), again) == (expected, reason)


def test_report_of_killed_study_states_no_decision_that_changes():
    """At each number of runs, in any order, a verdict is that of the whole study or undecided."""
    whole, _ = run_study(order=random.Random(0))
    final = [verdict for verdict, _ in verdicts(whole)]
    for number in range(1, len(whole)):
        for verdict, last in zip(verdicts(whole[:number]), final, strict=True):
            assert verdict[0] in ("undecided", last)


def test_seed_that_is_missing_ends_the_seeds_that_count():
    whole, _ = run_study()
    runs = [run for run in whole if (run.params["pooling"], run.params["seed"]) != ("average", "3")]
    first, second = StudyReport("mine", runs, SPEC).judgements
    assert first.verdict == "better"
    assert second.seeds == 3
    step = plan(runs)
    assert (step.seeds, poolings(step)) == ((3,), {"max", "average"})


def test_budget_ends_study_before_the_seed_that_exceeds_it():
    """Nine runs of 300 seconds are 45 minutes; three more are an hour, and then there is no time for others."""
    runs = [train(pooling, seed, 300.0) for pooling in LOSS for seed in range(3)]
    assert isinstance(plan(runs), RoundPlan)
    runs += [train(pooling, 3, 300.0) for pooling in LOSS]
    assert "60.0 minutes of training are recorded, and the next seed would exceed the budget of 1 hour" in plan(runs)


def test_budget_counts_the_time_of_needed_cells():
    """The next seed takes 1.5 of the 8 minutes that remain. At the mean time of all runs it would take 8.5."""
    runs = [train(pooling, seed, 900.0 if pooling == "l2" else 60.0) for pooling in LOSS for seed in range(3)]
    runs += [train(pooling, 3, 1.0) for pooling in LOSS]
    spec = {**SPEC, "budget": "59 minutes"}  # 51 are recorded
    step = plan(runs, spec)
    assert (step.seeds, poolings(step)) == ((4,), {"max", "average"})


def test_budget_counts_runs_that_did_not_finish():
    runs = train_first_seeds(300.0)
    assert isinstance(plan(runs), RoundPlan)
    runs.append(train("l2", 7, 600.0, status="KILLED"))
    assert "55.0 minutes of training are recorded" in plan(runs)


def change(runs, **params):
    """Give runs another value of settings that the file has in `set`, as a command that types them would."""
    for run in runs:
        run.params |= params
        run.name += "".join(f" {key}={value}" for key, value in params.items())
        run.cell += repr(params)
    return runs


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"epochs": "1"}, r"epochs=1 \(5\)"), ({"batch_size": "7"}, r"batch_size=7 \(not in the file\)")],
)
def test_runs_of_other_settings_do_not_decide(settings, message):
    """Six seeds of a quick try would decide the first claim."""
    spec = {**SPEC, "set": {"epochs": 5}}
    runs = change(train_first_seeds(seeds=range(6)), **settings)
    report = StudyReport("mine", runs, spec)
    assert {each.verdict for each in report.judgements} == {"undecided"}
    assert "NO CLAIM IS JUDGED: it has runs with settings that its file lacks" in str(report)
    with pytest.raises(UserError, match=f"{message}; give the study another name"):
        plan(runs, spec)
    assert isinstance(plan(train_first_seeds(), spec), RoundPlan)


def test_runs_of_one_setting_in_two_cells_do_not_decide():
    """Another machine resolved `precision=auto` differently; no word of the command says so."""
    runs = train_first_seeds()
    runs[-1].params["precision"] = "mixed_bfloat16"
    runs[-1].cell += "in bfloat16"
    with pytest.raises(UserError, match="with pooling=average differ: precision is mixed_bfloat16 or not set"):
        plan(runs)


def test_study_begun_without_until_is_not_continued():
    recorded = {key: value for key, value in SPEC.items() if key in ("sweep", "claims")}
    with pytest.raises(UserError, match="was begun without `until: decided`; give the study another name"):
        plan(train_first_seeds(), SPEC, recorded)


@pytest.mark.parametrize(
    ("change", "key"),
    [({"claims": CLAIMS[:1]}, "claims"), ({"set": {"epochs": 5}}, "set"), ({"seeds": {"from": 4}}, "seeds.from")],
)
def test_study_with_changed_file_is_not_continued(change, key):
    with pytest.raises(UserError, match=f"`{key}` of its file is not what it was when the study began"):
        plan(train_first_seeds(), {**SPEC, **change}, SPEC)
    more = {**SPEC, "seeds": {"from": 3, "to": 99}, "budget": "9 days", "question": "Why?"}
    assert isinstance(plan(train_first_seeds(), more, SPEC), RoundPlan)


def test_claim_with_failed_run_waits_for_other_claims():
    """The first claim's next run fails, and the second goes on to the last seed; then the failed one is tried again."""
    claims = [{**CLAIMS[0], "by": 0.1}, CLAIMS[1]]
    spec = {**SPEC, "claims": claims, "budget": None}
    failed = train("l2", 3, status="FAILED", failure="too large")
    runs = [*train_first_seeds(), failed]
    for seed in range(3, 12):
        step = plan(runs, spec)
        assert (step.seeds, poolings(step)) == ((seed,), {"max", "average"})
        assert step.waiting == ("max beats l2: waits for lenet pooling=l2 seed=3, which failed",)
        runs += [train(pooling, seed) for pooling in ("max", "average")]
    step = plan(runs, spec)
    assert (step.seeds, poolings(step)) == ((3,), {"max", "l2"})


def test_claim_whose_metric_is_missing_stops_no_other():
    claims = [{**CLAIMS[0], "of": "f1", "goal": "larger"}, CLAIMS[1]]
    spec = {**SPEC, "claims": claims, "budget": None, "seeds": {"from": 3, "to": 4}}
    step = plan(train_first_seeds(), spec)
    assert (step.seeds, poolings(step)) == ((3,), {"max", "average"})
    assert "f1 of pooling=l2 seed=0, which its finished run has not" in step.waiting[0]
    assert "f1 of pooling=l2 seed=0" in plan(train_first_seeds(seeds=range(4)), spec)


def test_round_of_equal_networks_names_the_value_without_run(expand, monkeypatch):
    """`paper` is max pooling in LeNet: its jobs reuse the runs of max, and no run has the word."""
    words = quote_text(expand(FILE.replace("[max, l2]", "[max, l2, paper]")))
    spec = study_file.find_study(words)
    runs = [make_run({"pooling": pooling}, seed, 0.5) for pooling in ("max", "l2") for seed in range(3)]
    monkeypatch.setattr(rounds, "_read_report", lambda words: StudyReport("mine", runs, spec))
    steps = iterate_rounds(words)
    assert next(steps).is_selected(["pooling=paper", "seed=0"])
    with pytest.raises(SweepError, match="none has pooling=paper seed=0"):
        next(steps)


@pytest.mark.parametrize(("text", "seconds"), [("90 minutes", 5400), ("1.5 hours", 5400), ("1 day", 86400)])
def test_budget_is_number_and_unit(text, seconds):
    assert parse_budget(text) == seconds


FILE = """
sweep: {pooling: [max, l2]}
set: {model: lenet}
until: decided
claims: [{says: x, better: {pooling: max}, than: {pooling: l2}, by: 0.01}]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FILE.replace("decided", "bored"), "`until` should be 'decided'"),
        (FILE + "seeds: {from: 1}", "`seeds.from`"),
        (FILE + "seeds: {from: 5, to: 4}", "`from` must not be above `to`"),
        (FILE + "seeds: {first: 4}", "`seeds` may have the keys from, to"),
        (FILE + "budget: 90", "`budget` must be a str"),
        (FILE + "budget: 90 parsecs", "as in 90 minutes"),
        (FILE.replace("until: decided", "budget: 9 hours"), "`budget` needs `until: decided`"),
        (FILE.replace("[max, l2]", "[max, l2], seed: [0, 1]"), "chooses the seeds"),
        (FILE.partition("claims")[0], "needs `claims`"),
        (FILE.replace("[max, l2]", "range(3)"), "needs a list of values in `sweep.pooling`"),
        ("sweep: {seed: [0]}\ntogether: {pooling: [max, l2]}", "two or more keys"),
        ("sweep: {seed: [0]}\ntogether: {pooling: [max, l2], epochs: [1]}", "a list of two or more values"),
        ("sweep: {seed: [0]}\ntogether: {pooling: [max, l2], epochs: [1, 2, 3]}", "equally many"),
        ("sweep: {epochs: [1]}\ntogether: {pooling: [max, l2], epochs: [1, 2]}", "in `sweep` and in `together`"),
        ("sweep: {}\ntogether: {pooling: 1, epochs: [1, 2]}", "a list of two or more values"),
    ],
)
def test_study_file_with_wrong_looks_is_refused(tmp_path, text, message):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        study_file.load_study("mine", [tmp_path])
    assert message in str(error.value)


@pytest.fixture
def expand(tmp_path):
    """Write a study's file and expand a command that names it."""

    def write(text, *words):
        (tmp_path / "studies").mkdir(exist_ok=True)
        (tmp_path / "studies" / "mine.yaml").write_text(text)
        return study_file.expand_overrides([f"--config-dir={tmp_path}", "study=mine", *words])

    return write


def test_study_until_decided_begins_with_first_seeds(expand):
    assert "seed=0,1,2" in expand(FILE)


def test_study_until_decided_drops_seeds_of_its_base_study(expand):
    words = expand("like: pooling_kinds\nuntil: decided\nseeds: {from: 4, to: 9}")
    assert [word for word in words if word.startswith("seed=")] == ["seed=0,1,2,3"]


def test_settings_of_study_until_decided_cannot_be_typed(expand):
    for word in ("seed=7", "model=nin", "epochs=1", "+data.fraction=0.1"):
        with pytest.raises(UserError, match=r"`[a-z.]+` cannot be typed, because the file has `until: decided`"):
            expand(FILE, word)
    words = ("tracking.uri=sqlite:///x.db", "launcher=parallel", "resume=never", "data.directory=x", "plan=true")
    assert {*words} <= {*expand(FILE, "--config-dir", "other", *words)}


TOGETHER = "sweep: {seed: [0, 1]}\ntogether: {dropout: [0, 0.25, 0.50], epochs: [1, 1, 2]}\nset: {model: lenet}"


def test_together_zips_its_keys(expand):
    words = [word for word in expand(TOGETHER) if not word.startswith("-")]
    assert "epochs=1,2" in words
    study = {"together": {"dropout": [0, 0.25, 0.50], "epochs": [1, 1, 2]}}
    jobs = study_file.list_jobs(words, study_file.make_together_filter(study, words))
    assert [(*job[1:4],) for job in jobs] == [
        (f"seed={seed}", f"dropout={rate}", f"epochs={epochs}")
        for seed in (0, 1)
        for rate, epochs in (("0", 1), ("0.25", 1), ("0.5", 2))
    ]


def test_sweeper_runs_the_selected_jobs_alone():
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.plugins import Plugins

    sweeper = Plugins.instance().class_name_to_class["hydra._internal.core_plugins.basic_sweeper.BasicSweeper"]
    words = ["dropout=0,0.25,0.5", "epochs=1,2", "seed=0"]
    overrides = OverridesParser.create().parse_overrides(words)
    study = {"together": {"dropout": [0, 0.25, 0.50], "epochs": [1, 1, 2]}}
    with select_jobs(study_file.make_together_filter(study, words)):
        assert sweeper.split_arguments(overrides, None) == [
            [
                ["dropout=0", "epochs=1", "seed=0"],
                ["dropout=0.25", "epochs=1", "seed=0"],
                ["dropout=0.5", "epochs=2", "seed=0"],
            ]
        ]
    assert len(sweeper.split_arguments(overrides, None)[0]) == 6


@pytest.mark.parametrize(
    ("key", "values"),
    [("data.train", ["train[:10%]", "train[:50%]"]), ("weights", ["2024", "2025"]), ("weights", ["IMG (1).h5", "b"])],
)
def test_together_selects_values_that_hydra_needs_quoted(expand, key, values):
    text = f"sweep: {{seed: [0, 1]}}\ntogether: {{{key}: {values!r}, epochs: [5, 9]}}\nset: {{model: lenet}}"
    words = [word for word in quote_text(expand(text)) if not word.startswith("-")]
    study = {"together": {key: values, "epochs": [5, 9]}}
    jobs = study_file.list_jobs(words, study_file.make_together_filter(study, words))
    pairs = [(next(parse_word(word).value for word in job if word.startswith(key)), *job[3:4]) for job in jobs]
    assert pairs == 2 * [(values[0], "epochs=5"), (values[1], "epochs=9")]
    runs = [make_run({key: f"'{values[0]}'", "epochs": "5"}, 0, 0.5)]
    missing, _ = find_missing_runs(runs, {"seed": [0], **study["together"]}, (), study["together"])
    assert missing == [{"seed": "0", key: values[1], "epochs": "9"}]


def test_together_refuses_value_that_hydra_splits(expand):
    words = expand("sweep: {seed: [0]}\ntogether: {data.name: ['a,b', c], epochs: [5, 9]}")
    study = {"together": {"data.name": ["a,b", "c"], "epochs": [5, 9]}}
    with pytest.raises(UserError, match="has 2 different values, which Hydra reads as 3"):
        study_file.make_together_filter(study, [word for word in words if not word.startswith("-")])


def test_missing_runs_are_of_zipped_combinations():
    runs = [make_run({"dropout": "0", "epochs": "1"}, 0, 0.5)]
    together = {"dropout": [0, 0.25], "epochs": [1, 2]}
    missing, total = find_missing_runs(runs, {"seed": [0], **together}, (), together)
    assert (missing, total) == ([{"seed": "0", "dropout": "0.25", "epochs": "2"}], 2)


def test_together_keys_cannot_be_typed(expand):
    with pytest.raises(UserError, match="`dropout` cannot be typed"):
        expand(TOGETHER, "dropout=0.9")


@pytest.fixture
def command(tmp_path, monkeypatch, command_line):
    """Call train.py for a study's file, in this process; returns its exit code and output."""
    from convzoo import train

    def run(text, *words):
        (tmp_path / "studies").mkdir(exist_ok=True)
        (tmp_path / "studies" / "mine.yaml").write_text(text)
        monkeypatch.chdir(tmp_path)
        return command_line(train, [f"--config-dir={tmp_path}", "study=mine", *words])

    return run


@pytest.mark.integration
def test_command_runs_zipped_jobs_alone(command):
    """Three rates, two numbers of epochs and two seeds are twelve combinations; six of them stand together."""
    code, out, _ = command(TOGETHER + "\n", "data=digits", "plan=true")
    assert code == 0
    jobs = [line for line in out.splitlines() if line.startswith("── ")]
    assert [re.search(r"dropout=(\S+) epochs=(\d)", job).groups() for job in jobs] == 2 * [
        ("0", "1"),
        ("0.25", "1"),
        ("0.5", "2"),
    ]


def test_round_selects_cells_despite_hydra_s_spelling(tmp_path):
    """An address in quotes is one word on the command line and another in Hydra's job."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text(FILE)
    uri = f'tracking.uri="sqlite:///{tmp_path}/mlflow.db"'
    words = study_file.expand_overrides([f"--config-dir={tmp_path}", "study=mine", uri])
    first = next(iterate_rounds(words))
    assert first.is_selected(["model=lenet", "pooling=l2", "seed=0", uri.replace('"', "'")])
    assert not first.is_selected(["model=lenet", "pooling=average", "seed=0"])


@pytest.mark.slow
def test_command_leaves_out_cells_of_decided_claim(command, tmp_path):
    """A dropout of 0.9 costs LeNet nearly all accuracy, which four seeds show; the other claim has a tiny margin."""
    text = """
    sweep: {dropout: [0, 0.1, 0.9]}
    set: {model: lenet, data: digits, epochs: 3}
    until: decided
    seeds: {from: 3, to: 5}
    claims:
      - {says: much costs, better: {dropout: 0}, than: {dropout: 0.9}, by: 0.01}
      - {says: little helps, better: {dropout: 0.1}, than: {dropout: 0}, by: 0}
    """
    code, out, _ = command(text)
    assert code == 0
    frame = convzoo.results("mine", f"sqlite:///{tmp_path}/mlflow.db")
    counts = frame.groupby("dropout")["seed"].count().to_dict()
    assert counts == {0.0: 5, 0.1: 5, 0.9: 4}
    assert "1 of 2 claims undecided after 5 seeds, the most that `seeds` allows" in out
    code, again, _ = command(text)
    assert code == 0
    assert "1 of 2 claims undecided after 5 seeds" in again
    assert len(convzoo.results("mine", f"sqlite:///{tmp_path}/mlflow.db")) == len(frame) == 14
