"""Which input made the network say that? A search for the input of a trained Keras model.

The weights stay as they are. The input x moves, so that the cost becomes small::

    J(x) = Σ (y(x) − y₀)²                       (space="output"),
    J(x) = Σ (logit y(x) − logit y₀)²           (space="logit"),

the sum running over the outputs that matter. With a learning rate it moves against the gradient of
the cost, as in chapter 3 (`descent`). Without one, each step solves the problem as if the network
were linear there (`gauss_newton`), or takes its length from the cost (`projected_gradient`). All
are compiled, run on many targets at once, and say for each of them how it ended. What else than the
output of a network can be reached is in `objectives`; what can be asked of the input, in `priors`.
"""

import sys
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from helpers import descent, gauss_newton, projected_gradient
from helpers.activations import last_activation
from helpers.backend import keras, tf
from helpers.blocks import FEW, GRAINS, blocks, on_all_cores, size_of_grain
from helpers.graph import origin
from helpers.loops import SEGMENT, Loop, form_of
from helpers.models import as_targets, check_model, in_format, input_and_output_shape
from helpers.priors import L2
from helpers.search import Search, as_long
from helpers.validation import (
    choice,
    finite_array,
    flag,
    in_shape,
    non_negative_number,
    positive_number,
    whole_number,
)
from helpers.verdicts import MESSAGE, MESSAGE_WITH_RATE, STATUS

