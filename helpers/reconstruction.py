"""Which input made the network say that? Gradient descent on the input of a trained Keras model.

The weights stay as they are. The input x moves, against the gradient of the cost::

    J(x) = Σ (y(x) − y₀)²                       (space="output"),
    J(x) = Σ (logit y(x) − logit y₀)²           (space="logit"),

the sum running over the outputs: x ← x − η ∂J/∂x, until the output is close enough to the wanted
one, or there is a reason to give up. Chapter 3 builds the loop by hand; here it is compiled, runs
on many targets at once, and says for each of them how it ended.
"""

import functools
import sys
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from helpers.backend import keras, tf
from helpers.validation import (
    choice,
    finite_array,
    flag,
    non_negative_number,
    positive_number,
    whole_number,
)

# How a target's run can end. Two of the reasons are kinds of "stalled".
RUNNING, CONVERGED, MAX_ITER, FLAT, ROUNDED, DIVERGED, NONFINITE = range(7)

STATUS = np.array(
    ["running", "converged", "max_iter", "stalled", "stalled", "diverged", "nonfinite"]
)

MESSAGE = np.array(
    [
        "still running",
        "the output is within atol + rtol * |target| of the target",
        "max_iter came first: raise it or the learning rate, or start closer",
        "the gradient is exactly zero: start elsewhere, or use space='logit'",
        "the steps are lost in rounding: raise atol or rtol, or use float64",
        "the cost grew a million-fold: lower the learning rate",
        "the output or its gradient is not a finite number: start elsewhere",
    ],
    dtype=object,
)

# The cost may grow by this factor before a run counts as diverged: a thousand-fold error.
GROWTH = 1e6

# Iterations per call of the compiled loop where it must hand something out on the way.
SEGMENT = 1000

