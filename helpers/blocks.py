"""A batch in parts: grains, all of which are computed alike, and blocks of them, on all cores.

A step goes through all targets that are worked on, and what is more than a cache holds comes from
memory, at each step anew. So a loop works on a grain, a few targets, until they are done, and then
on the next one. A block is what one call of a compiled program gets: a number of grains.

All grains of a model have one size, whatever the size of the batch; the last one is filled up with
copies. No operation mixes targets, and the program of a grain is the same wherever it stands. So a
target is computed by the same instructions, be it alone or one of a million, and a batch gives, bit
for bit, what single calls give.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from helpers.backend import tf
from helpers.graph import all_layers

# A step of a grain takes so many multiplications, if a grain of 16 does not take more.
WORK = 2**15

# The fewest rows with which a matrix product is efficient, and the most in a grain.
FEWEST, MOST = 16, 1024

# The most grains in a block. A call costs as much as some ten thousand targets of a line.
GRAINS = 64

# The same of a small block. Not one: XLA would compile it otherwise, and round otherwise.
FEW = 2


def size_of_grain(model, shape, copies):
    """How many targets a grain of a model has: a power of two.

    Parameters
    ----------
    model : keras.Model
    shape : tuple of int
        Of one input.
    copies : int
        How many times each input is computed at a step: once for each row of a Jacobian.
    """
    size, work, places = 1, 0, 1
    for layer in all_layers(model):
        at = _places(layer, shape[0] if shape else 1)
        weights = layer.count_params() if layer.built and not hasattr(layer, "layers") else 0
        work += at * (weights + 1)
        places = max(places, at if weights else 1)
    work *= copies
    while size < MOST and 2 * size * work <= WORK:
        size *= 2
    # The places of an image, and copies, are rows as well.
    if places == 1 or work <= WORK:
        while size * copies < FEWEST:
            size *= 2
    return size


def _places(layer, length):
    """At how many steps or pixels a layer uses its weights; an open axis has the given length."""
    nodes = layer._inbound_nodes
    tensors = [t for node in nodes for t in (*node.input_tensors, *node.output_tensors)]
    sizes = [np.prod([axis or length for axis in t.shape[1:-1]], dtype=int) for t in tensors]
    return int(max(sizes, default=1))


def blocks(N, grain, most):
    """Slices of 0 … N, of whole grains but for the last, at most `most` of them in each.

    As many as there are cores at least, if there are grains enough.
    """
    grains = -(-N // grain)
    number = max(-(-grains // most), min(grains, cores()))
    step = -(-grains // number) * grain
    return [slice(first, min(first + step, N)) for first in range(0, N, step)]


def cores():
    """On how many cores to work: those of this process, or as many threads as TensorFlow may."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return tf.config.threading.get_intra_op_parallelism_threads() or own


def on_all_cores(function, number, alone):
    """Call a function with 0, 1, … number − 1, on all cores, and yield the number of each call.

    The first call is over before the others begin if it is to be `alone`.
    """
    first = number if cores() == 1 else 1 if alone or number == 1 else 0
    for i in range(first):
        function(i)
        yield i
    if first == number:
        return
    with ThreadPoolExecutor(cores()) as pool:
        try:
            for i, _ in enumerate(pool.map(function, range(first, number)), first):
                yield i
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def filled(array, rows):
    """The array with as many rows, the last one repeated."""
    missing = rows - len(array)
    if not missing:
        return array
    return np.concatenate([array, np.broadcast_to(array[-1:], (missing, *array.shape[1:]))])


def in_grains(advance, number, own, results):
    """The function of a grain, made one of a number of grains, which takes one after the other.

    Parameters
    ----------
    advance : callable
        Of tensors: those that `own` describes, and others. It returns a sequence of tensors.
    number : int
        How many grains there is room for.
    own : sequence of tf.TensorSpec
        Those with a row for each target of a grain, which come first.
    results : sequence of tf.TensorSpec
        What it returns, each with a row for each target of a grain.

    Returns
    -------
    callable
        Of the number of grains that count, and the tensors; and the `own` that it needs.
    """

    def program(grains, *tensors):
        split = [tf.reshape(t, (number, *s.shape)) for t, s in zip(tensors, own)]

        def one(i, found):
            new = advance(*(tf.gather(each, i) for each in split), *tensors[len(own) :])
            return i + 1, [array.write(i, part) for array, part in zip(found, new)]

        found = [tf.TensorArray(s.dtype, number, element_shape=s.shape) for s in results]
        _, found = tf.while_loop(lambda i, found: i < grains, one, (0, found))
        return [tf.reshape(a.stack(), (-1, *s.shape[1:])) for a, s in zip(found, results)]

    return program, [tf.TensorSpec((number * s.shape[0], *s.shape[1:]), s.dtype) for s in own]
