"""Some inputs known, the others sought: a model of the sought ones alone."""

import numpy as np

from helpers.backend import keras
from helpers.graph import arguments_of, inputs_of, node_of, nodes_of
from helpers.models import check_is_built, in_format, reached_by_gradient
from helpers.validation import finite_array


@keras.saving.register_keras_serializable("helpers")
class Complete(keras.layers.Layer):
    """A whole input, from the known entries that the layer keeps and the sought ones that it gets.

    The known ones are weights, so that a saved model has them.

    Parameters
    ----------
    shape : tuple of int
        Of the input.
    first, sought : int
        The first of its sought entries among those of the model, and how many it has.
    """

    def __init__(self, shape, first, sought, **options):
        super().__init__(**options)
        self.shape, self.first, self.sought = tuple(shape), first, sought
        size = int(np.prod(self.shape))
        self.known = self.add_weight((1, size), "zeros", trainable=False, name="known")
        # Where each entry is found among the known ones with the sought ones behind them.
        self.place = self.add_weight((size,), "zeros", "int32", trainable=False, name="place")

    def build(self, shape):
        pass

    def call(self, x):
        own = x[:, self.first : self.first + self.sought]
        known = keras.ops.repeat(self.known, keras.ops.shape(x)[0], axis=0)
        if self.sought:
            both = keras.ops.concatenate([known, keras.ops.cast(own, known.dtype)], axis=1)
            known = keras.ops.take(both, self.place, axis=1)
        return keras.ops.reshape(known, (-1, *self.shape))

    def compute_output_spec(self, x):
        return keras.KerasTensor((x.shape[0], *self.shape), self.variable_dtype)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("shape", "first", "sought")}
        return super().get_config() | own


def given(model, known):
    """A model whose one input holds the sought entries of the inputs of `model`; the rest is known.

    Parameters
    ----------
    model : keras.Model
        With one or more inputs. Of several outputs, :func:`helpers.objectives.output` picks one,
        before or after.
    known : array_like of float, dict or sequence of these
        For a model with one input: an array of its shape, with NaN (or masked) where it is sought.
        For a model with several: such an array for each of them, by its name, or in a sequence, in
        the order of `model.inputs`; those that are left out, or None, are sought. An input of
        integers must be known. Where the model leaves an axis open, the array decides.

    Returns
    -------
    keras.Model
        It shares the weights of `model`, whose layers go by their names in it. Its input has the
        shape (N, number of sought entries), in the order of the inputs and of their entries; where
        just one whole input is sought, the shape of that. :func:`completed` gives the inputs of
        `model` again.

    Raises
    ------
    TypeError, ValueError
        If a name, shape or number does not fit, if nothing or everything is sought, or if what is
        sought has no gradient.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> given(model, [1.0, np.nan, 3.0]).input_shape
    (None, 1)
    """
    check_is_built(model)
    names, arrays = names_of_inputs(model), _arrays(model, known)
    whole = [array is None for array in arrays]
    masks = [None if array is None else np.isnan(array) for array in arrays]
    sought = [mask is None or mask.any() for mask in masks]
    if not any(sought) or all(whole):
        raise ValueError(
            f"known must leave some entries open, as NaN, and give others, not {known!r}"
        )
    for name, tensor, wanted in zip(names, model.inputs, sought):
        if wanted and ("float" not in tensor.dtype or not reached_by_gradient(model, tensor)):
            raise TypeError(f"known must give the input {name!r} whole: it has no gradient")
    formats = {tensor.dtype for tensor, wanted in zip(model.inputs, sought) if wanted}
    if len(formats) > 1:
        raise TypeError(f"known must leave inputs of one number format open, not of {formats}")

    if sum(sought) == 1 and any(whole):
        shape = model.inputs[whole.index(True)].shape[1:]
    else:
        for i, (name, tensor) in enumerate(zip(names, model.inputs)):
            if not whole[i]:
                continue
            if None in tensor.shape[1:]:
                raise ValueError(
                    f"known must say how large {name!r} is, of shape {tensor.shape[1:]}: give an "
                    "array that holds NaN"
                )
            arrays[i], masks[i] = np.zeros(tensor.shape[1:]), np.ones(tensor.shape[1:], bool)
        shape = (sum(int(mask.sum()) for mask in masks),)
    x = keras.Input(shape, dtype=formats.pop(), name="sought")
    filled, first = [], 0
    for tensor, array, mask in zip(model.inputs, arrays, masks):
        if mask is None:
            filled.append(x)
            continue
        layer = Complete(array.shape, first, int(mask.sum()), dtype=tensor.dtype)
        order = np.arange(mask.size)
        order[mask.ravel()] = mask.size + np.arange(layer.sought)
        layer.known.assign(np.where(mask, 0, array).reshape(1, -1))
        layer.place.assign(order)
        filled.append(layer(x))
        first += layer.sought
    structure = keras.tree.pack_sequence_as(inputs_of(model), filled)
    return keras.Model(x, model(structure))


