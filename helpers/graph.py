"""A way through the graph of a Keras model: its layers, their calls, what is before an activation.

A model may hold models. A layer inside one of them is named by its path, "encoder/dense", or by its
name alone where no other layer has it. A subclassed model shows Keras no graph of its own, so
nothing inside it can be reached.
"""

import ml_dtypes

from helpers.backend import keras
from helpers.validation import whole_number


def all_layers(model):
    """The layers of a model, those of inner models included."""
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from all_layers(layer)


def resolution(model):
    """The relative rounding ε of the coarsest floating-point format in which a layer computes."""
    formats = {tensor.dtype for tensor in (*model.inputs, *model.outputs)}
    for layer in all_layers(model):
        if not isinstance(layer, keras.layers.InputLayer):  # which computes nothing
            formats.add(layer.compute_dtype)
    return max(float(ml_dtypes.finfo(each).eps) for each in formats if "float" in each)


def node_of(tensor):
    """The call of a layer that gave a symbolic tensor."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def has_graph(layer):
    """Whether a layer is a model whose own layers are known: functional or Sequential."""
    return isinstance(layer, keras.Model) and bool(getattr(layer, "outputs", None))


def call_of(model, layer):
    """The call of a layer within the model, which must be the only one there.

    `layer.input` and `layer.output` are those of its first call, be it in another model.
    """
    calls = [node for node in nodes_of(model) if node.operation is layer]
    if len(calls) != 1:
        raise ValueError(
            f"layer must be called once on the way to the output of {model.name!r}, but "
            f"{layer.name!r} is called {len(calls)} times"
        )
    return calls[0]


def nodes_of(model):
    """The calls of layers on the way to the outputs of a model, each once."""
    seen, todo = {}, list(model.outputs)
    while todo:
        node = node_of(todo.pop())
        if id(node) not in seen:
            seen[id(node)] = node
            todo += node.input_tensors
    return seen.values()


def inputs_of(model):
    """The symbolic input of a model, in the form that it takes: a tensor, a list or a dict."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    return model.inputs[0] if model.input is model.inputs[0] else model.input


def layer_of(model, layer):
    """The way to a layer of the model: the inner models that lead to it, and the layer.

    The layer is given by its path, its name or its index; the inputs are not counted as layers.
    """
    if not isinstance(layer, str):
        layers = _layers(model)
        return (layers[whole_number("layer", layer, least=-len(layers), most=len(layers) - 1)],)
    ways = list(_ways(model))
    names = ["/".join(each.name for each in way) for way in ways]
    found = [way for way, name in zip(ways, names) if name == layer]
    found = found or [way for way in ways if way[-1].name == layer]
    if len(found) != 1:
        problem = f"{len(found)} have the name" if found else "not"
        raise ValueError(f"layer must be one of {names}, {problem} {layer!r}")
    return found[0]


def _layers(model):
    return [each for each in model.layers if not isinstance(each, keras.layers.InputLayer)]


def _ways(model):
    for layer in _layers(model):
        yield (layer,)
        if isinstance(layer, keras.Model):
            for way in _ways(layer):
                yield (layer, *way)


def reach(model, way, tensor_at):
    """A tensor of the model's graph: `tensor_at` the call of the layer that a way leads to."""
    layer, *further = way
    node = call_of(model, layer)
    if not further:
        return tensor_at(node)
    if not has_graph(layer):
        raise ValueError(
            f"layer must not lie inside a subclassed model, as {further[-1].name!r} lies inside "
            f"{layer.name!r}: Keras knows no graph there. Rebuild it as a functional model that "
            "calls the same layers: keras.Model(x, model.second(model.first(x)))"
        )
    return _called_at(node, keras.Model(inputs_of(layer), reach(layer, further, tensor_at)))


def _called_at(node, model):
    """What a model with the inputs of an inner one gives at the call of the latter."""
    return model(arguments_of(node))


def arguments_of(node):
    """What an inner model is called with, in the form that it takes it."""
    args, kwargs = node.arguments.args, node.arguments.kwargs
    return args[0] if args else kwargs["inputs"]


# --- what lies before an activation ------------------------------------------------------------


