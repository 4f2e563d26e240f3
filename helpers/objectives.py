"""What to reach: a part of a network, as a model of its own.

`reconstruct` asks for the output of a model. What else one may want, the output of a hidden unit, a
unit that is off, an output of several, at one time step, through several windows, or at least so
large, is made into a model here, which shares the weights of the trained one. So each of them
combines with everything that `reconstruct` can do, and with each other. Gates of an LSTM are in
`gates`; models some of whose inputs are known, in `known_inputs`.
"""

import numpy as np

from helpers.activations import groups_that_add_up_to_1, last_activation
from helpers.backend import keras
from helpers.graph import (
    Pick,
    format_for,
    has_graph,
    inputs_of,
    layer_of,
    node_of,
    preactivation,
    reach,
)
from helpers.known_inputs import completed, given
from helpers.models import check_is_built, check_model
from helpers.validation import choice, finite_number, positive_number, whole_number

__all__ = [
    "at_least", "at_most", "at_offsets", "at_steps", "completed", "given", "log_odds", "off",
    "output", "units",
]  # fmt: skip


def units(model, layer, unit=None, *, space="activation"):
    """A model whose output is one or more units of a layer of `model`.

    Parameters
    ----------
    model : keras.Model
        The trained model, with one input and one output.
    layer : str or int
        The layer, by its name or its index (the inputs are not counted). One inside an inner model
        goes by its path, "encoder/dense", or by its name alone where no other layer has it.
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
        If there is no such layer or unit, or its pre-activation is not known; if the layer lies
        inside a subclassed model.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> hidden = keras.layers.Dense(3, activation="relu", name="hidden")
    >>> last = keras.layers.Dense(1)
    >>> network = keras.Sequential([keras.Input((2,)), hidden, last])
    >>> units(network, "hidden", [0, 2]).output_shape
    (None, 2)
    """
    check_model(model)
    choice("space", space, ("activation", "preactivation"))

    def values(node):
        tensor = node.output_tensors[0]
        return preactivation(tensor) if space == "preactivation" else tensor

    tensor = reach(model, layer_of(model, layer), values)
    if unit is not None:
        tensor = _picked(tensor, _indices("unit", unit, tensor.shape[-1]), -1)
    return keras.Model(model.inputs[0], tensor)


def output(model, which):
    """A model with one output of a model that has several.

    Parameters
    ----------
    model : keras.Model
        With any number of inputs (see :func:`given`) and outputs.
    which : str or int
        The output, by its name (`model.output_names`, or its key where the model returns a dict) or
        its index.

    Returns
    -------
    keras.Model

    Raises
    ------
    TypeError, ValueError
        If there is no such output, or the model is no built Keras model.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> x = keras.Input((1,))
    >>> model = keras.Model(x, {"double": 2 * x, "square": x * x})
    >>> print(output(model, "square")(np.array([[3.0]])).numpy())
    [[9.]]
    """
    check_is_built(model)
    names, tensors = list(model.output_names), list(model.outputs)
    if isinstance(model.output, dict):
        names, tensors = list(model.output), list(model.output.values())
    if isinstance(which, str):
        if len(set(names)) < len(names):  # outputs of one inner model go by the names in it
            names = [_inner_name(tensor) for tensor in tensors]
        if names.count(which) != 1:
            problem = "not" if which not in names else "by index where several have one name, not"
            raise ValueError(f"which must be one of {names}, {problem} {which!r}")
        index = names.index(which)
    else:
        index = whole_number("which", which, least=-len(names), most=len(names) - 1)
    return keras.Model(inputs_of(model), tensors[index])


def _inner_name(tensor):
    layer = node_of(tensor).operation
    if not has_graph(layer):
        return layer.name
    return _inner_name(layer.outputs[tensor._keras_history.tensor_index])


@keras.saving.register_keras_serializable("helpers")
class LogOdds(keras.layers.Layer):
    """z_k − log Σ exp z_j over the other j, for some k."""

    def __init__(self, indices, **options):
        super().__init__(**options)
        self.indices = list(indices)

    def call(self, z):
        n = z.shape[-1]
        others = [[j for j in range(n) if j != k % n] for k in self.indices]
        rest = keras.ops.logsumexp(keras.ops.take(z, others, axis=-1), axis=-1)
        return keras.ops.take(z, [k % n for k in self.indices], axis=-1) - rest

    def get_config(self):
        return super().get_config() | {"indices": self.indices}


