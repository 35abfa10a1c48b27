"""What users rely on: public names, settings and the command line's help, as snapshots.

A change here is a change for them: write it in CHANGELOG.md, then make the snapshots anew with
`NEWFOUND_SNAPSHOTS=write pytest tests/test_public_surface.py`.
"""

import json
import os
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

import newfound
from newfound.config import Config, Runtime, VideoConfig
from support.small_run import newfound as run_newfound

SNAPSHOTS = Path(__file__).parent / "snapshots"


def assert_as_before(name: str, text: str) -> None:
    path = SNAPSHOTS / name
    if os.environ.get("NEWFOUND_SNAPSHOTS") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_public_names() -> None:
    assert newfound.__all__ == [
        "PRESETS",
        "Catalogue",
        "Config",
        "Discovery",
        "InputError",
        "NonFiniteLossError",
        "RunFolderError",
        "Runtime",
        "Stopped",
        "Truth",
        "VideoConfig",
        "__version__",
        "clustering_accuracy",
        "discover",
        "from_arrays",
        "load",
        "open_catalogue",
    ]
    assert all(hasattr(newfound, name) for name in newfound.__all__)


@pytest.mark.parametrize("model", [Config, VideoConfig, Runtime])
def test_settings_and_their_defaults(model: type[BaseModel]) -> None:
    defaults = json.loads(model().model_dump_json())
    assert_as_before(f"{model.__name__.lower()}.json", json.dumps(defaults, indent=2) + "\n")


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["discover"],
        ["discover", "images"],
        ["discover", "videos"],
        ["tune"],
        ["tune", "images"],
        ["tune", "videos"],
        ["reproduce"],
        ["reproduce", "table1"],
        ["predict"],
        ["evaluate"],
        ["report"],
        ["make-av-digits"],
    ],
)
def test_help(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    assert run_newfound(*command, "--help") == 0
    assert_as_before("-".join(["help", *command]) + ".txt", plain(capsys.readouterr().out))


def plain(text: str) -> str:
    """Without styling, rules and trailing blanks, which are the terminal's affair."""
    unstyled = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.rstrip() for line in unstyled.splitlines()]
    kept = [line for line in lines if line and not re.fullmatch(r"[\s─╭╮╰╯│-]*", line)]
    return "\n".join(kept) + "\n"
