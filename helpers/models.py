"""What a Keras model must be for its input to be sought, and which outputs it can give."""

import numpy as np

from helpers.activations import check_range
from helpers.backend import keras, tf
from helpers.graph import all_layers, has_graph, inside, node_of
from helpers.validation import finite_array

# They look their input up in a table, or count it: no gradient passes them.
LOOKUPS = tuple(
    getattr(keras.layers, name)
    for name in (
        "CategoryEncoding",
        "Discretization",
        "Embedding",
        "HashedCrossing",
        "Hashing",
        "IntegerLookup",
        "StringLookup",
        "TextVectorization",
    )
)


def check_is_built(model):
    """Raise unless `model` is a Keras model whose inputs and outputs are known."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model, not {model!r} ({type(model).__name__})")
    if not getattr(model, "inputs", None):
        raise ValueError(
            "model must be built, as a Sequential or functional model with a keras.Input; "
            f"{model.name!r} is not (wrap a subclassed one: keras.Model(inputs, model(inputs)))"
        )


def check_model(model):
    """Raise unless `model` is a Keras model with weights, one float input and one output."""
    check_is_built(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model must have one input and one output, but {model.name!r} has "
            f"{len(model.inputs)} and {len(model.outputs)}: helpers.objectives.given makes one "
            "input of several, and helpers.objectives.output picks an output"
        )
    if not model.weights:
        raise ValueError(
            f"model must have weights, but {model.name!r} has none: it learned nothing"
        )
    if not isinstance(model, keras.Sequential) and isinstance(model.output, dict):
        raise TypeError(
            f"model must return a tensor, but {model.name!r} returns a dict: pick an output with "
            "helpers.objectives.output"
        )
    dtype = model.inputs[0].dtype
    if "float" not in dtype:
        raise TypeError(
            f"model must take floating-point input, but that of {model.name!r} is {dtype}, "
            "which has no gradient. Cut the model after the layer that takes it, and seek what "
            "that puts out: keras.Model(layer.output, model.outputs[0])"
        )
    for tensor in (*model.inputs, *model.outputs):
        if tensor.dtype not in ("float16", "float32", "float64"):
            raise TypeError(
                "model must take and return float16, float32 or float64, not "
                f"{tensor.dtype}, as {model.name!r} does; an output can be made to: "
                'keras.layers.Activation("linear", dtype="float32")(model.outputs[0])'
            )
    if not reached_by_gradient(model, model.inputs[0]):
        raise TypeError(f"model must have a gradient by its input, but {_interruption(model)}")
    if any(getattr(layer, "stateful", False) for layer in all_layers(model)):
        raise ValueError(
            f"model must not be stateful, as {model.name!r} is: its answer to an input would "
            "depend on the inputs before"
        )


def reached_by_gradient(model, tensor):
    """Whether a way leads from an input of the model to its outputs that no lookup interrupts."""
    return id(tensor) in _reached_back(model)[0]


def _reached_back(model):
    """The tensors from which a gradient comes to the outputs, by id, and the calls that stop it."""
    reached, stops, todo = set(), [], list(model.outputs)
    while todo:
        tensor = todo.pop()
        if id(tensor) in reached:
            continue
        reached.add(id(tensor))
        node = node_of(tensor)
        for i, before in enumerate(node.input_tensors):
            if _passes(node, i):
                todo.append(before)
            else:
                stops.append(node.operation)
    return reached, stops


def _passes(node, i):
    """Whether a gradient passes a call from its i-th input."""
    layer = inside(node.operation)
    if has_graph(layer) and len(layer.inputs) == len(node.input_tensors):
        return reached_by_gradient(layer, layer.inputs[i])
    if isinstance(layer, LOOKUPS):
        return False
    return any("float" in tensor.dtype for tensor in node.output_tensors)


def _interruption(model):
    """What keeps the gradient from the input of a model, in words."""
    stops = list(_reached_back(model)[1])
    for layer in stops:  # an inner model is stopped by a layer of its own
        if has_graph(layer):
            stops += _reached_back(layer)[1]
    stops = [layer for layer in stops if not has_graph(layer)]
    if not stops:
        return f"the output of {model.name!r} does not depend on it"
    lookup = stops[0]
    return (
        f"{lookup.name!r} ({type(lookup).__name__}) looks it up, counts it or rounds it. Cut "
        f"{model.name!r} after that layer, and seek what it puts out: "
        "keras.Model(layer.output, model.outputs[0])"
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


def as_targets(model, target, shape):
    """The targets in the model's number format, of shape (N, *shape), or an error.

    An entry that is masked does not matter; one that is infinite is to be as large, or as small, as
    it gets. With masked entries, the targets are a masked array.
    """
    mask = np.ma.getmaskarray(target) if np.ma.is_masked(target) else None
    data = target if mask is None else np.where(mask, 0, np.ma.getdata(target))
    given, endless = _numbers("target", data)
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
    if mask is None and not endless:
        check_range(model, array, converted)
    else:
        free = np.ma.getmaskarray(array) | np.isinf(np.ma.getdata(array))
        checked = (np.ma.array(np.ma.getdata(each), mask=free) for each in (array, converted))
        check_range(model, *checked)
    return converted


def _numbers(name, data):
    """The data as an array of floats, of which some may be infinite, and whether any is."""
    plain = isinstance(data, np.ndarray) and data.dtype in (np.float32, np.float64)
    if plain and data.size and np.isfinite(data).all():
        return data, False
    try:
        infinite = np.isinf(np.asarray(data, dtype=float))
    except (TypeError, ValueError):
        infinite = np.zeros((), bool)  # an error, which is named next
    if not infinite.any():
        return finite_array(name, data), False
    data = np.asarray(data, dtype=float)
    return np.where(infinite, data, finite_array(name, np.where(infinite, 0.0, data))), True


def in_format(name, array, dtype):
    """The array in the model's number format; raise where a value is too large for it."""
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if np.dtype(dtype).itemsize >= array.dtype.itemsize:
        return converted
    lost = ~np.isfinite(converted) & np.isfinite(array)
    if np.ma.filled(lost, False).any():
        raise ValueError(
            f"{name} must fit the number format of the model, {dtype}, in which {array[lost][0]} "
            f"would be {converted[lost][0]}"
        )
    return converted