def log_odds(model, unit):
    """A model whose output is the logarithm of the odds of one class, or of several.

    Of a softmax, whose probabilities are p, it is z_k − log Σ exp z_j over the other classes, which
    is log (p_k / (1 − p_k)): its sigmoid *is* the probability. Ask `reconstruct` for logit(0.999),
    say; unlike the probability, the log-odds do not saturate. A wanted z_k alone says little: the
    others may rise with it.

    Parameters
    ----------
    model : keras.Model
        With one input and one output, that ends in a softmax along the last axis, or in a sigmoid
        (whose log-odds are its pre-activation).
    unit : int or sequence of int
        Which classes.

    Returns
    -------
    keras.Model
        Its output has shape (N, …, number of units).

    Raises
    ------
    TypeError, ValueError
        If the model ends otherwise, or there is no such unit.

    Examples
    --------
    >>> from helpers.training import neuron
    >>> model = log_odds(neuron("sigmoid", W=2.0, b=-1.0), 0)
    >>> print(model(np.array([[3.0]])).numpy())
    [[5.]]
    """
    check_model(model)
    activation = last_activation(model)
    if activation not in ("softmax", "sigmoid"):
        raise ValueError(
            f"model must end in a softmax or a sigmoid, but {model.name!r} ends in {activation!r}"
        )
    if activation == "softmax" and not groups_that_add_up_to_1(model):
        raise ValueError(
            f"model must end in a whole softmax along its last axis: {model.name!r} has one along "
            "another axis, or picks or rearranges what it gives. Pick after log_odds, not before"
        )
    z = preactivation(model.outputs[0])
    if activation == "softmax" and z.shape[-1] == 1:
        raise ValueError(
            f"model must have two classes or more, but the softmax of {model.name!r} has one, "
            "whose probability is 1 whatever the input"
        )
    indices = _indices("unit", unit, z.shape[-1])
    if activation == "sigmoid":
        return keras.Model(model.inputs[0], _picked(z, indices, -1))
    return keras.Model(model.inputs[0], LogOdds(indices, dtype=format_for(z))(z))


@keras.saving.register_keras_serializable("helpers")
class Excess(keras.layers.Layer):
    """max(0, sign · (y − limit)): by how much an output lies on the wrong side of a limit."""

    def __init__(self, limit, sign, **options):
        super().__init__(**options)
        self.limit, self.sign, self.activation = limit, sign, keras.activations.relu

    def call(self, y):
        return keras.ops.relu(self.sign * (y - self.limit))

    def get_config(self):
        return super().get_config() | {"limit": self.limit, "sign": self.sign}


def at_most(model, limit):
    """A model whose output is 0 where that of `model` is at most a limit: max(0, y − limit).

    Ask :func:`helpers.reconstruction.reconstruct` for the target 0, with an `atol`: an input that
    has converged has y ≤ limit + atol. One that is there already stays.

    Parameters
    ----------
    model : keras.Model
        With one input and one output; such as those that the other functions here return.
    limit : float
        In units of the output.

    Returns
    -------
    keras.Model
        Its output has the shape of that of `model`.

    Raises
    ------
    TypeError, ValueError
        If the model does not fit, or `limit` is not a finite number.

    Examples
    --------
    >>> from helpers.training import neuron
    >>> beyond = at_most(neuron(W=2.0), 5.0)
    >>> print(beyond(np.array([[1.0], [3.0]])).numpy().ravel())
    [0. 1.]
    """
    return _excess(model, limit, 1.0)


def at_least(model, limit):
    """A model whose output is 0 where that of `model` is at least a limit: max(0, limit − y).

    Everything else as for :func:`at_most`: an input that has converged has y ≥ limit − atol.

    Examples
    --------
    >>> from helpers.training import neuron
    >>> short_of = at_least(neuron(W=2.0), 5.0)
    >>> print(short_of(np.array([[1.0], [3.0]])).numpy().ravel())
    [3. 0.]
    """
    return _excess(model, limit, -1.0)


