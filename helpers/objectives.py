"""What to reach: a part of a network, as a model of its own.

`reconstruct` asks for the output of a model. What else one may want, the output of a hidden unit, a
unit that is off, an output at one time step, is made into a model here, which shares the weights of
the trained one. So each of them combines with everything that `reconstruct` can do. Gates of an
LSTM are in `gates`.
"""

import numpy as np

from helpers.backend import keras
from helpers.models import call_of, check_model, layer_of, output_layer, preactivation
from helpers.validation import choice, positive_number, whole_number


class _Pick(keras.layers.Layer):
    """Some entries of one axis, with the activation that they come from."""

    def __init__(self, indices, axis, activation=None):
        super().__init__()
        self.indices, self.axis, self.activation = indices, axis, activation

    def call(self, x):
        return keras.ops.take(x, self.indices, axis=self.axis)


def units(model, layer, unit=None, *, space="activation"):
    """A model whose output is one or more units of a layer of `model`.

    Parameters
    ----------
    model : keras.Model
        The trained model, with one input and one output.
    layer : str or int
        The layer, by its name or its index (the inputs are not counted).
    unit : int or sequence of int, optional
        Which of its units, counted along the last axis; negative from the end. Default: all.
    space : {"activation", "preactivation"}
        What is reached: what the layer puts out, or the weighted sum z before its activation.
        The latter needs a Dense or Activation layer.

    Returns
    -------
    keras.Model
        It shares the weights of `model`. Its output has shape (N, …, number of units).

    Raises
    ------
    TypeError, ValueError
        If there is no such layer or unit, or its pre-activation is not known.
    """
    check_model(model)
    choice("space", space, ("activation", "preactivation"))
    layer = layer_of(model, layer)
    whole = (
        preactivation(model, call_of(model, layer))
        if space == "preactivation"
        else keras.Model(model.inputs[0], call_of(model, layer).output_tensors[0])
    )
    if unit is None:
        return whole
    size = whole.outputs[0].shape[-1]
    activation = getattr(layer, "activation", None) if space == "activation" else None
    picked = _Pick(_indices("unit", unit, size), -1, activation)
    return keras.Model(model.inputs[0], picked(whole.outputs[0]))


class _Excess(keras.layers.Layer):
    """max(0, z + margin): by how much a unit is not off."""

    def __init__(self, margin):
        super().__init__()
        self.margin, self.activation = margin, keras.activations.relu

    def call(self, z):
        return keras.ops.relu(z + self.margin)


def off(model, layer, unit, *, margin):
    """A model whose output is 0 where a unit is off by a margin: max(0, z + margin).

    Ask :func:`helpers.reconstruction.reconstruct` for the target 0, with an `atol` below the
    margin: an input that has converged has z ≤ atol − margin. One that is off already stays.

    Parameters
    ----------
    model, layer, unit
        As for :func:`units`.
    margin : float
        How far below 0 the pre-activation is to be, above 0. A sigmoid is at most ε from the
        margin logit(1 − ε) on.

    Returns
    -------
    keras.Model
        Its output has shape (N, …, number of units).

    Raises
    ------
    TypeError, ValueError
        As :func:`units`, and if `margin` is not above 0.

    Notes
    -----
    The excess is measured on the pre-activation, and beyond its zero, because a ReLU unit gives no
    gradient where it is off, and one at its boundary only creeps to it. See chapter 6.
    """
    margin = positive_number("margin", margin)
    z = units(model, layer, unit, space="preactivation")
    return keras.Model(z.inputs[0], _Excess(margin)(z.outputs[0]))


def at_steps(model, steps):
    """A model whose output is that of a recurrent `model` at chosen time steps.

    Parameters
    ----------
    model : keras.Model
        A model that answers a sequence with a sequence, of shape (N, T, features).
    steps : int or sequence of int
        Which steps, counted from 0; negative from the end.

    Returns
    -------
    keras.Model
        Its output has shape (N, number of steps, features).

    Raises
    ------
    TypeError, ValueError
        If the output is no sequence, or a step lies outside.
    """
    check_model(model)
    shape = model.outputs[0].shape
    if len(shape) != 3:
        raise ValueError(
            f"model must answer with a sequence, of shape (N, T, features), not {shape}: "
            "its recurrent layers need return_sequences=True"
        )
    activation = getattr(output_layer(model), "activation", None)
    picked = _Pick(_indices("steps", steps, shape[1]), 1, activation)
    return keras.Model(model.inputs[0], picked(model.outputs[0]))


def _indices(name, value, size):
    """One index or several, from 0 to size − 1 where the size is known, or an error."""
    given = np.atleast_1d(np.asarray(value, dtype=object))
    if given.ndim != 1 or len(given) == 0:
        raise ValueError(f"{name} must be a whole number or a sequence of them, not {value!r}")
    limits = {"least": -(2**31), "most": 2**31 - 1}
    if size is not None:
        limits = {"least": -size, "most": size - 1}
    return [whole_number(name, index, **limits) for index in given]
