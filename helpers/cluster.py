"""The same search, spread over the processes of a Dask cluster: on this machine, or on many.

The targets go out in chunks, each to whichever worker is free, and come back as one result. The
model travels as the file that Keras would save. No target depends on another, so it does not matter
who computes which, nor in what order; and a chunk whose worker dies is given to another one.
"""

import contextlib
import inspect
import math
import sys
import tempfile
import threading
import time
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from helpers.backend import keras, tf
from helpers.blocks import cores
from helpers.graph import all_layers
from helpers.models import as_targets, check_model, input_and_output_shape
from helpers.reconstruction import Reconstruction, as_starts, reconstruct
from helpers.validation import flag, positive_number, whole_number

try:
    import dask
    from distributed import CancelledError, Client, KilledWorker, wait
    from distributed.protocol.pickle import dumps
except ImportError as error:
    raise ImportError("helpers.cluster needs Dask: pip install -e .[cluster]") from error

# Chunks for each thread, if no size is given: the last ones to end should not be long.
CHUNKS = 4

# Entries of inputs that a chunk may have, if no size is given: a message should not be huge.
ENTRIES = 2**24

# How often to look whether there still is a cluster, in seconds.
POLL = 0.5


class UnfinishedError(RuntimeError):
    """Some targets have no answer. Those of the others are not lost.

    Attributes
    ----------
    result : Reconstruction or None
        The answers that there are; None if there is none.
    found : ndarray of int
        Which targets they belong to, in order, counted from 0.
    missing : ndarray of int
        Which targets have no answer.

    Examples
    --------
    >>> from distributed import Client
    >>> from helpers.cluster import reconstruct_on
    >>> from helpers.training import neuron
    >>> options = {"dashboard_address": ":0", "silence_logs": "CRITICAL"}
    >>> with Client(n_workers=0, **options) as nobody:
    ...     try:
    ...         reconstruct_on(nobody, neuron(), [1.0, 2.0], start=0.0, patience=0.1)
    ...     except UnfinishedError as error:
    ...         print("to do:", error.missing)
    to do: [0 1]
    """

    def __init__(self, reason, result, found, missing):
        super().__init__(
            f"{len(missing)} of {len(found) + len(missing)} targets have no answer, "
            f"{_ranges(missing)}: {reason}. The attribute `result` has the answers to the others, "
            "`found` their numbers, `missing` those that are left to do"
        )
        self.result, self.found, self.missing = result, found, missing


def local_client(workers=None):
    """A client of a new cluster on this machine: processes of one thread each.

    Parameters
    ----------
    workers : int, optional
        How many, at least 1. Default: `helpers.blocks.cores`, those that this process may use.

    Returns
    -------
    distributed.Client
        Use it in a `with` block, or call its `close` at the end: that stops the processes. In a
        script, all this must stand below ``if __name__ == "__main__":``, because each process
        imports the script.

    Examples
    --------
    >>> with local_client(2) as client:
    ...     print(len(client.nthreads()), "workers")
    2 workers
    """
    if workers is None:
        workers = cores()
    return Client(
        n_workers=whole_number("workers", workers, least=1),
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        silence_logs="CRITICAL",
    )