def _excess(model, limit, sign):
    check_model(model)
    (y,) = model.outputs
    layer = Excess(finite_number("limit", limit), sign, dtype=format_for(y))
    return keras.Model(model.inputs[0], layer(y))


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

    Examples
    --------
    >>> from helpers.backend import keras
    >>> unit = keras.layers.Dense(1, "relu", kernel_initializer="ones")
    >>> network = keras.Sequential([keras.Input((1,)), unit])
    >>> excess = off(network, 0, 0, margin=0.5)
    >>> print(excess(np.array([[-1.0], [3.0]])).numpy().ravel())
    [0.  3.5]
    """
    margin = positive_number("margin", margin)
    return at_most(units(model, layer, unit, space="preactivation"), -margin)


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

    Examples
    --------
    >>> from helpers.backend import keras
    >>> rnn = keras.layers.SimpleRNN(4, return_sequences=True)
    >>> model = keras.Sequential([keras.Input((10, 1)), rnn])
    >>> at_steps(model, -1).output_shape
    (None, 1, 4)
    """
    check_model(model)
    shape = model.outputs[0].shape
    if len(shape) != 3:
        raise ValueError(
            f"model must answer with a sequence, of shape (N, T, features), not {shape}: "
            "its recurrent layers need return_sequences=True"
        )
    picked = _picked(model.outputs[0], _indices("steps", steps, shape[1]), 1)
    return keras.Model(model.inputs[0], picked)


@keras.saving.register_keras_serializable("helpers")
class Windows(keras.layers.Layer):
    """Windows of one size in each image of a batch: first all at the first offset, and so on."""

    def __init__(self, offsets, size, **options):
        super().__init__(**options)
        self.offsets, self.size = [tuple(offset) for offset in offsets], tuple(size)

    def call(self, x):
        height, width = self.size
        parts = [x[:, row : row + height, left : left + width] for row, left in self.offsets]
        return keras.ops.concatenate(parts, axis=0)

    def get_config(self):
        return super().get_config() | {"offsets": self.offsets, "size": self.size}


@keras.saving.register_keras_serializable("helpers")
class ByImage(keras.layers.Layer):
    """The answers to n windows of each image, from those to all windows: (N, n, …)."""

    def __init__(self, n, **options):
        super().__init__(**options)
        self.n = n

    def call(self, y):
        apart = keras.ops.reshape(y, (self.n, -1, *y.shape[1:]))
        return keras.ops.moveaxis(apart, 0, 1)

    def get_config(self):
        return super().get_config() | {"n": self.n}


def at_offsets(model, offsets):
    """A model that looks at an image through several windows, and answers for each of them.

    An image that is to be right in all of them cannot hang on one alignment of its pixels: a fixed
    *expectation over transformations* :cite:p:`athalye2018`.

    Parameters
    ----------
    model : keras.Model
        With one input, an image of known shape (height, width, channels), and one output.
    offsets : sequence of (int, int)
        The upper left corner of each window, as (row, column), in pixels, 0 or above.

    Returns
    -------
    keras.Model
        It shares the weights of `model`. Its input is larger by the largest offsets. Its output has
        shape (N, number of offsets, …output shape): a wanted place in the image has another target
        in each window.

    Raises
    ------
    TypeError, ValueError
        If the input of the model is no image, or an offset no pair of whole numbers.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> layers = keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(5)
    >>> network = keras.Sequential(layers)
    >>> seen = at_offsets(network, [(0, 0), (0, 2), (2, 0)])
    >>> seen.input_shape, seen.output_shape
    ((None, 10, 10, 3), (None, 3, 5))
    """
    check_model(model)
    (image,) = model.inputs
    if len(image.shape) != 4 or None in image.shape[1:]:
        raise ValueError(
            "model must take an image of known shape (N, height, width, channels), not "
            f"{image.shape}"
        )
    array = np.asarray(offsets, dtype=object)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"offsets must be pairs (row, column), at least one, not {offsets!r}")
    pairs = [[whole_number("offsets", number, least=0) for number in pair] for pair in array]
    height, width, channels = image.shape[1:]
    rows, columns = np.max(pairs, axis=0)
    large = keras.Input((height + rows, width + columns, channels), dtype=image.dtype)
    y = model(Windows(pairs, (height, width), dtype=image.dtype)(large))
    return keras.Model(large, ByImage(len(pairs), dtype=format_for(y))(y))


def _picked(tensor, indices, axis):
    return Pick(indices, axis, dtype=format_for(tensor))(tensor)


def _indices(name, value, size):
    """One index or several, from 0 to size − 1 where the size is known, or an error."""
    given = np.atleast_1d(np.asarray(value, dtype=object))
    if given.ndim != 1 or len(given) == 0:
        raise ValueError(f"{name} must be a whole number or a sequence of them, not {value!r}")
    limits = {"least": -(2**31), "most": 2**31 - 1}
    if size is not None:
        limits = {"least": -size, "most": size - 1}
    return [whole_number(name, index, **limits) for index in given]
