"""Several processes at one run, as torchrun starts them: who they are, what they share.

They split the items of each batch, process r of W taking every W-th row from r on, and each
computes the loss of the whole batch from everybody's outputs, of which its own alone carry
gradients. Without torchrun there is one process, and everything here leaves things as they are.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Generator, Tensor, nn
from torch.autograd.function import Function, FunctionCtx, once_differentiable

from newfound.errors import InputError, Stopped
from newfound.machine.chance import SharedGenerator
from newfound.machine.device import choose_device
from newfound.machine.torchrun import is_first, started, started_here

PATIENCE = timedelta(hours=6)
"""For how long processes wait for one another, as for the writer's k-means of many items.

Once they have joined, the end of one is told by its closed connection, at once; among GPUs by
torchrun, which ends the others.
"""

_T = TypeVar("_T")


def count() -> int:
    """Processes at the run; 1 until they have joined."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process among them, from 0; 0 until they have joined."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_writer() -> bool:
    """Whether this is the one process that writes and speaks, before they have joined too."""
    return rank() == 0 if dist.is_initialized() else is_first()


@contextmanager
def joined(wish: str) -> Iterator[torch.device]:
    """Within, the processes that torchrun has started work together; yields this one's device.

    wish: as for `choose_device`; with `auto` or `cuda` each process takes a GPU of its own.
    Raises InputError if there are more processes than GPUs. A group that is there already is used,
    and left as it is; InputError if it is for GPUs alone.

    After an error the group is left to the end of the process. NCCL's end is for all processes
    together, and the others may be waiting for this one elsewhere. Gloo's may wait for ever, too,
    if what the error holds, as DistributedDataParallel, is what goes last.
    """
    device = _own_device(wish)
    if dist.is_initialized():
        _check_can_tell_one_another()
    if started() == 1 or dist.is_initialized():
        yield device
        return
    # Gloo also where the tensors are on GPUs: for what processes tell one another beside them.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    # None goes on, and perhaps ends, while others are still joining by the store that it may hold.
    any_process(False)
    yield device
    dist.destroy_process_group()


def _check_can_tell_one_another() -> None:
    try:
        dist.all_reduce(torch.zeros(()))
    except RuntimeError as error:
        raise InputError(
            f"the process group that is there takes no tensors of the CPU ({error}); make it by "
            'init_process_group("cpu:gloo,cuda:nccl"), or let newfound make one'
        ) from error


def _own_device(wish: str) -> torch.device:
    device = choose_device(wish)
    if started() == 1 or device.type != "cuda":
        return device
    if started_here() > 1 or device.index is None:
        number, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if started_here() > there:
            raise InputError(
                f"there are {started_here()} processes here and {there} GPUs; give torchrun "
                f"--nproc-per-node {there}, or newfound --device cpu"
            )
        device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    return device


def check_batch(batch: int, flag: str = "--batch") -> None:
    """Raise InputError for a batch that the processes cannot share evenly.

    flag: by which it is given.
    """
    if batch % count():
        fitting = max(batch // count(), 1) * count()
        raise InputError(
            f"{count()} processes cannot evenly share batches of {batch}; give {flag} {fitting}, "
            "or another number of processes"
        )


def own_rows(rows: Tensor) -> Tensor:
    """Of the rows of a batch those of this process: every `count()`-th from `rank()` on."""
    return rows[rank() :: count()]


def own_generator(device: torch.device) -> Generator:
    """A generator for this process's rows of a batch."""
    return torch.Generator(device) if count() == 1 else SharedGenerator(device, count(), rank())


def gathered(rows: Tensor) -> Tensor:
    """The rows of the whole batch from each process's own, in the batch's order.

    rows: (M / W, d) float32, alike in all processes.  Returns (M, d). Each process is to compute
    the same function of the result, and DistributedDataParallel to average the gradients of the
    parameters: the gradient by its own rows, times W, then sums up to that of the whole batch.
    """
    return gathered_together([rows])[0]


def gathered_together(parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """`gathered` of several tensors of as many rows, by one exchange."""
    if count() == 1:
        return parts
    whole: tuple[Tensor, ...] = _Gathered.apply(*parts)
    return whole


class _Gathered(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, *parts: Tensor) -> tuple[Tensor, ...]:
        # What no loss reaches keeps no gradient, rather than one of zeros.
        ctx.set_materialize_grads(False)
        sizes = [part.shape[1] for part in parts]
        whole: tuple[Tensor, ...] = _interleaved(torch.cat(parts, dim=1)).split(sizes, dim=1)
        return whole

    @staticmethod
    @once_differentiable
    def backward(_: FunctionCtx, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return tuple(None if g is None else own_rows(g) * count() for g in gradients)


def total(values: Tensor) -> Tensor:
    """The sum of all processes' values, without gradients."""
    summed = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(summed)
    return summed


def of_all(values: Tensor) -> Tensor:
    """All processes' values, by their numbers and without gradients: (...) -> (W, ...)."""
    each = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(count())]
    dist.all_gather(each, values.contiguous())
    return torch.stack(each)


def _interleaved(rows: Tensor) -> Tensor:
    return of_all(rows).transpose(0, 1).flatten(0, 1)


def shared_out(rows: Tensor, work: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """What `work` makes of rows, each process working on its share.

    rows: (n,).  work: some of them -> tensors of as many rows, on the device of the run or not.
    Returns all processes' tensors in the order of `rows`.
    """
    if count() == 1:
        return work(rows)
    # Shares are of one size, so that they can be gathered: the last rows are done twice.
    missing = -len(rows) % count()
    padded = torch.cat([rows, rows[-1:].expand(missing)])
    return tuple(_interleaved(made)[: len(rows)] for made in work(own_rows(padded)))


def agreed(make: Callable[[], _T]) -> _T:
    """What the writer makes, given to all. Raises in all of them what it raises."""
    if count() == 1:
        return make()
    made: list[Any] = [None, None]
    if is_writer():
        try:
            made[0] = make()
        except Exception as error:
            made[1] = error
    dist.broadcast_object_list(made, src=0, device=torch.device("cpu"))
    if made[1] is not None:
        raise shared(made[1])
    value: _T = made[0]
    return value


def shared(error: Exception) -> Exception:
    """An error that all processes raise, for one of them to tell: see LocalError."""
    error.is_shared = True  # type: ignore[attr-defined]
    return error


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any of them. All have to ask."""
    return any_process_each(flag)[0]


def any_process_each(*flags: bool) -> list[bool]:
    """`any_process` of several flags by one exchange."""
    if count() == 1:
        return list(flags)
    of_all = torch.tensor(flags, dtype=torch.int64)
    dist.all_reduce(of_all, dist.ReduceOp.MAX)
    return of_all.bool().tolist()


def everyones(value: _T) -> list[_T]:
    """Each process's value, by their numbers."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    dist.all_gather_object(values, value)
    return values


def with_the_writers_buffers(network: nn.Module) -> None:
    """Give the network the writer's running statistics, where BatchNorm keeps its own in each."""
    if count() > 1:
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)


def is_of_a_lost_process(error: RuntimeError) -> bool:
    """Whether torch tells by it that another process of the run has ended."""
    if count() == 1:
        return False
    return isinstance(error, dist.DistError) or "Connection" in str(error) or "gloo" in str(error)


def lost_process(folder: object) -> Stopped:
    """What tells the user that the run cannot go on without it."""
    return Stopped(
        f"another of the {count()} processes has ended, so this one stops; {folder} holds the work "
        "up to the last checkpoint. The same command goes on from there"
    )
