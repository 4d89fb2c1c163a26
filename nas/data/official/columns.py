"""The columns of a table that was made from an official file.

==================================  ==================================================================================
``arch``                            in the space's notation
``hash``                            NAS-Bench-101 only: the benchmark's name of the module, a text
``params``                          parameters, in units
``flops``                           multiply-accumulates of one image, in units, counted as the benchmark counts them
``{dataset}_params`` ``_flops``     NATS-Bench: those of the network for another dataset than CIFAR-10
``{dataset}_latency_seconds``       NATS-Bench: of one minibatch, mean over the trainings that state it
``{what}_{epochs}ep_seed{N}``       one training, by its random seed
``{what}_{epochs}ep_run{N}``        one training where the benchmark names no seeds, in the order of the file
``{what}_{epochs}ep_mean``          mean over the trainings of this network
``{what}_{epochs}ep_trials``        how many trainings that is; it differs between networks
``{dataset}_{proxy}_naslib``        NAS-Bench-Suite-Zero: NASLib's own score; ``..._naslib_seconds`` what it took
``{dataset}_valid_naslib``          NAS-Bench-Suite-Zero: ``val_accuracy``; the file states no epochs and no seeds
``lr`` ``wd``                       NDS: learning rate and weight decay of the training
==================================  ==================================================================================

``{what}`` is ``{dataset}_{split}`` for accuracy in per cent at the end of training, and ``{dataset}_train_seconds``
for what that training took. ``{epochs}`` is the length of the schedule (a 12-epoch training is another one than the
twelfth epoch of 200); ``54of108`` is the middle of one, which NAS-Bench-101 measured. Splits are ``train``, ``valid``,
``test``, and ``validtest`` for the last two together. Datasets are ``cifar10``, ``cifar100``, ``imagenet16``
(ImageNet16-120), ``imagenet``, and ``cifar10valid``: NATS-Bench's ``cifar10-valid``, trained on half of CIFAR-10's
training images, the only one of CIFAR-10 with a ``valid`` split there; its ``cifar10`` is trained on all of them. No
column takes the best of several epochs or trainings.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

from nas.errors import UsageError

Row = dict[str, float | str]
Watch = Callable[[int, int, str], None]
"""(done, total, note): called as the work goes on."""

TEXTS = ("arch", "hash")
"""The columns that are texts; all others are numbers."""


MAX_JSON_BYTES = 2**31
"""Bytes of a JSON file, which is read as a whole; the benchmarks' largest have some hundred million."""
MAX_TRAININGS = 1000
"""Trainings of one network; benchmarks have three."""


def measured(what: str, epochs: int | str, trials: Mapping[str, float]) -> Row:
    """The columns of one quantity: each training's by its name (``seed777``, ``run1``), their mean and their number."""
    if not trials:
        return {}
    if len(trials) > MAX_TRAININGS:
        raise ValueError(f"a network has {len(trials):,} trainings, more than {MAX_TRAININGS:,}")
    row: Row = {f"{what}_{epochs}ep_{name}": float(value) for name, value in trials.items()}
    return row | {f"{what}_{epochs}ep_mean": fmean(trials.values()), f"{what}_{epochs}ep_trials": float(len(trials))}


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever a damaged file makes a reader raise into one sentence that names the file."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except DAMAGE as error:
        if isinstance(error, OSError) and error.filename is not None:  # an error of the system, not of the file
            raise
        message = " ".join(str(error).split())[:200]
        raise UsageError(f"{path} is damaged, cut off or of another form: {type(error).__name__}: {message}") from error


DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, EOFError, OverflowError, OSError, RecursionError, SyntaxError,
    MemoryError,
    struct.error, zipfile.BadZipFile,
)  # fmt: skip
