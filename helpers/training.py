"""One neuron, and a training that reaches its optimum in seconds; and a plain one for networks.

Gradient descent is slow where the input lies far from 0 and 1: on x from 0 to 1000 the curvature of
the cost along W is a million times that along b. Training on standardised values, (x − mean)/sd,
takes that away; the weights are then converted, so that the neuron answers to the data's own units.
Chapter 2 tells the story.
"""

import weakref

import numpy as np

from helpers.activations import last_activation
from helpers.backend import keras, tf
from helpers.graph import all_layers
from helpers.models import check_model, in_format
from helpers.validation import (
    choice,
    finite_array,
    finite_number,
    paired_samples,
    positive_number,
    whole_number,
)

# Steps that run as one compiled call. Losses are averages over as many.
STEPS_PER_CALL = 10

LOSSES = {
    "mean_squared_error": keras.losses.MeanSquaredError,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
}
ACTIVATION_OF_LOSS = {"binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax"}
LOSS_OF_NEURON = {"linear": "mean_squared_error", "sigmoid": "binary_crossentropy"}


def neuron(activation="linear", *, W=0.0, b=0.0, dtype="float32"):
    """A Keras model of one neuron: y = W x + b, or y = σ(W x + b).

    Parameters
    ----------
    activation : {"linear", "sigmoid"}
    W, b : float
        Weight and bias to begin with.
    dtype : {"float32", "float64"}
        The number format in which it computes, and is trained.

    Returns
    -------
    keras.Sequential
        Takes x of shape (n, 1), returns y of shape (n, 1), both of this format.

    Raises
    ------
    TypeError, ValueError
        If the activation or the format is none of the two, or a weight is not a finite number.

    Examples
    --------
    >>> model = neuron(W=0.4, b=-25.0)
    >>> print(model(np.array([[312.5]])).numpy())
    [[100.]]
    """
    choice("activation", activation, LOSS_OF_NEURON)
    choice("dtype", dtype, ("float32", "float64"))
    layer = keras.layers.Dense(1, activation=activation, dtype=dtype)
    model = keras.Sequential([keras.Input((1,), dtype=dtype), layer])
    set_weight_and_bias(model, W, b)
    return model


def weight_and_bias(model):
    """W and b of a one-neuron model as two floats.

    Raises TypeError or ValueError if `model` is not a Keras model of one neuron with one input.

    Examples
    --------
    >>> from helpers.training import neuron
    >>> weight_and_bias(neuron(W=0.5, b=1.0))
    (0.5, 1.0)
    """
    kernel, bias = _single_neuron(model).get_weights()
    return kernel.item(), bias.item()


def set_weight_and_bias(model, W, b):
    """Set W and b of a one-neuron model, in place; errors as in :func:`weight_and_bias`.

    Examples
    --------
    >>> from helpers.training import neuron, weight_and_bias
    >>> model = neuron()
    >>> set_weight_and_bias(model, 2.0, -1.0)
    >>> weight_and_bias(model)
    (2.0, -1.0)
    """
    W, b = finite_number("W", W), finite_number("b", b)
    layer = _single_neuron(model)
    kernel = in_format("W", np.full((1, 1), W), layer.kernel.dtype)
    layer.set_weights([kernel, in_format("b", np.full(1, b), layer.bias.dtype)])


