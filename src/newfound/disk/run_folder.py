"""The run folder: what it holds, that it is ours to continue, and its log."""

import fcntl
import json
import math
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from newfound.config import Config
from newfound.disk.files import damaged, leftovers, unwritable, write_text
from newfound.errors import BusyError, InputError, RunFolderError
from newfound.machine.distributed import is_writer
from newfound.presets import settings_type
from newfound.settings import explain
from newfound.version import __version__

FORMAT = 1
"""Raised when older programs can no longer read a run folder."""

_LOST = "what run it was is lost with it, so delete its folder, or discover again in a new one"
"""The only cure for a `config.json` that is damaged."""

_IN_A_RESULT = {"counts", "seconds", "baselines", "warnings"}

VERSIONS_OF = ("torch", "torchvision", "numpy", "scikit-learn", "pillow")


class RunFolder:
    """Paths and small files of one run. Nothing here is ever executed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.json"
        self.model = path / "model.safetensors"
        self.checkpoint = path / "checkpoint.pt"
        self.labelled_only = path / "labelled_only.pt"
        self.log_file = path / "log.jsonl"
        self.items = path / "items.parquet"
        self.items_csv = path / "items.csv"
        self.categories = path / "categories.csv"
        self.skipped = path / "skipped.csv"
        self.thumbnails = path / "thumbnails.npz"
        self.embedding = path / "embedding.npz"
        self.result_file = path / "result.json"
        self.report = path / "report.html"

    def checkpoint_of(self, stage: str) -> Path:
        """Where a stage of training keeps its state; the one named "training" is the usual one."""
        return self.checkpoint if stage == "training" else self.path / f"stage-{stage}.pt"

    @contextmanager
    def claimed(self, identity: dict[str, Any], about: dict[str, Any]) -> Iterator[bool]:
        """Within, the folder is this process's and holds the run that `identity` describes.

        It is made if it is not there. Yields whether there was a run already.

        identity: what makes two runs the same one; about: what else `config.json` tells; both
        JSON-ready.  Raises RunFolderError where the folder holds another run, shows the difference,
        and changes nothing; and BusyError if another process is at work.
        """
        self._check_place()
        self._make()
        with self.lock():
            yield self._goes_on(identity, about)

    def check(self, identity: dict[str, Any], about: dict[str, Any]) -> None:
        """Raise RunFolderError where `claimed` would, as far as can be told without writing."""
        self._check_place()
        if self.config_file.exists():
            self._difference(identity, about)

    def _check_place(self) -> None:
        """That the folder is a run's, or can become one."""
        try:
            str(self.path).encode()
            is_new = not self.config_file.exists()
        except UnicodeEncodeError:  # some libraries cannot write there
            raise RunFolderError(
                f"the name of {str(self.path)!r} is not UTF-8; give another --out"
            ) from None
        except OSError as error:  # as for a name that is too long
            raise RunFolderError(
                f"{self.path} cannot be a folder ({error.strerror}); give another --out"
            ) from error
        if not is_new:
            self.read_config()  # before anything is written into what may not be a run
        elif self._holds_something_else():
            raise RunFolderError(
                f"{self.path} is there but is no run of newfound; give --out a new folder"
            )

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise unwritable(self.path, error) from error
        except OSError as error:
            raise RunFolderError(
                f"cannot make {self.path}: {error.strerror}; give another --out"
            ) from error

    def _goes_on(self, identity: dict[str, Any], about: dict[str, Any]) -> bool:
        """Whether the run is there already; else its `config.json` is written."""
        if not self.config_file.exists():
            self._write_header(identity, about)
            return False
        if not self._difference(identity, about):
            return True
        # A run that failed before it began leaves its folder free.
        self.log_file.unlink(missing_ok=True)
        self._write_header(identity, about)
        return False

    def _difference(self, identity: dict[str, Any], about: dict[str, Any]) -> str:
        """In what the run that is there is another one, "" for nothing.

        Raises RunFolderError if it is another one and has done some work.
        """
        header = self.read_config()
        with suppress(RunFolderError):  # settings that the run is older than have their defaults
            header = header | {"config": self.config().model_dump(mode="json")}
        difference = _difference(header, identity, about)
        if difference and self._has_work():
            raise RunFolderError(
                f"{self.path} holds a run with other settings or data; nothing was changed. "
                "Give another --out, or these as they were:\n" + difference
            )
        return difference

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second process out, and clear up after a killed one.

        Raises BusyError if another process is at work.
        """
        try:
            file = (self.path / ".lock").open("w")
        except OSError as error:
            raise unwritable(self.path / ".lock", error) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(
                    f"another process is working on {self.path}; wait for it or give another --out"
                ) from None
            for leftover in leftovers(self.path):
                leftover.unlink(missing_ok=True)
            yield

    def read_config(self) -> dict[str, Any]:
        """`config.json`. Raises RunFolderError for no run, a damaged one or a newer format."""
        try:
            header = json.loads(self.config_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunFolderError(
                f"{self.path} holds no run of newfound; give the folder that was --out of "
                "newfound discover"
            ) from None
        except NotADirectoryError:
            raise RunFolderError(
                f"{self.path} is a file; give the folder of the run, which was --out of newfound "
                "discover"
            ) from None
        except (OSError, ValueError) as error:
            raise RunFolderError(f"cannot read {self.config_file}: {error}; {_LOST}") from None
        if not isinstance(header, dict) or not isinstance(header.get("format"), int):
            raise RunFolderError(
                f"{self.config_file} is no configuration of newfound, or damaged; {_LOST}"
            )
        if header["format"] > FORMAT:
            raise RunFolderError(
                f"{self.path} was written by newfound {header.get('newfound')} in format "
                f"{header['format']}; this is {__version__} and reads up to format {FORMAT}. "
                "Upgrade newfound"
            )
        if missing := {"config", "known", "num_novel"} - header.keys():
            raise RunFolderError(
                f"{self.config_file} is damaged: it lacks {', '.join(sorted(missing))}; {_LOST}"
            )
        return header

    def holds_a_run(self) -> bool:
        """Whether it was made by newfound, of whatever version."""
        try:
            header = json.loads(self.config_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(header, dict) and "newfound" in header

    def config(self) -> Config:
        """The run's settings. Raises RunFolderError as `read_config` does."""
        settings = self.read_config()["config"]
        try:
            return settings_type(settings["preset"]).model_validate(settings)
        except ValidationError as error:
            raise RunFolderError(
                f"{self.config_file} is damaged: {explain(error)}; {_LOST}"
            ) from None
        except (TypeError, KeyError, InputError) as error:
            raise RunFolderError(f"{self.config_file} is damaged: {error}; {_LOST}") from None

    def precision_of_work(self) -> str | None:
        """What the work that is there was computed in; None where there is none.

        Raises RunFolderError for a place that can be no run's.
        """
        self._check_place()
        if not self._has_work():
            return None
        with suppress(RunFolderError):  # which is told when the folder is claimed
            return self.config().precision
        return None

    def result(self) -> dict[str, Any]:
        """`result.json`. Raises RunFolderError if the run has not ended, or the file is damaged."""
        try:
            result = json.loads(self.result_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunFolderError(
                f"the run in {self.path} has not ended; give its command again"
            ) from None
        except (OSError, ValueError) as error:
            raise damaged(self.result_file, error) from None
        there = result.keys() if isinstance(result, dict) else set()
        if missing := _IN_A_RESULT - there:
            raise damaged(self.result_file, f"it lacks {', '.join(sorted(missing))}")
        return dict(result)

    def ended_at(self) -> int | None:
        """When `result.json` was written, ns; None where there is none."""
        with suppress(OSError):
            return self.result_file.stat().st_mtime_ns
        return None

    def log(self, event: str, **figures: Any) -> None:
        """Append one line to `log.jsonl`, if this process is the writer.

        Raises RunFolderError if the disk is full.
        """
        if not is_writer():
            return
        line = json.dumps({"event": event, **_json_ready(figures)}, ensure_ascii=False)
        try:
            # A name that is not UTF-8 is told by escapes, which JSON reads as what it is.
            with self.log_file.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line + "\n")
        except OSError as error:
            raise unwritable(self.log_file, error) from error

    def records(self) -> list[dict[str, Any]]:
        """The log's lines; one cut short, and what was written on behind it, is left out."""
        if not self.log_file.exists():
            return []
        records = []
        for line in self.log_file.read_text(encoding="utf-8", errors="replace").split("\n"):
            with suppress(ValueError):
                records.append(json.loads(line))
        return records

    def warnings(self) -> list[str]:
        """What was warned of on the way, each once."""
        told = (record["message"] for record in self.records() if record["event"] == "warning")
        return list(dict.fromkeys(told))

    def epochs(self) -> list[dict[str, Any]]:
        """The epochs of the last stage in order."""
        return [record for record in self.records() if record["event"] == "epoch"]

    def forget_after(self, step: int, stage: str | None = None) -> None:
        """Drop the log's epochs after `step`: training goes on from there and logs them again.

        stage: of an earlier stage, whose epochs have its key; None: of the last.
        """
        event = "epoch" if stage is None else "stage_epoch"
        kept = [
            record
            for record in self.records()
            if record["event"] != event or record.get("stage") != stage or record["step"] <= step
        ]
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in kept]
        write_text(self.log_file, "".join(lines))

    def _holds_something_else(self) -> bool:
        if not self.path.is_dir():
            return self.path.exists()
        there = set(self.path.iterdir())
        ours = {*leftovers(self.path), self.path / ".lock"}
        return bool(there - ours) and self.config_file not in there  # which may be new this moment

    def _write_header(self, identity: dict[str, Any], about: dict[str, Any]) -> None:
        made_by = {"format": FORMAT, "newfound": __version__, "versions": _versions()}
        header = made_by | identity | about
        write_text(self.config_file, json.dumps(header, indent=2) + "\n")

    def _has_work(self) -> bool:
        """Whether there is anything that took time to make."""
        made = (
            self.checkpoint,
            self.labelled_only,
            self.result_file,
            *self.path.glob("stage-*.pt"),
        )
        searched = any(record["event"] == "heldout" for record in self.records())
        return searched or any(file.exists() for file in made)


def _difference(header: dict[str, Any], identity: dict[str, Any], about: dict[str, Any]) -> str:
    """What of the identity is otherwise in the folder, a line each; "" if nothing is."""
    there = _flat({name: header.get(name) for name in identity})
    asked = _flat(json.loads(json.dumps(identity)))
    told = {
        "data_fingerprint": f"data: {_data_in_words(header)} there, {_data_in_words(about)} asked; "
        "files, their names or order, labels or sizes differ",
        "weights_fingerprint": f"weights: {_weights_in_words(header)} there, "
        f"{_weights_in_words(about)} asked",
    }
    return "\n".join(
        "  " + told.get(name, f"{name}: {there.get(name)!r} there, {asked.get(name)!r} asked")
        for name in sorted(there.keys() | asked.keys())
        if there.get(name) != asked.get(name)
    )


def _weights_in_words(header: dict[str, Any]) -> str:
    return f"those of {header['weights']!r}" if header.get("weights") else "none"


def _data_in_words(header: dict[str, Any]) -> str:
    data = header.get("data") or {}
    return f"{data.get('items', 'other')} items of {data.get('source')!r}"


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _json_ready(figures: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: a figure that is none is null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in VERSIONS_OF}}
