"""Settings chosen on known classes: section 4.4 of the paper as a tool.

Some of the labelled classes are taken as unlabelled (`pretend`), our method is trained on what
that makes for each candidate, and the candidate with the best ACC on the pretended-unlabelled
items is taken. As in the paper it is one setting after the other, mu before k, each with the best
of those before: Table 5, then Table 6. The unlabelled items of the data set take no part.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from newfound.candidates import TUNED, Candidates, Value
from newfound.config import Config, Runtime
from newfound.data.catalogue import Catalogue, Truth, hold_out
from newfound.data.rehearsal import pretend
from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError, NonFiniteLossError, Stopped
from newfound.feasible import known_to_weights_in_words
from newfound.job import Job
from newfound.models.weights import Weights
from newfound.progress import Progress
from newfound.run import run
from newfound.settings import complete_config


@dataclass(frozen=True)
class Trial:
    """One run: its ACC on the pretended-unlabelled items, and its folder inside of OUT."""

    seed: int
    acc: float
    folder: str


@dataclass(frozen=True)
class Sweep:
    """What came of one setting.

    trials: value -> one trial per seed, in the order of the candidates.  left_out: value -> why.
    fixed: the other settings' values.
    """

    setting: str
    trials: Mapping[Value, tuple[Trial, ...]]
    left_out: Mapping[Value, str]
    fixed: Mapping[str, Value]

    def acc(self, value: Value) -> float:
        """The mean over the seeds."""
        return fmean(trial.acc for trial in self.trials[value])

    @property
    def best(self) -> Value:
        """The value of the best mean ACC; of several the first."""
        return max(self.trials, key=self.acc)


@dataclass(frozen=True)
class Tuning:
    """What was chosen, and on what.

    chosen: the settings that were compared, with mu and window in any case.
    known, hidden: the classes that stayed known and those taken as unlabelled.
    """

    chosen: Mapping[str, Value]
    sweeps: tuple[Sweep, ...]
    known: tuple[str, ...]
    hidden: tuple[str, ...]

    @property
    def flags(self) -> str:
        """As in `--mu 0.55 --window 4`."""
        return " ".join(
            f"--{name.replace('_', '-')} {value}" for name, value in self.chosen.items()
        )


@dataclass(frozen=True)
class _Rehearsal:
    """All that the trials have in common. `settings` are complete but for the seed and `TUNED`."""

    catalogue: Catalogue
    truth: Truth
    out: Path
    settings: Mapping[str, Any]
    preset: Mapping[str, Value]
    seeds: range
    runtime: Runtime
    progress: Progress
    weights: Weights | None


class _UnusableError(Exception):
    """A candidate that is no setting, or with which the loss is no number."""


def tune(
    catalogue: Catalogue,
    num_novel: int,
    out: Path,
    settings: Mapping[str, Any],
    candidates: Candidates,
    seeds: int,
    runtime: Runtime,
    progress: Progress,
    weights: Weights | None = None,
) -> Tuning:
    """Compare the candidates on the labelled items of `catalogue`, and choose.

    settings: every field of a Config, as for `complete_config`; those of `Candidates` are where
    a comparison starts.  seeds: how many, from the settings' seed on.  weights: what each trial's
    network starts from.
    Each trial is a run in OUT/<candidate>-seed<n>; those that are complete are not repeated.

    Raises InputError where there is nothing to compare or to compare on, and Stopped when the user
    interrupts; the same call then goes on.
    """
    _check(out, seeds)
    lists = {name: tuple(dict.fromkeys(values)) for name, values in asdict(candidates).items()}
    compared = [name for name in TUNED if len(lists[name]) > 1]
    if not compared:
        raise InputError("there is nothing to compare; give two values of a setting, as in --mu")
    values = {name: _start(settings[name], lists[name]) for name in TUNED}
    config = complete_config({**settings, **values, "mu": "share"})
    if "mu" not in compared:
        widest = max(lists["window"], default=config.window)
        _check_mu(values["mu"], config.model_copy(update={"window": widest}))
    # What the run will hold out takes no part in the choice.
    held = hold_out(catalogue, config.held_out, config.seed)
    rehearsed, truth = pretend(held, num_novel)
    trainable = len(hold_out(rehearsed, config.held_out, config.seed).trainable)
    _tell(rehearsed, truth, num_novel, trainable, config, progress)
    for text in known_to_weights_in_words(weights, (), truth.class_names) if weights else ():
        progress.message(f"warning: {text}")
    rehearsal = _Rehearsal(
        rehearsed,
        truth,
        out,
        {**settings, "batch": min(config.batch, trainable)},
        {name: settings[name] for name in TUNED},
        range(config.seed, config.seed + seeds),
        runtime,
        progress,
        weights,
    )
    sweeps = []
    for name in compared:
        sweeps.append(_sweep(rehearsal, name, lists[name], values))
        values[name] = sweeps[-1].best
    told = {name: values[name] for name in TUNED if name in ("mu", "window", *compared)}
    return Tuning(told, tuple(sweeps), rehearsed.class_names, truth.class_names)


def _check(out: Path, seeds: int) -> None:
    if seeds < 1:
        raise InputError(f"seeds is {seeds}; give at least 1")
    if out.is_file() or RunFolder(out).config_file.exists():
        raise InputError(f"{out} is a file or the folder of a run; give --out a new folder")


def _check_mu(mu: Value, widest: Config) -> None:
    """Raise InputError for the only mu if not even the widest window can use it: once, instead of
    for each window."""
    if not isinstance(mu, str):
        try:
            widest.model_copy(update={"mu": mu}).mu_count()
        except ValueError as error:
            raise InputError(str(error)) from None


def _start(of_preset: Value, candidates: tuple[Value, ...]) -> Value:
    """What a setting is until it has been compared."""
    return of_preset if not candidates or of_preset in candidates else candidates[0]


def _tell(
    rehearsed: Catalogue,
    truth: Truth,
    num_novel: int,
    trainable: int,
    config: Config,
    progress: Progress,
) -> None:
    """In what the trials are unlike the run that they are for."""
    known, hidden = len(rehearsed.class_names), len(truth.class_names)
    fewer = f", fewer than the {num_novel} novel ones" if hidden < num_novel else ""
    progress.message(
        f"{hidden} of {known + hidden} labelled classes are taken as unlabelled{fewer}"
    )
    if trainable < config.batch:
        progress.message(
            f"a batch is {trainable} instead of {config.batch} items: there are no more of these "
            "classes"
        )


def _sweep(
    rehearsal: _Rehearsal,
    setting: str,
    candidates: tuple[Value, ...],
    values: Mapping[str, Value],
) -> Sweep:
    """Every candidate of one setting, the others at `values`. Raises InputError if none goes."""
    trials: dict[Value, tuple[Trial, ...]] = {}
    left_out: dict[Value, str] = {}
    fixed = {name: value for name, value in values.items() if name != setting}
    sweep = Sweep(setting, trials, left_out, fixed)
    for value in candidates:
        try:
            trials[value] = _try_out(rehearsal, {**values, setting: value})
        except _UnusableError as error:
            left_out[value] = str(error)
            rehearsal.progress.message(f"{setting} {value} is left out: {error}")
        else:
            rehearsal.progress.message(f"{setting} {value}: ACC {sweep.acc(value):.3f}")
    if not trials:
        reasons = "; ".join(f"{value}: {reason}" for value, reason in left_out.items())
        raise InputError(f"no value of {setting} can be used: {reasons}")
    return sweep


def _try_out(rehearsal: _Rehearsal, values: Mapping[str, Value]) -> tuple[Trial, ...]:
    """A trial for each seed."""
    settings = {**rehearsal.settings, **values}
    try:
        config = complete_config(settings)
    except InputError as error:
        raise _UnusableError(str(error)) from error
    return tuple(
        _trial(rehearsal, config.model_copy(update={"seed": seed})) for seed in rehearsal.seeds
    )


def _trial(rehearsal: _Rehearsal, config: Config) -> Trial:
    """One run, or what is left of it."""
    folder = RunFolder(rehearsal.out / f"{_name(config, rehearsal.preset)}-seed{config.seed}")
    job = Job(
        folder,
        rehearsal.catalogue,
        rehearsal.truth,
        len(rehearsal.truth.class_names),
        config,
        rehearsal.runtime,
        compare_labelled_only=False,
        weights=rehearsal.weights,
    )
    rehearsal.progress.message(f"trial {folder.path.name}")
    try:
        run(job, rehearsal.progress)
    except NonFiniteLossError as error:
        raise _UnusableError(str(error)) from error
    except (Stopped, KeyboardInterrupt):
        raise Stopped(
            f"stopped; {rehearsal.out} holds all trials so far, and {folder.path.name} as far as "
            "it went. The same command goes on from there"
        ) from None
    return Trial(config.seed, folder.result()["novel"]["acc"], folder.path.name)


def _name(config: Config, preset: Mapping[str, Value]) -> str:
    """mu and window, and the other settings where they are not the preset's."""
    told = [n for n in TUNED if n in ("mu", "window") or getattr(config, n) != preset[n]]
    return "-".join(f"{name}{getattr(config, name)}" for name in told)