def reconstruct_on(
    client, model, target, *, start, chunk=None, patience=30.0, progress=False, **options
):
    """Find the inputs to which `model` answers `target`, on the workers of a Dask cluster.

    Everything is as in :func:`helpers.reconstruction.reconstruct`, the result included. It pays
    where a chunk takes seconds: each worker imports TensorFlow and compiles the loop once.

    Parameters
    ----------
    client : distributed.Client or None
        Of a running cluster, wherever its workers are. They need this package and the same versions
        of Python and of the packages as here. None: a cluster of processes on this machine, for
        this one call; see :func:`local_client`.
    model : keras.Model
        It must be one that Keras can save and load. Classes of layers of your own must stand in a
        module that the workers can import.
    target, start : array_like
        As in `reconstruct`.
    chunk : int, optional
        How many targets a worker gets at a time, at most; at least 1. Default: four chunks for each
        thread.
    patience : float
        How many seconds to wait while the cluster has no worker, above 0.
    progress : bool
        Show a progress bar on stdout, which counts targets.
    **options
        As in `reconstruct`, but for `trace`: iterates stay where they are made.

    Returns
    -------
    Reconstruction
        As from one call of `reconstruct` on one machine.

    Raises
    ------
    TypeError, ValueError
        As `reconstruct`, and, before anything is sent, if the model cannot be saved and loaded, or
        an option cannot travel.
    UnfinishedError
        If the cluster goes away, has no worker, or loses the workers that try a certain chunk. It
        holds the answers to all other targets.

    Notes
    -----
    Dask gives a chunk whose worker dies to another one, and gives up when its setting
    `distributed.scheduler.allowed-failures` is exceeded. As it suspects all chunks that waited for
    that worker, those are then tried once more, one at a time.

    Examples
    --------
    >>> from helpers.cluster import local_client
    >>> from helpers.training import neuron
    >>> with local_client(1) as client:
    ...     reconstruct_on(client, neuron("sigmoid", W=2.0), [0.1, 0.9], start=0.0)
    Reconstruction(x of shape (2, 1): 2 converged)
    """
    if client is not None and (not isinstance(client, Client) or client.asynchronous):
        raise TypeError(f"client must be a distributed.Client, and not asynchronous: {client!r}")
    check_model(model)
    _check_options(options)
    progress, patience = flag("progress", progress), positive_number("patience", patience)
    shape, output_shape = input_and_output_shape(model, start)
    target = as_targets(model, target, output_shape)
    start = as_starts(start, (len(target), *shape), model.inputs[0].dtype)
    if chunk is not None:
        chunk = whole_number("chunk", chunk, least=1)
    saved = _saved(model)
    with contextlib.nullcontext(client) if client else local_client() as client:
        if chunk is None:
            chunk = math.ceil(len(target) / (CHUNKS * max(1, sum(client.nthreads().values()))))
            chunk = max(1, min(chunk, ENTRIES // math.prod(shape)))
        # Of one size, or nearly: a small last one would need a program of its own.
        ends = np.linspace(0, len(target), math.ceil(len(target) / chunk) + 1).astype(int)
        parts = [slice(*pair) for pair in pairwise(ends.tolist())]
        with tqdm(total=len(target), disable=not progress, file=sys.stdout, unit="target") as bar:
            found, reason = {}, None
            for i, outcome in _outcomes(client, saved, target, start, parts, options, patience):
                if isinstance(outcome, Reconstruction):
                    found[i] = outcome
                    bar.update(len(outcome.x))
                else:
                    reason = outcome
    result = _joined([found[i] for i in sorted(found)]) if found else None
    if len(found) == len(parts):
        return result
    numbers = np.arange(len(target))
    missing = np.concatenate([numbers[p] for i, p in enumerate(parts) if i not in found])
    raise UnfinishedError(reason, result, np.setdiff1d(numbers, missing), missing)


def _outcomes(client, saved, target, start, parts, options, patience):
    """Yield (i, result) for each chunk that is done, (i, why not) for one that never will be."""
    # No note about a large message: it goes out once.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
        problem = client.submit(_problem, saved, options, pure=False)

        def submit(i):
            rows = target[parts[i]], start[parts[i]]
            return client.submit(_solve, problem, *rows, pure=False)

        futures = {submit(i): i for i in range(len(parts))}
        suspects, ended = [], set()
        try:
            for future in _ended(client, futures, patience):
                if isinstance(future.exception(), KilledWorker):
                    suspects.append(futures[future])
                else:
                    yield futures[future], future.result()
                ended.add(future)
            for i in suspects:
                futures = {submit(i): i}
                for future in _ended(client, futures, patience):
                    killed = isinstance(future.exception(), KilledWorker)
                    yield i, _KILLED if killed else future.result()
        except _GoneError as error:
            yield None, str(error)
        finally:
            if client.status == "running":
                client.cancel(list(futures))


_KILLED = "each worker that tried them died; perhaps they need more memory than it has"


class _GoneError(Exception):
    """There is no cluster any more."""


def _ended(client, futures, patience):
    """Yield futures as they end; raise _GoneError if the cluster does not compute them any more."""
    waiting, seen = list(futures), time.monotonic()
    while waiting:
        try:
            done, rest = wait(waiting, timeout=POLL, return_when="FIRST_COMPLETED")
        except CancelledError:
            raise _GoneError("the cluster went away, or was told to forget them") from None
        except TimeoutError:
            with contextlib.suppress(OSError):
                if client.nthreads():
                    seen = time.monotonic()
            if time.monotonic() - seen > patience:
                raise _GoneError(f"the cluster had no worker for {patience:g} s") from None
            continue
        yield from done
        waiting, seen = list(rest), time.monotonic()


def _check_options(options):
    """Raise unless all options are those of `reconstruct`, and can be sent."""
    allowed = [
        name
        for name, parameter in inspect.signature(reconstruct).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in ("start", "progress", "trace")
    ]
    for name, option in options.items():
        if name == "trace":
            if flag("trace", option):
                raise ValueError(
                    "trace must be False: iterates stay where they are made. Ask `reconstruct` for "
                    "the few targets whose way is to be seen"
                )
        elif name not in allowed:
            raise TypeError(f"options must be of {', '.join(allowed)}, not {name!r}")
        try:
            dumps(option)
        except Exception as error:
            raise TypeError(
                f"{name} must be something that can be sent, not {option!r}: {error}"
            ) from None


def _saved(model):
    """The file that Keras saves, as bytes; raise unless a worker can load it."""
    for layer in all_layers(model):
        if type(layer).__module__ == "__main__":
            raise ValueError(
                f"model must have layers that workers can import, but {type(layer).__name__}, of "
                f"{layer.name!r}, stands in the script or notebook: move it to a module"
            )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
            keras.saving.load_model(path, compile=False)
        except Exception as error:
            raise ValueError(
                f"model must be one that Keras can save and load, but {model.name!r} is not: "
                f"{str(error).strip().splitlines()[0]}"
            ) from None
        return path.read_bytes()


def _joined(parts):
    """One result of several."""
    fields = {}
    for name in ("x", "y", "target", "residual", "status", "message", "n_iter"):
        arrays = [getattr(part, name) for part in parts]
        masked = any(np.ma.isMaskedArray(array) for array in arrays)
        fields[name] = (np.ma if masked else np).concatenate(arrays)
        fields[name].flags.writeable = False
    return Reconstruction(**fields)


def _ranges(numbers):
    """The numbers in words: "0 to 4, 9"."""
    breaks = np.flatnonzero(np.diff(numbers) > 1) + 1
    runs = [(run[0], run[-1]) for run in np.split(numbers, breaks)]
    words = [f"{a}" if a == b else f"{a} to {b}" for a, b in runs]
    return ", ".join(words if len(words) <= 5 else [*words[:5], "…"])


# --- on a worker --------------------------------------------------------------------------------


def _problem(saved, options):
    """What all chunks share; it is kept on the workers, and passed on between them."""
    return saved, options


def _solve(problem, target, start):
    saved, options = problem
    return reconstruct(_model(saved), target, start=start, **options)


_OWN = threading.local()  # what each thread of a worker has loaded last
_ONE_AT_A_TIME = threading.Lock()


def _model(saved):
    """The model in a file, of this thread alone.

    Where only the weights are new, they go into the model that is there: its loops are compiled.
    """
    if getattr(_OWN, "saved", None) != saved:
        with _ONE_AT_A_TIME:
            model, config = _loaded(saved)
        if getattr(_OWN, "config", None) == config:
            _OWN.model.set_weights(model.get_weights())
        else:
            _OWN.model, _OWN.config = model, config
        _OWN.saved = saved
    return _OWN.model


def _loaded(saved):
    """A model from a file, and the part of the file that describes its layers."""
    with contextlib.suppress(RuntimeError):  # TensorFlow has started, with its threads
        # A worker has a thread for each core: a loop of its own needs no more than one.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(saved)
        with zipfile.ZipFile(path) as file:
            config = file.read("config.json")
        return keras.saving.load_model(path, compile=False), config
