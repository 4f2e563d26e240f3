"""Which input made the network say that? Gradient descent on the input of a trained Keras model.

The weights stay as they are. The input x moves, against the gradient of the cost::

    J(x) = Σ (y(x) − y₀)²                       (space="output"),
    J(x) = Σ (logit y(x) − logit y₀)²           (space="logit"),

the sum running over the outputs: x ← x − η ∂J/∂x, until the output is close enough to the wanted
one, or there is a reason to give up. Chapter 3 builds the loop by hand; here it is compiled, runs
on many targets at once, and says for each of them how it ended. What else than the output of a
network can be reached is in `objectives`; what can be asked of the input, in `priors`.
"""

import functools
import sys
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from helpers.activations import last_activation
from helpers.backend import keras, tf
from helpers.graph import all_layers, logit_of, origin
from helpers.models import as_targets, check_model, in_format, input_and_output_shape
from helpers.validation import (
    choice,
    finite_array,
    flag,
    in_shape,
    non_negative_number,
    positive_number,
    whole_number,
)

# How a target's run can end. Four of the reasons are kinds of "stalled".
RUNNING, CONVERGED, MAX_ITER, FLAT, ROUNDED, HELD, BALANCED, DIVERGED, NONFINITE = range(9)

STATUS = np.array(["running", "converged", "max_iter", *["stalled"] * 4, "diverged", "nonfinite"])

MESSAGE = np.array(
    [
        "still running",
        "the output is within atol + rtol * |target| of the target",
        "max_iter came first: raise it or the learning rate, or start closer",
        "the gradient is exactly zero: start elsewhere or ask for a pre-activation",
        "the steps are lost in rounding: raise atol or rtol, or use float64",
        "the bounds hold the input back: widen them, or start elsewhere",
        "the penalty and the error of the output balance: lower the penalty's weight, or start "
        "elsewhere",
        "the cost grew a million-fold: lower the learning rate",
        "the output or its gradient is not a finite number: start elsewhere",
    ],
    dtype=object,
)

# The cost may grow by this factor before a run counts as diverged: a thousand-fold error.
GROWTH = 1e6

# The loop goes on to this share of the tolerance. It rounds in another order than the model does,
# and the verdict, which is on the model's own answer, must not hang on that.
SHARE = 0.9

