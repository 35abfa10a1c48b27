"""What to say where torch.compile does not work."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from newfound.errors import CompilerError


@contextmanager
def lack_of_compiler_in_words() -> Iterator[None]:
    """Within, a failure of torch.compile, as without a C++ compiler, raises CompilerError.

    What fails while it compiles, as for want of memory, raises as it does elsewhere.
    """
    try:
        yield
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415 - takes a second

        if not isinstance(error, TorchDynamoException):
            raise
        inner = getattr(error, "inner_exception", error)
        if isinstance(inner, MemoryError | torch.OutOfMemoryError):
            raise inner from error
        reason = str(inner).strip().partition("\n")[0] or type(inner).__name__
        raise CompilerError(
            f"torch.compile does not work here ({reason}); give the same command without --compile"
        ) from error
