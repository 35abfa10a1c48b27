"""What can go wrong through no fault of the program: each error names the value and the cure."""


class InputError(ValueError):
    """Something the user gave cannot be used; the command line prints it and exits with 2."""


class LocalError(InputError):
    """What one of several processes of a run may meet alone, so that each tells its own.

    is_shared: the others raise it, too, as they were told of it.
    """

    is_shared = False


class StoreError(LocalError):
    """A store of shards elsewhere does not answer, which says nothing of what lies there."""


class RunFolderError(InputError):
    """A run folder cannot be written, read or continued."""


class BusyError(RunFolderError):
    """Another process is working on the run folder."""


class NonFiniteLossError(InputError):
    """A loss term became NaN or infinite; training stopped and kept its last good checkpoint."""


class CompilerError(LocalError):
    """torch.compile cannot work on this machine; a step was left half taken."""


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The user stopped the run; its work is on disk and the message says how to go on."""