# Iterations per call of the compiled loop where it must hand something out on the way.
SEGMENT = 1000


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

    @property
    def success_rate(self):
        """float: the share of the runs that have converged, from 0 to 1."""
        return float(np.mean(self.converged))

    @property
    def spread(self):
        """ndarray of the input shape: standard deviation of the converged x, NaN without any."""
        found = self.x[self.converged]
        return found.std(axis=0) if len(found) else np.full(self.x.shape[1:], np.nan)

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
    bounds=None,
    penalty=None,
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
        plain number; where the model has a single input unit, also (N,). Where the model leaves the
        length of a sequence open, that of the start counts.
    learning_rate : float
        η, above 0; in units of input² per output² (per logit² in the space of logits).
    max_iter : int
        Largest number of steps, at least 1.
    atol, rtol : float
        A run has converged when ``|y − target| <= atol + rtol * |target|`` for all its outputs, in
        either space; the loop goes on to nine tenths of that. With both 0 it goes on for as long
        as a step changes anything.
    space : {"output", "logit"}
        Where the squared error is measured. "logit" needs a model that ends in a sigmoid.
    bounds : (low, high), optional
        The box that the input never leaves: each step ends at its point nearest to where it would
        have gone, in the model's number format. Two numbers or arrays that broadcast to an input;
        infinite where there is none.
    penalty : callable, optional
        A function of a batch of inputs, as a tensor, that returns one cost for each, independent of
        the others, to be added to J; such as those in `helpers.priors`. It is paid until the end: a
        run then goes on, when the output is right, for as long as a step changes anything, or until
        max_iter.
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
        if a target lies out of the range of the model's last activation, where that is one of
        Keras' own; if a start lies out of bounds; if the model is stateful.

    Notes
    -----
    The method is that of Linden and Kindermann :cite:p:`linden1989`. The loop is compiled once for
    each combination of model, space, prior and shapes (each time for a penalty that is a function);
    its iterates equal those of an eager loop to floating-point rounding. A run counts as diverged
    when its cost has grown a million-fold.
    """
    check_model(model)
    choice("space", space, ("output", "logit"))
    if space == "logit":
        _check_logit(model)
    if penalty is not None and not callable(penalty):
        raise TypeError(f"penalty must be a function of the input, not {penalty!r}")
    shape, output_shape = input_and_output_shape(model, start)
    target = as_targets(model, target, output_shape)
    start = _as_starts(start, (len(target), *shape), model.inputs[0].dtype)
    if penalty is not None:
        _check_penalty(penalty(tf.constant(start)), start)
    if bounds is not None:
        bounds = _as_bounds(bounds, start)
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
            model, space, penalty, bounds, start, target, allowed, rate, max_iter, trace, bar
        )

    # The loop's own y may differ from model(x) in the last digits; the verdict is on model(x).
    y = model(x, training=False).numpy()
    residual = y - target
    within = (np.abs(residual) <= allowed).reshape(len(y), -1).all(axis=1)
    finite = np.isfinite(y).reshape(len(y), -1).all(axis=1)
    code = np.where(code == CONVERGED, ROUNDED, code)
    if penalty is not None:
        code = np.where((code == FLAT) | (code == ROUNDED), BALANCED, code)
        finite &= code != NONFINITE  # of the penalty or its gradient
    code = np.where(~finite, NONFINITE, np.where(within, CONVERGED, code))
    status, message = STATUS[code], MESSAGE[code]
    for array in (x, y, target, residual, status, message, n_iter, path):
        if array is not None:
            array.flags.writeable = False
    return Reconstruction(x, y, target, residual, status, message, n_iter, path)


def _descend(model, space, penalty, bounds, start, target, allowed, rate, max_iter, trace, bar):
    """Run the compiled loop until every target has ended: x, code, n_iter and the iterates."""
    segment = min(SEGMENT, max_iter) if trace or not bar.disable else max_iter
    kept = segment if trace else 0
    # A function may do something else today than when it was compiled; a prior never does.
    compile_loop = _compiled_loop if penalty is None or _is_frozen(penalty) else _new_loop
    advance = compile_loop(
        model, _architecture(model), space, penalty, bounds is not None, start.shape,
        target.shape, kept,
    )  # fmt: skip
    rounding = 8 * np.finfo(target.dtype).eps * np.abs(target)
    within = np.maximum(SHARE * allowed - rounding, 0.0)
    if penalty is not None:
        within = np.full_like(target, -1.0)  # never: a penalty is paid until the end
    problem = [tf.constant(target), tf.constant(within, target.dtype), tf.constant(rate)]
    box = [] if bounds is None else [tf.constant(bound) for bound in bounds]
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
        *state, path = advance(*state, *problem, tf.constant(steps), *box)
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


def _new_loop(model, architecture, space, penalty, bounded, x_shape, y_shape, kept):
    """The descent of a batch as one XLA program, which keeps `kept` iterates.

    Trained weights are read at each call. `architecture` is for the key of the cache.
    """
    answer = _with_logit(model) if space == "logit" else _with_itself(model)

    @tf.function(jit_compile=True)
    def advance(x, code, n_iter, ceiling, target, allowed, rate, steps, *box):
        aim = _logit(target) if space == "logit" else target

        def one_step(i, x, code, n_iter, ceiling, path):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y, value = answer(x)
                cost = size = _per_target(tf.reduce_sum, (value - aim) ** 2)
                if penalty is not None:
                    paid = tf.cast(penalty(x), cost.dtype)
                    cost, size = cost + paid, size + tf.abs(paid)
                total = tf.reduce_sum(cost)
            gradient = tape.gradient(total, x, unconnected_gradients="zero")
            moved = beyond = x - rate * gradient
            if bounded:
                moved = tf.clip_by_value(beyond, *box)

            # Cost and gradient are sums over the batch: a sum keeps the targets apart.
            ceiling = tf.where(n_iter == 0, size, ceiling)
            close = _per_target(tf.reduce_all, tf.abs(y - target) <= allowed)
            finite = _per_target(tf.reduce_all, tf.math.is_finite(y))
            movable = _per_target(tf.reduce_all, tf.math.is_finite(beyond))
            flat = _per_target(tf.reduce_all, gradient == 0)
            unmoved = _per_target(tf.reduce_all, moved == x)
            held = unmoved & _per_target(tf.reduce_any, beyond != moved)
            verdict = RUNNING  # where several reasons hold, the last of them counts
            for reason, holds in (
                (ROUNDED, unmoved),
                (HELD, held),
                (FLAT, flat),
                (NONFINITE, ~movable),
                (DIVERGED, cost * (1 / GROWTH) > ceiling),
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

    x = tf.TensorSpec(x_shape, model.inputs[0].dtype)
    y = tf.TensorSpec(y_shape, model.outputs[0].dtype)
    each = tf.TensorSpec(x_shape[:1], "int32")
    ceiling, rate, steps = (
        tf.TensorSpec(x_shape[:1], y.dtype),
        tf.TensorSpec((), x.dtype),
        tf.TensorSpec((), "int32"),
    )
    box = [tf.TensorSpec(x_shape[1:], x.dtype)] * 2 if bounded else []
    return advance.get_concrete_function(x, each, each, ceiling, y, y, rate, steps, *box)


_compiled_loop = functools.lru_cache(maxsize=16)(_new_loop)


def _is_frozen(penalty):
    """Whether a penalty is a frozen dataclass, such as those in `priors`."""
    return getattr(getattr(penalty, "__dataclass_params__", None), "frozen", False)


def _with_itself(model):
    """A function of x that returns y twice: as the answer, and as the value to descend on."""

    def answer(x):
        y = model(x, training=False)
        return y, y

    return answer


def _with_logit(model):
    """A function of x that returns y and its logit: the pre-activation, which does not saturate."""
    logit = logit_of(model)

    def answer(x):
        z = logit(x, training=False)
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


def _check_penalty(cost, start):
    """Raise unless what a penalty returned for the starts is one number for each."""
    if not tf.is_tensor(cost) or cost.shape != start.shape[:1] or cost.dtype != start.dtype:
        raise ValueError(
            f"penalty must return a tensor of shape {start.shape[:1]} and type "
            f"{start.dtype}, one cost for each input, not {cost!r}"
        )


def _architecture(model):
    """The layers and their activations: where one of them has changed, a loop is compiled anew."""
    return tuple((layer, getattr(layer, "activation", None)) for layer in all_layers(model))


def _check_logit(model):
    last, _ = origin(model.outputs[0])
    if not isinstance(last, (keras.layers.Dense, keras.layers.Activation)) or (
        last_activation(model) != "sigmoid"
    ):
        raise ValueError(
            "space must be 'output', not 'logit', for a model that does not end in a sigmoid "
            f"(Dense or Activation): {model.name!r} ends in {last.name!r} "
            f"with activation {last_activation(model)!r}"
        )


def _as_starts(start, shape, dtype):
    """The starts in the model's number format, of shape (N, …input shape), or an error."""
    if np.asarray(start).dtype.kind in "iub":
        raise TypeError(
            f"start must be floating point, not {start!r}: "
            "integers have no gradient; write 1.0, not 1"
        )
    array = finite_array("start", start)
    if array.shape == shape[:1] and shape[1:] == (1,):
        array = array[:, np.newaxis]
    return in_format("start", in_shape("start", array, shape), dtype)


def _as_bounds(bounds, start):
    """Two arrays of the shape of an input between which all starts lie, or an error."""
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        raise TypeError(f"bounds must be a pair (low, high), not {bounds!r}")
    pair = []
    for name, bound in zip(("low", "high"), bounds):
        array = np.asarray(bound)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"bounds must hold real numbers, not {bound!r} as {name}")
        if np.isnan(array).any():
            raise ValueError(f"bounds must not be NaN, as {name} is: {bound!r}")
        array = in_shape(f"bounds, {name},", array.astype(float), start.shape[1:])
        pair.append(in_format("bounds", array, start.dtype))
    low, high = pair
    if (low > high).any():
        raise ValueError(f"bounds must have low <= high, not {bounds!r}")
    outside = (start < low) | (start > high)
    if outside.any():
        raise ValueError(f"start must lie within bounds, {bounds!r}, not at {start[outside][0]}")
    return low, high