# Open or closed intervals of the outputs that an activation can give; others are unrestricted.
RANGES = {
    "sigmoid": (0.0, 1.0, "strictly between 0 and 1"),
    "tanh": (-1.0, 1.0, "strictly between -1 and 1"),
    "softmax": (0.0, 1.0, "strictly between 0 and 1"),
    "softplus": (0.0, np.inf, "above 0"),
    "exponential": (0.0, np.inf, "above 0"),
    "relu": (np.nextafter(0.0, -1.0), np.inf, "0 or above"),
}


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The inputs found by :func:`reconstruct`, one for each of N targets.

    Attributes
    ----------
    x : ndarray of shape (N, …input shape)
        The reconstructed inputs.
    y : ndarray of shape (N, …output shape)
        The model's answer to them, `model(x)`.
    target : ndarray of shape (N, …output shape)
        The wanted outputs, in the model's number format.
    residual : ndarray of shape (N, …output shape)
        y − target.
    status : ndarray of N strings
        Why each run ended: 'converged', 'max_iter', 'stalled', 'diverged' or 'nonfinite'.
    message : ndarray of N strings
        The same in a sentence that says what to do next.
    n_iter : ndarray of shape (N,), int
        Number of steps that each input has made.
    trace : ndarray of shape (max(n_iter) + 1, N, …input shape), or None
        All iterates, the start first, when asked for. A run that has ended repeats its last one.
    """

    x: np.ndarray
    y: np.ndarray
    target: np.ndarray
    residual: np.ndarray
    status: np.ndarray
    message: np.ndarray
    n_iter: np.ndarray
    trace: np.ndarray | None = None

    @property
    def converged(self):
        """ndarray of shape (N,), bool: True exactly where `status` is 'converged'."""
        return self.status == "converged"

    def __repr__(self):
        reasons, counts = np.unique(self.status, return_counts=True)
        tally = ", ".join(f"{count} {reason}" for reason, count in zip(reasons, counts))
        return f"Reconstruction(x of shape {self.x.shape}: {tally})"


def reconstruct(
    model,
    target,
    *,
    start,
    learning_rate,
    max_iter=10_000,
    atol=0.0,
    rtol=1e-4,
    space="output",
    trace=False,
    progress=False,
):
    """Find the inputs to which `model` answers `target`, by gradient descent on the input.

    Each target has its own start, its own convergence and its own reason for stopping; a batch of N
    targets gives what N single calls give. All runs are bounded by `max_iter`.

    Parameters
    ----------
    model : keras.Model
        A trained model with one floating-point input and one output. It is not changed.
    target : array_like of shape (N, …output shape)
        The wanted outputs. One target may come without the leading axis; where the model has a
        single output unit, so may N of them, or a plain number.
    start : array_like of float
        Where the inputs start: the shape (N, …input shape), or any that broadcasts to it, such as a
        plain number; where the model has a single input unit, also (N,).
    learning_rate : float
        η, above 0; in units of input² per output² (per logit² in the space of logits).
    max_iter : int
        Largest number of steps, at least 1.
    atol, rtol : float
        A run has converged when ``|y − target| <= atol + rtol * |target|`` for all its outputs, in
        either space. With both 0 it goes on for as long as a step changes anything.
    space : {"output", "logit"}
        Where the squared error is measured. "logit" needs a model that ends in a sigmoid.
    trace : bool
        Keep all iterates.
    progress : bool
        Show a progress bar on stdout.

    Returns
    -------
    Reconstruction

    Raises
    ------
    TypeError
        If `model` is no Keras model, if its input or `start` are integers (which have no gradient),
        or if an argument is of the wrong kind.
    ValueError
        If the model has no weights, not one input and one output, or no sigmoid at its end when
        `space` is "logit"; if a shape does not fit; if a number is not finite or outside its range;
        if a target cannot be reached by the model's last activation.

    Notes
    -----
    The method is that of Linden and Kindermann :cite:p:`linden1989`. The loop is compiled once for
    each combination of model, space and batch size; its iterates equal those of an eager loop to
    floating-point rounding. A run counts as diverged when its cost has grown a million-fold.
    """
    _check_model(model)
    choice("space", space, ("output", "logit"))
    if space == "logit":
        _check_logit(model)
    target = _as_targets(model, target)
    start = _as_starts(model, start, len(target))
    rate = start.dtype.type(positive_number("learning_rate", learning_rate))
    if rate == 0 or np.isinf(rate):
        raise ValueError(
            f"learning_rate must fit {start.dtype}, in which {learning_rate} is {rate}"
        )
    max_iter = whole_number("max_iter", max_iter, least=1, most=2**31 - 1)
    atol, rtol = non_negative_number("atol", atol), non_negative_number("rtol", rtol)
    trace, progress = flag("trace", trace), flag("progress", progress)

    allowed = atol + rtol * np.abs(target)
    with tqdm(total=max_iter, disable=not progress, file=sys.stdout, unit="step") as bar:
        x, code, n_iter, path = _descend(
            model, space, start, target, allowed, rate, max_iter, trace, bar
        )

    # The loop's own y may differ from model(x) in the last digits; the verdict is on model(x).
    y = model(x, training=False).numpy()
    residual = y - target
    within = (np.abs(residual) <= allowed).reshape(len(y), -1).all(axis=1)
    finite = np.isfinite(y).reshape(len(y), -1).all(axis=1)
    code = np.where(code == CONVERGED, ROUNDED, code)
    code = np.where(~finite, NONFINITE, np.where(within, CONVERGED, code))
    for array in (x, y, target, residual, n_iter, path):
        if array is not None:
            array.flags.writeable = False
    return Reconstruction(x, y, target, residual, STATUS[code], MESSAGE[code], n_iter, path)


def _descend(model, space, start, target, allowed, rate, max_iter, trace, bar):
    """Run the compiled loop until every target has ended: x, code, n_iter and the iterates."""
    segment = min(SEGMENT, max_iter) if trace or not bar.disable else max_iter
    kept = segment if trace else 0
    advance = _compiled_loop(model, _architecture(model), space, len(target), kept)
    # A little less than allowed, so that rounding cannot turn the verdict on model(x) around.
    rounding = 8 * np.finfo(target.dtype).eps * np.abs(target)
    allowed = tf.constant(np.maximum(allowed - rounding, 0.0), target.dtype)
    goal = tf.constant(target)
    rate = tf.constant(rate)
    state = (
        tf.constant(start),
        tf.fill(len(target), RUNNING),
        tf.zeros(len(target), tf.int32),
        tf.zeros(len(target), target.dtype),
    )
    pieces = [start[np.newaxis]]
    done = 0
    while True:
        steps = min(segment, max_iter - done)
        *state, path = advance(*state, goal, allowed, rate, tf.constant(steps))
        done += steps
        if trace:
            pieces.append(path.numpy()[:steps])
        bar.update(int(tf.reduce_max(state[2])) - bar.n)
        running = (state[1] == RUNNING).numpy()
        if done == max_iter or not running.any():
            break
    x, code, n_iter = (tensor.numpy() for tensor in state[:3])
    code = np.where(code == RUNNING, MAX_ITER, code)
    path = np.concatenate(pieces)[: n_iter.max() + 1] if trace else None
    return x.copy(), code, n_iter.copy(), path


@functools.lru_cache(maxsize=16)
def _compiled_loop(model, architecture, space, n, kept):
    """The descent of n targets as one XLA program, which keeps `kept` iterates.

    `architecture` is part of the key, so that a changed layer compiles anew. Trained weights are
    read at each call.
    """
    answer = _with_logit(model) if space == "logit" else _with_itself(model)

    @tf.function(jit_compile=True)
    def advance(x, code, n_iter, ceiling, target, allowed, rate, steps):
        aim = _logit(target) if space == "logit" else target

        def one_step(i, x, code, n_iter, ceiling, path):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y, value = answer(x)
                cost = _per_target(tf.reduce_sum, (value - aim) ** 2)
                total = tf.reduce_sum(cost)
            gradient = tape.gradient(total, x, unconnected_gradients="zero")
            moved = x - rate * gradient

            # Cost and gradient are sums over the batch: a sum keeps the targets apart.
            ceiling = tf.where(n_iter == 0, tf.cast(GROWTH, cost.dtype) * cost, ceiling)
            close = _per_target(tf.reduce_all, tf.abs(y - target) <= allowed)
            finite = _per_target(tf.reduce_all, tf.math.is_finite(y))
            movable = _per_target(tf.reduce_all, tf.math.is_finite(moved))
            flat = _per_target(tf.reduce_all, gradient == 0)
            unmoved = _per_target(tf.reduce_all, moved == x)
            verdict = RUNNING  # where several reasons hold, the last of them counts
            for reason, holds in (
                (ROUNDED, unmoved),
                (FLAT, flat),
                (NONFINITE, ~movable),
                (DIVERGED, cost > ceiling),
                (CONVERGED, close),
                (NONFINITE, ~finite),
            ):
                verdict = tf.where(holds, reason, verdict)
            code = tf.where(code == RUNNING, verdict, code)

            going = code == RUNNING
            x = tf.where(_beside(going, x), moved, x)
            n_iter += tf.cast(going, tf.int32)
            return i + 1, x, code, n_iter, ceiling, path.write(i, x) if kept else path

        def unfinished(i, x, code, *rest):
            return (i < steps) & tf.reduce_any(code == RUNNING)

        path = tf.TensorArray(x.dtype, size=kept, element_shape=x.shape)
        _, x, code, n_iter, ceiling, path = tf.while_loop(
            unfinished, one_step, (0, x, code, n_iter, ceiling, path)
        )
        return x, code, n_iter, ceiling, path.stack() if kept else x

    x = tf.TensorSpec((n, *model.inputs[0].shape[1:]), model.inputs[0].dtype)
    y = tf.TensorSpec((n, *model.outputs[0].shape[1:]), model.outputs[0].dtype)
    each = tf.TensorSpec((n,), "int32")
    ceiling, rate, steps = (
        tf.TensorSpec((n,), y.dtype),
        tf.TensorSpec((), x.dtype),
        tf.TensorSpec((), "int32"),
    )
    return advance.get_concrete_function(x, each, each, ceiling, y, y, rate, steps)


def _with_itself(model):
    """A function of x that returns y twice: as the answer, and as the value to descend on."""

    def answer(x):
        y = model(x, training=False)
        return y, y

    return answer


def _with_logit(model):
    """A function of x that returns y and its logit: the pre-activation, which does not saturate."""
    last = model.layers[-1]
    below = keras.Model(model.inputs, last.input)

    def answer(x):
        z = below(x, training=False)
        if isinstance(last, keras.layers.Dense):
            z = tf.matmul(z, last.kernel)
            z = z + last.bias if last.use_bias else z
        return tf.sigmoid(z), z

    return answer


def _logit(y):
    return tf.math.log(y) - tf.math.log1p(-y)


def _per_target(reduce, tensor):
    """Reduce all axes but the first."""
    return reduce(tf.reshape(tensor, (tensor.shape[0], -1)), axis=1)


def _beside(mask, tensor):
    """The mask of shape (N,), shaped to broadcast along the first axis of the tensor."""
    return tf.reshape(mask, (-1,) + (1,) * (tensor.shape.rank - 1))


def _architecture(model):
    return tuple((layer, getattr(layer, "activation", None)) for layer in model.layers)


def _last_activation(model):
    return getattr(getattr(model.layers[-1], "activation", None), "__name__", "linear")


def _check_model(model):
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
    dtype = model.inputs[0].dtype
    if not dtype.startswith("float"):
        raise TypeError(
            f"model must take floating-point input, but that of {model.name!r} is {dtype}, "
            "which has no gradient"
        )
    unknown = [
        axis for axis in model.inputs[0].shape[1:] + model.outputs[0].shape[1:] if axis is None
    ]
    if unknown:
        raise ValueError(
            f"model must have input and output shapes that are known but for the batch, not "
            f"{model.inputs[0].shape} and {model.outputs[0].shape}"
        )


def _check_logit(model):
    last = model.layers[-1]
    if not isinstance(last, (keras.layers.Dense, keras.layers.Activation)) or (
        _last_activation(model) != "sigmoid"
    ):
        raise ValueError(
            "space must be 'output', not 'logit', for a model that does not end in a sigmoid "
            f"(Dense or Activation): {model.name!r} ends in {last.name!r} "
            f"with activation {_last_activation(model)!r}"
        )


def _as_targets(model, target):
    """The targets in the model's number format, of shape (N, …output shape), or an error."""
    shape, dtype = model.outputs[0].shape[1:], model.outputs[0].dtype
    given = finite_array("target", target)
    array = given
    if array.shape == shape or array.ndim == 0:
        array = array[np.newaxis]
    if array.ndim == 1 and shape == (1,):
        array = array[:, np.newaxis]
    if array.shape[1:] != shape:
        raise ValueError(
            f"target must have shape {('N', *shape)}, or {shape} for one target, not {given.shape}"
        )
    converted = _in_format("target", array, dtype)
    activation = _last_activation(model)
    low, high, words = RANGES.get(activation, (-np.inf, np.inf, ""))
    outside = (converted <= low) | (converted >= high)
    if outside.any():
        given, rounded = array[outside][0], converted[outside][0]
        detail = f", which {dtype} rounds to {rounded}" if low < given < high else ""
        raise ValueError(
            f"target must lie {words}, the range of {activation!r}, not {given}{detail}"
        )
    return converted


def _as_starts(model, start, n):
    """The starts in the model's number format, of shape (n, *input shape), or an error."""
    shape, dtype = (n, *model.inputs[0].shape[1:]), model.inputs[0].dtype
    if np.asarray(start).dtype.kind in "iub":
        raise TypeError(
            f"start must be floating point, not {start!r}: "
            "integers have no gradient; write 1.0, not 1"
        )
    array = finite_array("start", start)
    if array.ndim == 1 and shape[1:] == (1,):
        array = array[:, np.newaxis]
    try:
        array = np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"start must have shape {shape}, or one that broadcasts to it, not {np.shape(start)}"
        ) from None
    return _in_format("start", array, dtype)


def _in_format(name, array, dtype):
    """The array in the model's number format; raise where a value is too large for it."""
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    lost = ~np.isfinite(converted)
    if lost.any():
        raise ValueError(
            f"{name} must fit the number format of the model, {dtype}, in which {array[lost][0]} "
            f"would be {converted[lost][0]}"
        )
    return converted