def names_of_inputs(model):
    """The name of each input of a model: its key, where the model takes a dict."""
    structure = inputs_of(model)
    if isinstance(structure, dict):
        places = keras.tree.pack_sequence_as(structure, list(range(len(model.inputs))))
        return sorted(places, key=places.get)
    return [tensor.name for tensor in model.inputs]


def _arrays(model, known):
    """For each input of the model an array with NaN where it is sought; None where all of it is."""
    names = names_of_inputs(model)
    if isinstance(known, dict):
        if not set(known) <= set(names):
            raise ValueError(f"known must be a dict with names of {names}, not {known!r}")
        values = [known.get(name) for name in names]
    elif len(names) == 1:
        values = [known]
    elif isinstance(known, (list, tuple)) and len(known) == len(names):
        values = list(known)
    else:
        raise ValueError(
            f"known must be a dict with names of {names}, or a sequence with an array or None for "
            f"each of them, not {known!r}"
        )
    return [_array(*each) for each in zip(names, values, model.inputs)]


def _array(name, value, tensor):
    """What is known of one input, as float64 with NaN where it is sought, or an error."""
    if tensor.dtype == "string":
        raise TypeError(
            f"model must take numbers, but {name!r} takes strings: cut it after the layer that "
            "looks them up"
        )
    if value is None:
        return None
    try:
        array = np.ma.asarray(value)
    except ValueError:
        raise ValueError(f"known must have rows of one length for {name!r}: {value!r}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"known must hold real numbers, or NaN, for {name!r}, not {value!r}")
    array = np.ma.filled(array.astype(float), np.nan)
    shape = tensor.shape[1:]
    if array.ndim != len(shape) or any(a not in (None, b) for a, b in zip(shape, array.shape)):
        raise ValueError(f"known must have the shape {shape} for {name!r}, not {array.shape}")
    if np.isinf(array).any():
        raise ValueError(f"known must be finite, or NaN where it is sought, not {value!r}")
    numbers = array[~np.isnan(array)]
    if not len(numbers):
        return None if None not in shape else array
    if "float" in tensor.dtype:
        in_format("known", numbers, tensor.dtype)
    elif (numbers != _as_integers(numbers, tensor.dtype)).any():
        raise ValueError(f"known must hold whole numbers of {tensor.dtype} for {name!r}: {value!r}")
    return array


def _as_integers(numbers, dtype):
    with np.errstate(invalid="ignore"):
        return numbers.astype(dtype)


def completed(objective, x):
    """The whole inputs that the sought entries x stand for, in a model from :func:`given`.

    Parameters
    ----------
    objective : keras.Model
        From :func:`given`, or made from such a one by a function of `objectives`.
    x : array_like of shape (N, …shape of the sought entries)
        Such as `Reconstruction.x`.

    Returns
    -------
    ndarray of shape (N, …input shape), or dict of these
        By the names of the inputs, where the model has several.

    Raises
    ------
    TypeError, ValueError
        If no input of the model is known, or x does not fit.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> from helpers.objectives import given
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> print(completed(given(model, [1.0, np.nan, 3.0]), [[2.0]]))
    [[1. 2. 3.]]
    """
    check_is_built(objective)
    calls = [
        node
        for node in nodes_of(objective)
        if any(isinstance(node_of(t).operation, Complete) for t in node.input_tensors)
    ]
    if not calls:
        raise ValueError(f"objective must come from given, unlike {objective.name!r}")
    (sought,) = objective.inputs
    x, shape = in_format("x", finite_array("x", x), sought.dtype), sought.shape[1:]
    if x.ndim != 1 + len(shape) or any(a not in (None, b) for a, b in zip(shape, x.shape[1:])):
        raise ValueError(f"x must have shape {('N', *shape)}, not {x.shape}")
    whole = keras.Model(sought, arguments_of(calls[0]))(x)
    values = [keras.ops.convert_to_numpy(value) for value in keras.tree.flatten(whole)]
    names = names_of_inputs(calls[0].operation)
    return values[0] if len(names) == 1 else dict(zip(names, values))
