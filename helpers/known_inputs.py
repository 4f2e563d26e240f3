"""Some inputs known, the others sought: a model of the sought ones alone."""

import numpy as np

from helpers.backend import keras
from helpers.graph import inputs_of, node_of, nodes_of
from helpers.models import check_is_built, in_format, reached_by_gradient


@keras.saving.register_keras_serializable("helpers")
class Complete(keras.layers.Layer):
    """A whole input, from the known entries that the layer keeps and the sought ones that it gets.

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
        With one output (see :func:`helpers.objectives.output`), and one or more inputs whose shapes
        are known.
    known : array_like of float, or dict of array_like
        For a model with one input: an array of its shape, with NaN (or masked) where it is sought.
        For a model with several: such an array for each of them by its name; those that are left
        out are sought. An input of integers must be known.

    Returns
    -------
    keras.Model
        It shares the weights of `model`. Its input has the shape (N, number of sought entries), in
        the order of the inputs and of their entries; where just one whole input is sought, the
        shape of that. :func:`completed` gives the inputs of `model` again.

    Raises
    ------
    TypeError, ValueError
        If a name, shape or number does not fit, if nothing or everything is sought, or if what is
        sought has no gradient.
    """
    check_is_built(model)
    arrays = _arrays(model, known)
    sought = [np.isnan(array) for array in arrays]
    number = sum(int(mask.sum()) for mask in sought)
    if number in (0, sum(mask.size for mask in sought)):
        raise ValueError(
            f"known must leave some entries open, as NaN, and give others, not {known!r}"
        )
    formats = {tensor.dtype for tensor, mask in zip(model.inputs, sought) if mask.any()}
    for tensor, mask in zip(model.inputs, sought):
        if mask.any() and ("float" not in tensor.dtype or not reached_by_gradient(model, tensor)):
            raise TypeError(
                f"known must give the input {tensor.name!r} of {model.name!r}: it has no gradient"
            )
    if len(formats) > 1:
        raise TypeError(f"known must leave inputs of one number format open, not of {formats}")

    whole = [i for i, mask in enumerate(sought) if mask.all()]
    alone = len(whole) == 1 and number == sought[whole[0]].size
    shape = model.inputs[whole[0]].shape[1:] if alone else (number,)
    x = keras.Input(shape, dtype=formats.pop(), name="sought")
    flat = keras.layers.Flatten()(x) if alone and len(shape) != 1 else x
    filled, first = [], 0
    for i, (tensor, array, mask) in enumerate(zip(model.inputs, arrays, sought)):
        if alone and i == whole[0]:
            filled.append(x)
            continue
        layer = Complete(array.shape, first, int(mask.sum()), dtype=tensor.dtype)
        order = np.arange(mask.size)
        order[mask.ravel()] = mask.size + np.arange(layer.sought)
        layer.known.assign(np.where(mask, 0, array).reshape(1, -1))
        layer.place.assign(order)
        filled.append(layer(flat))
        first += layer.sought
    structure = keras.tree.pack_sequence_as(inputs_of(model), filled)
    return keras.Model(x, model(structure))


def _arrays(model, known):
    """For each input of the model an array in its format, with NaN where it is sought."""
    names = [tensor.name for tensor in model.inputs]
    if len(names) == 1 and not isinstance(known, dict):
        known = {names[0]: known}
    if not isinstance(known, dict) or not set(known) <= set(names):
        raise ValueError(f"known must be a dict with names of {names}, not {known!r}")
    arrays = []
    for name, tensor in zip(names, model.inputs):
        shape = tensor.shape[1:]
        if None in shape:
            raise ValueError(f"model must have known input shapes, but {name!r} has {shape}")
        value = known.get(name, np.nan)
        array = np.ma.filled(np.ma.asarray(value, dtype=float), np.nan)
        if name in known and array.shape != shape:
            raise ValueError(f"known must have the shape {shape} for {name!r}, not {array.shape}")
        if np.isinf(array).any():
            raise ValueError(f"known must be finite, or NaN where it is sought, not {value!r}")
        if "int" in tensor.dtype and (array != np.round(array)).any() and name in known:
            raise ValueError(f"known must hold whole numbers for {name!r}, not {value!r}")
        in_format("known", array[~np.isnan(array)], tensor.dtype)
        arrays.append(np.broadcast_to(array, shape))
    return arrays


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
    ValueError
        If no input of the model is known.
    """
    check_is_built(objective)
    x = np.asarray(x, objective.inputs[0].dtype)
    for node in nodes_of(objective):
        if any(isinstance(node_of(t).operation, Complete) for t in node.input_tensors):
            whole = keras.Model(objective.inputs[0], node.arguments.args[0])(x)
            values = [keras.ops.convert_to_numpy(value) for value in keras.tree.flatten(whole)]
            names = [tensor.name for tensor in node.operation.inputs]
            return values[0] if len(names) == 1 else dict(zip(names, values))
    raise ValueError(f"objective must come from given, unlike {objective.name!r}")
