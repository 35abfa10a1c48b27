"""What the figures depend on: the machine, the versions, the commit."""

import os
import platform
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

import torch

from benchmarks.devices import devices
from benchmarks.results import About
from newfound.machine.device import describe
from newfound.version import __version__, source_commit

_PACKAGES = (
    "torch",
    "torchvision",
    "torchaudio",
    "kornia",
    "av",
    "numpy",
    "pillow",
    "scikit-learn",
)


def about() -> About:
    """Of this machine, now."""
    return About(
        began=datetime.now().astimezone().isoformat(timespec="seconds"),
        newfound=__version__,
        commit=source_commit(),
        hardware={device.type: describe(device) for device in devices()},
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        memory_gb=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        system=platform.platform(),
        load=round(os.getloadavg()[0], 2),
        versions={"python": platform.python_version()} | _installed(),
    )


def _installed() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
