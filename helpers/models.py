"""What a Keras model must be for its input to be sought, and which outputs it can give."""

import numpy as np

from helpers.backend import keras, tf
from helpers.validation import finite_array, whole_number

# Open or closed intervals of the outputs that an activation can give; others are unrestricted.
RANGES = {
    "sigmoid": (0.0, 1.0, "strictly between 0 and 1"),
    "tanh": (-1.0, 1.0, "strictly between -1 and 1"),
    "softmax": (0.0, 1.0, "strictly between 0 and 1"),
    "softplus": (0.0, np.inf, "above 0"),
    "exponential": (0.0, np.inf, "above 0"),
    "relu": (np.nextafter(0.0, -1.0), np.inf, "0 or above"),
}


def check_model(model):
    """Raise unless `model` is a Keras model with weights, one float input and one output."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model, not {model!r} ({type(model).__name__})")
    if not getattr(model, "inputs", None):
        raise ValueError(
            "model must be built, as a Sequential or functional model with a keras.Input; "
            f"{model.name!r} is not (wrap a subclassed one: keras.Model(inputs, model(inputs)))"
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model must have one input and one output, but {model.name!r} has "
            f"{len(model.inputs)} and {len(model.outputs)}"
        )
    if not model.weights:
        raise ValueError(
            f"model must have weights, but {model.name!r} has none: it learned nothing"
        )
    if not isinstance(model, keras.Sequential) and isinstance(model.output, dict):
        raise TypeError(f"model must return a tensor, but {model.name!r} returns a dict")
    dtype = model.inputs[0].dtype
    if "float" not in dtype:
        raise TypeError(
            f"model must take floating-point input, but that of {model.name!r} is {dtype}, "
            "which has no gradient"
        )
    for tensor in (*model.inputs, *model.outputs):
        if tensor.dtype not in ("float16", "float32", "float64"):
            raise TypeError(
                "model must take and return float16, float32 or float64, not "
                f"{tensor.dtype}, as {model.name!r} does"
            )
    if any(getattr(layer, "stateful", False) for layer in all_layers(model)):
        raise ValueError(
            f"model must not be stateful, as {model.name!r} is: its answer to an input would "
            "depend on the inputs before"
        )


def input_and_output_shape(model, start):
    """The shapes of one input and one output; axes that the model leaves open are those of start.

    The time axis of a recurrent model is often left open. Then start says how long a sequence is.
    """
    shape, given = model.inputs[0].shape[1:], np.shape(start)
    if None not in shape + model.outputs[0].shape[1:]:
        return shape, model.outputs[0].shape[1:]
    tail = given[len(given) - len(shape) :]
    fits = len(given) - len(shape) in (0, 1) and all(
        known in (None, axis) for known, axis in zip(shape, tail)
    )
    if not fits:
        raise ValueError(
            f"start must have shape {('N', *shape)} or {shape}, with a number for each None, which "
            f"{model.name!r} leaves open; not {given}"
        )
    nothing = np.zeros((1, *tail), model.inputs[0].dtype)
    try:
        return tail, tuple(model(nothing, training=False).shape[1:])
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(
            f"start must have a shape that {model.name!r} can take, not {given}: {error}"
        ) from None


def all_layers(model):
    """The layers of a model, those of inner models included."""
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from all_layers(layer)


def node_of(tensor):
    """The call of a layer that gave a symbolic tensor."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def call_of(model, layer):
    """The call of a layer within the model, which must be the only one there.

    `layer.input` and `layer.output` are those of its first call, be it in another model.
    """
    calls, seen, todo = [], set(), list(model.outputs)
    while todo:
        node = node_of(todo.pop())
        if id(node) not in seen:
            seen.add(id(node))
            todo += node.input_tensors
            if node.operation is layer:
                calls.append(node)
    if len(calls) != 1:
        raise ValueError(
            f"layer must be called once on the way to the output of {model.name!r}, but "
            f"{layer.name!r} is called {len(calls)} times"
        )
    return calls[0]


def output_layer(model):
    """The layer that gives the model's output; for a model inside a model, still that model."""
    return model.outputs[0]._keras_history.operation