@keras.saving.register_keras_serializable("helpers")
class Pick(keras.layers.Layer):
    """Some entries of one axis."""

    def __init__(self, indices, axis, **options):
        super().__init__(**options)
        self.indices, self.axis = list(indices), axis

    def call(self, x):
        return keras.ops.take(x, self.indices, axis=self.axis)

    def get_config(self):
        return super().get_config() | {"indices": self.indices, "axis": self.axis}


class WithWeightsOf(keras.layers.Layer):
    """A layer that computes with the weights of another one, and is saved together with it."""

    def __init__(self, layer, **options):
        super().__init__(**{"dtype": layer.dtype_policy} | options)
        self.layer = layer

    def build(self, shape):
        if not self.layer.built:  # it was loaded from a file
            self.layer.build(shape)

    def get_config(self):
        return super().get_config() | {"layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("layer")), **config)


@keras.saving.register_keras_serializable("helpers")
class PreActivation(WithWeightsOf):
    """The weighted sum z of a Dense layer, from the layer's own weights."""

    def call(self, x):
        z = keras.ops.matmul(x, self.layer.kernel)
        return z + self.layer.bias if self.layer.use_bias else z


def format_for(tensor):
    """The number format of a layer that is put behind a tensor, so that no digit is lost."""
    return "float64" if tensor.dtype == "float64" else "float32"


# Layers that hand on what they get, when a model is not in training.
UNCHANGED = (
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
# Those that hand on some of it, or in another shape.
REARRANGED = (
    Pick,
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Reshape,
)
PASSING = UNCHANGED + REARRANGED


def inside(layer):
    """The layer that a wrapper calls: at each time step, or in both directions of time."""
    if isinstance(layer, keras.layers.TimeDistributed):
        return inside(layer.layer)
    if isinstance(layer, keras.layers.Bidirectional) and layer.merge_mode in ("concat", "ave"):
        there, back = layer.forward_layer, layer.backward_layer
        if getattr(there, "activation", None) == getattr(back, "activation", None):
            return there
    return layer


def origin(tensor):
    """The layer that a tensor comes from, and whether its last axis is as that layer gave it.

    Inner models, and layers that hand on what they get, are looked through.
    """
    layer, whole = node_of(tensor).operation, True
    while has_graph(layer) or isinstance(layer, PASSING):
        if has_graph(layer):
            tensor = layer.outputs[tensor._keras_history.tensor_index]
        else:
            before = node_of(tensor).input_tensors[0]
            whole = whole and _keeps_the_last_axis(layer, before, tensor)
            tensor = before
        layer = node_of(tensor).operation
    return inside(layer), whole


def _keeps_the_last_axis(layer, before, after):
    if isinstance(layer, Pick):
        return layer.axis not in (-1, len(before.shape) - 1)
    unchanged = isinstance(layer, (*UNCHANGED, keras.layers.RepeatVector))
    # Flatten and Reshape may leave the shape as it is; a Permute of two axes of one size does not.
    same = before.shape == after.shape and not isinstance(layer, keras.layers.Permute)
    return unchanged or same


def logit_of(model):
    """A model from the same input to what lies before the activation that `model` ends in.

    The activation may lie inside an inner model. Errors name `layer`, as :func:`preactivation`.
    """
    return keras.Model(model.inputs[0], preactivation(model.outputs[0]))


ACTIVATIONS = tuple(
    getattr(keras.layers, name)
    for name in ("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax")
)


def preactivation(tensor):
    """The weighted sum z behind a tensor, which comes from a Dense or an activation layer.

    It is computed from the weights, instead of inverting the activation. Errors name `layer`.
    """
    node = node_of(tensor)
    layer = node.operation
    if has_graph(layer):
        z = preactivation(layer.outputs[tensor._keras_history.tensor_index])
        return _called_at(node, keras.Model(inputs_of(layer), z))
    if isinstance(layer, PASSING):
        return layer(preactivation(node.input_tensors[0]))
    if isinstance(inside(layer), ACTIVATIONS):
        return node.input_tensors[0]
    if isinstance(inside(layer), keras.layers.Dense):
        return PreActivation(inside(layer))(node.input_tensors[0])
    raise ValueError(
        "layer must be a Dense or Activation layer for its pre-activation to be known, not "
        f"{layer.name!r} ({type(layer).__name__})"
    )
