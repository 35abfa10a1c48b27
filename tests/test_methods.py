"""Every method, from the command line to a finished run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.made_images import write_class_folders
from support.small_run import discover_command, newfound, one_thread
