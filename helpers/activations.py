"""Which outputs a model can give at all: the ranges of the activations that it may end in."""

import numpy as np

from helpers.backend import keras
from helpers.graph import inside, origin

# Activation: the ends of its range, and whether each end belongs to it. For the smooth ones with a
# dip, the depth of the dip; the last digit is rounded down.
RANGES = {
    "celu": (-1.0, np.inf, False),
    "elu": (-1.0, np.inf, False),
    "exponential": (0.0, np.inf, False),
    "gelu": (-0.1701, np.inf, True),
    "hard_sigmoid": (0.0, 1.0, True),
    "hard_silu": (-0.375, np.inf, True),
    "hard_tanh": (-1.0, 1.0, True),
    "log_sigmoid": (-np.inf, 0.0, False),
    "log_softmax": (-np.inf, 0.0, False),
    "mish": (-0.30885, np.inf, True),
    "relu": (0.0, np.inf, True),
    "relu6": (0.0, 6.0, True),
    "selu": (-1.7580994, np.inf, False),
    "sigmoid": (0.0, 1.0, False),
    "silu": (-0.27847, np.inf, True),
    "softmax": (0.0, 1.0, False),
    "softplus": (0.0, np.inf, False),
    "softsign": (-1.0, 1.0, False),
    "sparse_plus": (0.0, np.inf, True),
    "sparse_sigmoid": (0.0, 1.0, True),
    "sparsemax": (0.0, 1.0, True),
    "squareplus": (0.0, np.inf, False),
    "tanh": (-1.0, 1.0, False),
}
ADD_UP_TO_1 = ("softmax", "sparsemax")


def last_activation(model):
    """The name of the activation that the output comes from, 'linear' where there is none."""
    return _name(origin(model.outputs[0])[0])


def _name(layer):
    """The name of a layer's activation; one of the reader's own keeps its range to itself."""
    for kind, name in (("Softmax", "softmax"), ("ReLU", "relu"), ("ELU", "elu")):
        if isinstance(layer, getattr(keras.layers, kind)):
            return name
    activation = getattr(layer, "activation", None)
    if isinstance(activation, keras.layers.Layer):
        return _name(activation)
    name = getattr(activation, "__name__", "linear")
    home = (getattr(activation, "__module__", None) or "").split(".")[0]
    return name if home in ("keras", "tensorflow") or name not in RANGES else f"your own {name}"


def _range(layer):
    """The range that a layer's activation gives it: low, high, and whether they belong to it."""
    activation = getattr(layer, "activation", None)
    layer = activation if isinstance(activation, keras.layers.Layer) else layer
    if isinstance(layer, keras.layers.ReLU):
        high = np.inf if layer.max_value is None else float(layer.max_value)
        return (-np.inf if layer.negative_slope else 0.0, high, True)
    if isinstance(layer, keras.layers.ELU):
        return (-float(layer.alpha), np.inf, False)
    return RANGES.get(_name(layer), (-np.inf, np.inf, False))


def groups_that_add_up_to_1(model):
    """Whether the last axis of the output holds whole groups whose entries add up to 1."""
    layer, whole = origin(model.outputs[0])
    recurrent = isinstance(layer, keras.layers.RNN)  # which multiplies by a gate
    axis = getattr(inside(layer), "axis", -1)
    along_the_last = axis in (-1, len(model.outputs[0].shape) - 1)
    return whole and along_the_last and not recurrent and _name(layer) in ADD_UP_TO_1


def check_range(model, given, converted):
    """Raise where a target, given and in the model's format, is none that the model can put out.

    Entries that are masked or infinite are no values to be reached, and are let through.
    """
    layer, _ = origin(model.outputs[0])
    low, high, closed = _range(layer)
    values = np.ma.getdata(converted)
    if np.isinf(low) and np.isinf(high):  # groups that add up to 1 have a range
        return
    asked = np.isfinite(values) & ~np.ma.getmaskarray(converted)
    within = (low <= values) & (values <= high) if closed else (low < values) & (values < high)
    outside = asked & ~within
    if outside.any():
        given, rounded = np.ma.getdata(given)[outside][0], values[outside][0]
        detail = f", which {values.dtype} rounds to {rounded}" if low < given < high else ""
        raise ValueError(
            f"target must lie {_in_words(low, high, closed)}, the range of {_name(layer)!r}, "
            f"not {given}{detail}"
        )
    if groups_that_add_up_to_1(model):
        _check_sum(values, asked, _name(layer))


def _check_sum(values, asked, name):
    """Raise where outputs that always add up to 1 are asked for others."""
    if values.shape[-1] == 1:
        raise ValueError(
            f"target cannot be chosen for a {name} of one unit, which is 1 whatever the input: end "
            "the model in a sigmoid"
        )
    total = values.sum(axis=-1, where=asked, dtype=float)
    # Each entry is rounded by half a unit in the last place; a reader's own, to some digits.
    tolerance = 1e-3 + values.shape[-1] * np.finfo(values.dtype).eps
    complete = asked.all(axis=-1)
    wrong = np.where(complete, abs(total - 1) > tolerance, total >= 1 + tolerance)
    if wrong.any():
        raise ValueError(
            f"target must add up to 1 along its last axis, as the outputs of {name!r} do, not to "
            f"{total[wrong][0]:.6g}; mask the entries that do not matter"
        )


def _in_words(low, high, closed):
    if np.isinf(high):
        return f"{low:g} or above" if closed else f"above {low:g}"
    if np.isinf(low):
        return f"{high:g} or below" if closed else f"below {high:g}"
    return f"{'' if closed else 'strictly '}between {low:g} and {high:g}"