def last_activation(model):
    """The name of the activation that the output comes from, 'linear' where there is none."""
    layer = output_layer(model)
    while getattr(layer, "outputs", None):  # a model inside a model
        layer = output_layer(layer)
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def layer_of(model, layer):
    """A layer of the model, by its name or its index; the inputs are not counted as layers."""
    layers = [each for each in model.layers if not isinstance(each, keras.layers.InputLayer)]
    names = [each.name for each in layers]
    if isinstance(layer, str):
        if layer not in names:
            raise ValueError(f"layer must be one of {names}, not {layer!r}")
        return layers[names.index(layer)]
    return layers[whole_number("layer", layer, least=-len(layers), most=len(layers) - 1)]


class _PreActivation(keras.layers.Layer):
    """The weighted sum z of a Dense layer, from the layer's own weights."""

    def __init__(self, dense):
        super().__init__(dtype=dense.dtype_policy)
        self.dense = dense

    def call(self, x):
        z = keras.ops.matmul(x, self.dense.kernel)
        return z + self.dense.bias if self.dense.use_bias else z


def preactivation(model, call):
    """A model that gives the pre-activation z of one call of a Dense or Activation layer.

    It shares the weights, and computes z itself instead of inverting the activation.
    """
    layer = call.operation
    if isinstance(layer, keras.layers.Activation):
        return keras.Model(model.inputs[0], call.input_tensors[0])
    if isinstance(layer, keras.layers.Dense):
        return keras.Model(model.inputs[0], _PreActivation(layer)(call.input_tensors[0]))
    raise ValueError(
        "layer must be a Dense or Activation layer for its pre-activation to be known, not "
        f"{layer.name!r} ({type(layer).__name__})"
    )


def as_targets(model, target, shape):
    """The targets in the model's number format, of shape (N, *shape), or an error.

    An entry that is masked does not matter; one that is infinite is to be as large, or as small, as
    it gets. With masked entries, the targets are a masked array.
    """
    mask = np.ma.getmaskarray(target) if np.ma.is_masked(target) else None
    data = target if mask is None else np.where(mask, 0, np.ma.getdata(target))
    try:
        endless = np.isinf(np.asarray(data, dtype=float))
    except (TypeError, ValueError):
        endless = np.zeros(np.shape(mask), bool)  # an error, which is named below
    if endless.any():
        data = np.asarray(data, dtype=float)
    given = finite_array("target", np.where(endless, 0.0, data) if endless.any() else data)
    if endless.any():
        given = np.where(endless, data, given)
    if mask is not None:
        given = np.ma.array(given, mask=mask)
    array = given
    if array.shape == shape or array.ndim == 0:
        array = array[np.newaxis]
    if array.ndim == 1 and shape == (1,):
        array = array[:, np.newaxis]
    if array.shape[1:] != shape:
        raise ValueError(
            f"target must have shape {('N', *shape)}, or {shape} for one target, not {given.shape}"
        )
    if mask is not None and np.ma.getmaskarray(array).reshape(len(array), -1).all(axis=1).any():
        raise ValueError(f"target must have an entry that is not masked for each input: {target!r}")
    converted = in_format("target", array, model.outputs[0].dtype)
    ends = np.isinf(np.ma.getdata(array))
    if mask is None and not ends.any():
        check_range(model, array, converted)
    else:
        free = np.ma.getmaskarray(array) | ends
        checked = (np.ma.array(np.ma.getdata(each), mask=free) for each in (array, converted))
        check_range(model, *checked)
    return converted


def check_range(model, given, converted):
    """Raise where a target, given and converted, is none that the model's end can put out."""
    activation = last_activation(model)
    low, high, words = RANGES.get(activation, (-np.inf, np.inf, ""))
    outside = (converted <= low) | (converted >= high)
    if outside.any():
        given, rounded = given[outside][0], converted[outside][0]
        detail = f", which {converted.dtype} rounds to {rounded}" if low < given < high else ""
        raise ValueError(
            f"target must lie {words}, the range of {activation!r}, not {given}{detail}"
        )


def in_format(name, array, dtype):
    """The array in the model's number format; raise where a value is too large for it."""
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    lost = ~np.isfinite(converted) & np.isfinite(array)
    if np.ma.filled(lost, False).any():
        raise ValueError(
            f"{name} must fit the number format of the model, {dtype}, in which {array[lost][0]} "
            f"would be {converted[lost][0]}"
        )
    return converted
