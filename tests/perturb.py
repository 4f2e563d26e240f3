"""Perturb each training at its start, by a few units in the last place of its number format.

`machines.py` has the kernels of the chapters run this file when they start. It wraps the one call
that all trainings of the book end in, `keras.Model.fit`: the starting weights and the data are
multiplied by 1 + 8ε u, with u normally distributed and ε the resolution of the format (in float32
8ε is 1e-6). Nothing in the chapters or the helpers knows of it.
"""

import functools
import os

import numpy as np

from helpers.backend import keras, tf

rng = np.random.default_rng(int(os.environ["PERTURBATION"]))
fit = keras.Model.fit


def perturbed(array, dtype):
    """The array, each entry changed by some units in the last place of the format."""
    array = np.asarray(array)
    factor = 1 + 8 * np.finfo(dtype).eps * rng.standard_normal(array.shape)
    return (array * factor).astype(array.dtype)


@functools.wraps(fit)
def fit_perturbed(model, x=None, y=None, **options):
    dtype = model.inputs[0].dtype
    model.set_weights([perturbed(weights, dtype) for weights in model.get_weights()])
    if isinstance(x, tf.data.Dataset):  # one batch with all the data, repeated
        batch = next(iter(x))
        x = tf.data.Dataset.from_tensors(tuple(perturbed(c, dtype) for c in batch)).repeat()
    else:
        x, y = perturbed(x, dtype), perturbed(y, dtype)
    return fit(model, x, y, **options)


keras.Model.fit = fit_perturbed