def train(model, x, y, *, counts=None, steps=1000, learning_rate=0.1):
    """Train a neuron to its least-squares, or maximum-likelihood, optimum; in place.

    Plain gradient descent with momentum 0.9 on all the data at once, on standardised values. A
    linear neuron minimises the mean squared error, a sigmoid neuron the cross-entropy of the shares
    y.

    Parameters
    ----------
    model : keras.Model
        One neuron, from :func:`neuron`.
    x : array_like of shape (n,)
        Inputs, in the data's own unit; at least two different values.
    y : array_like of shape (n,)
        Outputs, in the data's own unit; for a sigmoid neuron shares from 0 to 1.
    counts : array_like of shape (n,), optional
        How many observations stand behind each row, above 0. Default: one each.
    steps : int
        Number of steps, a multiple of 10, at least 10.
    learning_rate : float
        Step size on the standardised data, above 0.

    Returns
    -------
    ndarray of shape (steps / 10,)
        The loss per observation, averaged over ten steps at a time, in the data's own units
        (unit of y squared for the squared error; nats for the cross-entropy).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range, or if training does not end at finite
        weights.

    Notes
    -----
    Why standardising helps: LeCun et al. :cite:p:`lecun2012`.

    Examples
    --------
    >>> from helpers.training import neuron, weight_and_bias
    >>> model = neuron()
    >>> losses = train(model, [0, 1, 2], [1, 3, 5], steps=300)
    >>> W, b = weight_and_bias(model)
    >>> print(f"{W:.3f}, {b:.3f}")
    2.000, 1.000
    """
    activation = _single_neuron(model).activation.__name__
    choice("the activation of model", activation, LOSS_OF_NEURON)
    x, y = paired_samples(x, y)
    if activation == "sigmoid" and ((y < 0) | (y > 1)).any():
        raise ValueError(
            f"y must lie from 0 to 1 for a sigmoid neuron, not {y[(y < 0) | (y > 1)][0]}"
        )
    counts = np.ones_like(x) if counts is None else _counts(counts, x)
    steps = _steps(steps)
    learning_rate = positive_number("learning_rate", learning_rate)

    x_mean, x_sd = _mean_and_sd(x, counts)
    y_mean, y_sd = _mean_and_sd(y, counts) if activation == "linear" else (0.0, 1.0)
    W, b = weight_and_bias(model)
    standard = neuron(
        activation,
        W=W * x_sd / y_sd,
        b=(b + W * x_mean - y_mean) / y_sd,
        dtype=model.inputs[0].dtype,
    )
    optimizer = keras.optimizers.SGD(learning_rate, momentum=0.9)
    columns = ((x - x_mean) / x_sd, (y - y_mean) / y_sd, counts / counts.mean())
    columns = [column[:, np.newaxis] for column in columns]
    losses = _all_data_at_once(standard, optimizer, LOSS_OF_NEURON[activation], columns, steps)

    W, b = weight_and_bias(standard)
    if not np.isfinite([W, b]).all():
        raise ValueError(f"learning_rate must be lower than {learning_rate}: training diverged")
    W = W * y_sd / x_sd
    set_weight_and_bias(model, W, y_mean + b * y_sd - W * x_mean)
    return losses * y_sd**2


def fit(model, x, y, *, steps, loss="mean_squared_error", learning_rate=0.01, counts=None):
    """Train any Keras model with Adam, on all the data at once; in place.

    Parameters
    ----------
    model : keras.Model
        With one input and one output.
    x, y : array_like of shape (n, …input shape) and (n, …output shape)
        Inputs and wanted outputs; for a single input or output unit also of shape (n,).
    steps : int
        Number of steps, a multiple of 10, at least 10.
    loss : {"mean_squared_error", "binary_crossentropy", "categorical_crossentropy"}
        The cross-entropies are for shares y, from a model that ends in a sigmoid or a softmax.
    learning_rate : float
        Above 0.
    counts : array_like of shape (n,), or (n, T) for sequences of T steps, optional
        How often each example counts, or each step, 0 or above; the loss is the mean over all that
        count. 0 leaves a step out, such as one before which a memory cannot have filled. Default:
        once each.

    Returns
    -------
    ndarray of shape (steps / 10,)
        The loss, averaged over ten steps at a time.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range, or if training does not end at a finite
        loss.

    Notes
    -----
    Adam: Kingma and Ba :cite:p:`kingma2015`. The first training of a model compiles its steps; one
    that starts again from other weights (`model.set_weights`) does not wait for that.

    Examples
    --------
    >>> from helpers.training import neuron
    >>> options = {"steps": 300, "learning_rate": 0.1}
    >>> losses = fit(neuron(), [-1, 0, 1], [-2, 0, 2], **options)
    >>> bool(losses[-1] < 1e-4)
    True
    """
    check_model(model)
    choice("loss", loss, LOSSES)
    x = _examples("x", x, model.inputs[0])
    y = _examples("y", y, model.outputs[0])
    if len(x) != len(y):
        raise ValueError(f"x and y must have one length, not {len(x)} and {len(y)}")
    if loss in ACTIVATION_OF_LOSS:
        _check_shares(model, y, loss)
    columns = [x, y] if counts is None else [x, y, _shares_of_the_mean(counts, y)]
    steps = _steps(steps)
    optimizer = keras.optimizers.Adam(positive_number("learning_rate", learning_rate))
    losses = _all_data_at_once(model, optimizer, loss, columns, steps)
    if not np.isfinite(losses[-1]):
        raise ValueError(f"learning_rate must be lower than {learning_rate}: training diverged")
    return losses


def _examples(name, value, tensor):
    """An array of shape (n, …) for the model's input or output, or an error."""
    array, shape = finite_array(name, value), tensor.shape[1:]
    if array.ndim == 1 and shape == (1,):
        array = array[:, np.newaxis]
    fits = array.ndim == 1 + len(shape) and all(
        known in (None, size) for known, size in zip(shape, array.shape[1:])
    )
    if not fits:
        raise ValueError(f"{name} must have shape {('n', *shape)}, not {array.shape}")
    in_format(name, array, tensor.dtype)
    return array