# The largest number of steps, unless the caller says otherwise: gradient steps are short.
GRADIENT_STEPS, GAUSS_NEWTON_STEPS = 10_000, 1_000


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The inputs found by :func:`reconstruct`, one for each of N targets.

    Attributes
    ----------
    x : ndarray of shape (N, …input shape)
        The reconstructed inputs.
    y : ndarray of shape (N, …output shape)
        The model's answer to them, compiled: it may differ from `model(x)` in the last digits.
    target : ndarray or masked array of shape (N, …output shape)
        The wanted outputs, in the model's number format.
    residual : ndarray or masked array of shape (N, …output shape)
        y − target; masked where the target is masked or infinite.
    status : ndarray of N strings
        Why each run ended: 'converged', 'stationary' (at rest, where no step lowers the cost: the
        closest answer around, or, for an infinite target, a local maximum or minimum), 'max_iter',
        'stalled' (no step can be made: saturated, flat or lost in rounding), 'diverged' or
        'nonfinite'.
    message : ndarray of N strings
        The same in a sentence that says what to do next.
    n_iter : ndarray of shape (N,), int
        Number of steps that each input has made; trials that were refused do not count.
    trace : ndarray of shape (max(n_iter) + 1, N, …input shape), or None
        All iterates, the start first, when asked for. A run that has ended repeats its last one.

    Examples
    --------
    >>> from helpers.reconstruction import reconstruct
    >>> from helpers.training import neuron
    >>> found = reconstruct(neuron("sigmoid", W=2.0), [0.1, 0.9], start=0.0)
    >>> found
    Reconstruction(x of shape (2, 1): 2 converged)
    >>> print(found.x.round(2).ravel(), found.success_rate)
    [-1.1  1.1] 1.0
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
    learning_rate=None,
    max_iter=None,
    atol=0.0,
    rtol=1e-4,
    space="output",
    bounds=None,
    penalty=None,
    scale=None,
    trace=False,
    progress=False,
):
    """Find the inputs to which `model` answers `target`: by steps on the input.

    Each target has its own start, its own convergence and its own reason for stopping; a batch of N
    targets gives what N single calls give. All runs are bounded by `max_iter`.

    Parameters
    ----------
    model : keras.Model
        A trained model with one floating-point input and one output. It is not changed.
    target : array_like of shape (N, …output shape)
        The wanted outputs. One target may come without the leading axis; where the model has a
        single output unit, so may N of them, or a plain number. In a NumPy masked array, a masked
        entry does not matter; each row has its own. An entry of +∞ is to be as large as it gets,
        one of −∞ as small: it adds −y, or +y, to the cost.
    start : array_like of float
        Where the inputs start: the shape (N, …input shape), or any that broadcasts to it, such as a
        plain number; where the model has a single input unit, also (N,). Where the model leaves the
        length of a sequence open, that of the start counts.
    learning_rate : float, optional
        η of plain gradient descent, above 0; in units of input² per output² (per logit² in the
        space of logits). Default: none is needed, see the notes.
    max_iter : int, optional
        Largest number of steps, at least 1; without a rate, trials that were refused count, too.
        Default: 1 000 for damped Gauss–Newton steps, 10 000 for gradient steps.
    atol, rtol : float
        A run has converged when ``|y − target| <= atol + rtol * |target|`` for all its outputs that
        matter, in either space; the loop goes on to nine tenths of that. With both 0 it goes on for
        as long as a step changes anything.
    space : {"output", "logit"}
        Where the squared error is measured. "logit" needs a model that ends in a sigmoid.
    bounds : (low, high), optional
        The box that the input never leaves, in the model's number format. Two numbers or arrays
        that broadcast to an input; infinite where there is none.
    penalty : callable, optional
        A function of a batch of any size of inputs, as a tensor, that returns one cost for each,
        independent of the others, to be added to J; such as those in `helpers.priors`. It is paid
        until the end: a run then goes on, when the output is right, for as long as a step changes
        anything, or until max_iter.
    scale : array_like of float, optional
        The size of one unit of each input, above 0, in units of the input: a number, or an array
        that broadcasts to an input. What is nearest, and how long a step is, is measured in it.
        Default: 1. Not together with a learning rate.
    trace : bool
        Keep all iterates.
    progress : bool
        Show a progress bar on stdout: of the steps, or, for a batch of more than one grain (1 024
        targets of a line), of the targets that are done.

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
        if a target lies out of the range of the model's last activation, or is masked as a whole;
        if a start lies out of bounds; if the model is stateful.

    Warns
    -----
    RuntimeWarning
        Once for each compilation, if XLA refuses a layer of the model: the loop then runs without
        it, slower.

    Notes
    -----
    With a learning rate the method is that of Linden and Kindermann :cite:p:`linden1989`. A run
    counts as diverged when its cost has grown a million-fold.

    Without one, a step is that of Gauss and Newton, damped for each target by itself
    :cite:p:`levenberg1944,marquardt1963`: x + S² Jᵀ (J S² Jᵀ + λ I)⁻¹ (y₀ − y), with the Jacobian J
    and S = `scale`. λ is 0 at first, so that one step answers a linear map, by the input nearest to
    the start. Inputs at a bound stay there while the cost pushes them outwards, and the others are
    solved for. An :class:`~helpers.priors.L2` penalty belongs to the squares. A run without a
    penalty that comes to rest off its target, after more than one step, is made once more with
    short steps at first; of the two the closer one is returned, with its steps and iterates alone.

    Other penalties and infinite targets have no such form. There each step is one of projected
    gradient descent, whose rate is ½/σ₁² at first, from the largest singular value of J S, and then
    follows from the last two gradients :cite:p:`barzilai1988,birgin2000`.

    A loop is compiled once for each combination of model, its settings, space, prior and bounds
    (each time for a penalty that is a function), and once more for a large batch. It works through
    a batch in grains of one size, on all cores (see `helpers.blocks`), so that a batch of any size
    gives, bit for bit, what single calls give. With a `trace`, last digits may differ. Iterates
    equal those of an eager loop to floating-point rounding, and so does `y`, which is compiled with
    them.

    Examples
    --------
    >>> from helpers.training import neuron
    >>> found = reconstruct(neuron(W=0.4, b=-25.0), 100, start=1.0)
    >>> print(found.x.round(1), found.status)
    [[312.5]] ['converged']
    """
    check_model(model)
    choice("space", space, ("output", "logit"))
    if space == "logit":
        _check_logit(model)
    if penalty is not None and not callable(penalty):
        raise TypeError(f"penalty must be a function of the input, not {penalty!r}")
    shape, output_shape = input_and_output_shape(model, start)
    target = as_targets(model, target, output_shape)
    start = as_starts(start, (len(target), *shape), model.inputs[0].dtype)
    if penalty is not None:
        _check_penalty(penalty(tf.constant(start[:1])), start[:1])
    if bounds is not None:
        bounds = _as_bounds(bounds, start)
    rate = None if learning_rate is None else _as_rate(learning_rate, start.dtype)
    scale = _as_scale(scale, shape, rate)
    atol, rtol = non_negative_number("atol", atol), non_negative_number("rtol", rtol)
    trace, progress = flag("trace", trace), flag("progress", progress)

    endless = bool(np.isinf(np.ma.getdata(target)).any())  # what is masked is 0
    paid = penalty is not None
    quadratic = (not paid or type(penalty) is L2) and not endless
    if max_iter is None:
        max_iter = GAUSS_NEWTON_STEPS if rate is None and quadratic else GRADIENT_STEPS
    max_iter = whole_number("max_iter", max_iter, least=1, most=2**31 - 1)
    if rate is not None:
        method, unit, shared = descent, "rate", [rate]
    else:
        method = gauss_newton if quadratic else projected_gradient
        unit, shared = (None, []) if scale is None else ("scale", [scale])

    N, form = len(target), form_of(model, target, start, space, unit, bounds, endless)
    grain = size_of_grain(model, shape, 1 if method is descent else form.k)
    parts = blocks(N, grain, 1 if trace else GRAINS)
    by_steps = progress and grain >= N  # what the progress bar counts
    # Some steps at a time, where something must be handed out on the way.
    segment = min(SEGMENT, max_iter) if trace or by_steps else None
    grains = 1 if segment else GRAINS if FEW * grain < N else FEW
    loop = Loop(
        method, model, penalty, form, grain, grains, [*shared, *(bounds or ())], segment, trace
    )
    fields = ("x", start), ("y", target), ("residual", target)
    found = {name: np.empty(like.shape, like.dtype) for name, like in fields}
    found |= {"code": np.empty(N, np.int32), "n_iter": np.empty(N, np.int32)}
    paths = [None] * len(parts)
    total, unit = (max_iter, "step") if by_steps else (N, "target")
    with tqdm(total=total, disable=not progress, file=sys.stdout, unit=unit) as bar:
        search = Search(
            loop, max_iter, atol, rtol, rate, paid, last_activation(model), segment, trace,
            lambda steps: bar.update(steps - bar.n) if by_steps else None,
        )  # fmt: skip

        def solve(i):
            ended, paths[i] = search(target[parts[i]], start[parts[i]])
            for name, array in ended.items():
                found[name][parts[i]] = array

        for i in on_all_cores(solve, len(parts), alone=not loop.program.ready):
            bar.update(0 if by_steps else parts[i].stop - parts[i].start)
    code = found.pop("code")
    found["status"] = _in_words(STATUS, code)
    found["message"] = _in_words(MESSAGE if rate is None else MESSAGE_WITH_RATE, code)
    if endless or np.ma.is_masked(target):
        free = np.isinf(np.ma.getdata(target)) | np.ma.getmaskarray(target)
        found["residual"] = np.ma.array(found["residual"], mask=free)
    if trace:
        found["trace"] = np.concatenate(as_long(*paths), axis=1)
    for array in (target, *found.values()):
        array.flags.writeable = False
    return Reconstruction(target=target, **found)


