"""Whether the processes of a run have the same job and the same files, as by several machines."""

from typing import Any

from newfound.data.catalogue import Catalogue
from newfound.errors import InputError
from newfound.job import Job, identity_of
from newfound.machine import distributed


def check_all_began_alike(job: Job) -> None:
    """Raise InputError if another process has other data or settings, as by another machine."""
    by_process = distributed.everyones(identity_of(job))
    for number, identity in enumerate(by_process):
        for name, of_first in by_process[0].items():
            if identity[name] != of_first:
                raise InputError(
                    f"process {number} of {len(by_process)} has another {name} than process 0 "
                    f"({_differing(identity[name], of_first)}); see that all have the same "
                    "command, files and kind of machine"
                )


def _differing(here: Any, there: Any) -> str:
    """Of settings the first that differs, of others all."""
    if isinstance(here, dict):
        names = (name for name in here | there if here.get(name) != there.get(name))
        return next(f"{name} {here.get(name)!r} and {there.get(name)!r}" for name in names)
    return f"{here!r} and {there!r}"


def check_all_read_the_same(catalogue: Catalogue, unreadable: list[int]) -> None:
    """Raise InputError if one of several processes cannot read what another can."""
    by_process = [set(rows) for rows in distributed.everyones(unreadable)]
    differing = sorted(set[int]().union(*by_process) - by_process[0].intersection(*by_process))
    if differing:
        row = differing[0]
        failing = [str(number) for number, rows in enumerate(by_process) if row in rows]
        raise InputError(
            f"{str(catalogue.names[row])!r} cannot be read by process {', '.join(failing)} of "
            f"{distributed.count()}, and by the others it can; see that all have the same files"
        )