def _check_shares(model, y, loss):
    """Raise unless the loss, which is one of shares, suits the model's end and the shares y."""
    needed, actual = ACTIVATION_OF_LOSS[loss], last_activation(model)
    if actual != needed:
        raise ValueError(
            f"loss must not be {loss!r} for a model that does not end in a {needed}: "
            f"{model.name!r} ends in {actual!r}"
        )
    outside = (y < 0) | (y > 1)
    if outside.any():
        raise ValueError(f"y must lie from 0 to 1 for the loss {loss!r}, not {y[outside][0]}")
    if needed == "softmax" and not np.allclose(y.sum(axis=-1), 1, atol=1e-3):
        raise ValueError(f"y must add up to 1 along its last axis for the loss {loss!r}")


def _shares_of_the_mean(counts, y):
    """What each loss is multiplied by, so that their mean is the mean over all that count."""
    counts, shape = finite_array("counts", counts), y.shape[:-1]
    if counts.shape not in (shape[:1], shape):
        raise ValueError(f"counts must have the shape {shape}, not {counts.shape}")
    if (counts < 0).any() or not counts.any():
        raise ValueError(f"counts must be 0 or above, and not all 0, not {counts.min()}")
    return np.broadcast_to((counts / counts.mean()).T, shape[::-1]).T


def _all_data_at_once(model, optimizer, loss, columns, steps):
    """Train on one batch, again and again, in compiled calls of ten steps; the losses.

    A model that was trained like this before keeps its compiled call, with an optimizer reset.
    """
    dtype = model.inputs[0].dtype
    layers = list(all_layers(model))
    settings = [(each, getattr(each, "activation", None), each.trainable) for each in layers]
    purpose = [loss, type(optimizer), settings]
    if _COMPILED.get(model) == [purpose, getattr(model, "optimizer", None)]:
        for variable in model.optimizer.variables:  # its moments, and how many steps it has made
            variable.assign(keras.ops.zeros_like(variable))
        model.optimizer.learning_rate.assign(optimizer.learning_rate)
    else:
        model.compile(
            optimizer=optimizer,
            loss=LOSSES[loss](dtype=dtype),  # float32 by default, whatever the model
            steps_per_execution=STEPS_PER_CALL,
            jit_compile=any(isinstance(layer, keras.layers.RNN) for layer in layers),
        )
        _COMPILED[model] = [purpose, optimizer]
    batch = tf.data.Dataset.from_tensors(tuple(column.astype(dtype) for column in columns))
    history = model.fit(
        batch.repeat(),
        epochs=steps // STEPS_PER_CALL,
        steps_per_epoch=STEPS_PER_CALL,
        shuffle=False,
        verbose=0,
    )
    return np.array(history.history["loss"])


# What each model was compiled for by this module, and the optimizer that it has from it.
_COMPILED = weakref.WeakKeyDictionary()


def _steps(steps):
    steps = whole_number("steps", steps, least=STEPS_PER_CALL)
    if steps % STEPS_PER_CALL:
        raise ValueError(f"steps must be a multiple of {STEPS_PER_CALL}, not {steps}")
    return steps


def _single_neuron(model):
    """The Dense layer of a model of one neuron, or an error."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model, not {model!r} ({type(model).__name__})")
    layers = [each for each in model.layers if not isinstance(each, keras.layers.InputLayer)]
    shapes = [w.shape for w in model.get_weights()]
    one_dense = len(layers) == 1 and isinstance(layers[0], keras.layers.Dense)
    if not one_dense or shapes != [(1, 1), (1,)]:
        raise ValueError(
            "model must be one Dense neuron with one input and nothing else, with weights of the "
            f"shapes (1, 1) and (1,); {model.name!r} has {len(layers)} layers, and weights of "
            f"{shapes}"
        )
    return layers[0]


def _counts(counts, x):
    counts = finite_array("counts", counts)
    if counts.shape != x.shape:
        raise ValueError(f"counts must have the shape of x, {x.shape}, not {counts.shape}")
    if (counts <= 0).any():
        raise ValueError(f"counts must be above 0, not {counts[counts <= 0][0]}")
    return counts


def _mean_and_sd(values, counts):
    """Weighted mean and standard deviation; the latter 1 where all values are equal."""
    mean = np.average(values, weights=counts)
    return mean, np.sqrt(np.average((values - mean) ** 2, weights=counts)) or 1.0