def _in_words(words, code):
    """The word for each code; one for all, such as 'converged', is kept once."""
    if (code == code[0]).all():
        return np.broadcast_to(words[code[0]], code.shape)
    return words[code]


def _check_penalty(cost, start):
    """Raise unless what a penalty returned for some starts is one number for each."""
    if not tf.is_tensor(cost) or cost.shape != start.shape[:1] or cost.dtype != start.dtype:
        raise ValueError(
            f"penalty must return a tensor of shape {start.shape[:1]} and type "
            f"{start.dtype}, one cost for each input, not {cost!r}"
        )


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


def as_starts(start, shape, dtype):
    """The starts in the model's number format, of shape (N, …input shape), or an error."""
    if np.asarray(start).dtype.kind in "iub":
        raise TypeError(
            f"start must be floating point, not {start!r}: "
            "integers have no gradient; write 1.0, not 1"
        )
    array = in_format("start", finite_array("start", start), dtype)
    if array.shape == shape[:1] and shape[1:] == (1,):
        array = array[:, np.newaxis]
    return in_shape("start", array, shape)


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


def _as_rate(learning_rate, dtype):
    """The rate in the model's number format, or an error."""
    rate = dtype.type(positive_number("learning_rate", learning_rate))
    if rate == 0 or np.isinf(rate):
        raise ValueError(f"learning_rate must fit {dtype}, in which {learning_rate} is {rate}")
    return rate


def _as_scale(scale, shape, rate):
    """The size of one unit of each input, as an array of the shape of an input, or an error."""
    if scale is None:
        return None
    if rate is not None:
        raise ValueError(
            "scale must be left out where a learning_rate is given, which is one rate for all "
            f"inputs, not {scale!r}"
        )
    array = finite_array("scale", scale)
    if (array <= 0).any():
        raise ValueError(f"scale must be above 0, not {array[array <= 0][0]}")
    return np.array(in_shape("scale", array, shape))
