"""What the loops share: what is asked of each target, its gradient, and compiling only once.

A loop is one compiled program, made for a model, an aim and shapes. It is kept until something has
changed that changes its answers.
"""

import functools
import warnings
from dataclasses import dataclass, replace
from numbers import Number
from types import FunctionType, ModuleType

import numpy as np

from helpers.backend import keras, tf
from helpers.blocks import filled, in_grains
from helpers.graph import all_layers, logit_of

# Iterations per call of a compiled loop where it must hand something out on the way.
SEGMENT = 1000

# The loops go on to this share of the tolerance. They round in another order than the model does,
# and the verdict, which is on the model's own answer, must not hang on that.
SHARE = 0.9

# Entries that the copies of a batch may have at once when a Jacobian is computed.
COPIES = 2**26


@dataclass(frozen=True, eq=False)
class Aim:
    """What is wanted of the k entries of the output that matter, of N targets.

    Attributes
    ----------
    goal : ndarray of shape (N, k)
        What each entry is to become, in the space of the error.
    within : ndarray of shape (N, k)
        How close the output must come to `wanted`; −1 where it never counts as arrived.
    wanted : ndarray of shape (N, k)
        The goal as an output.
    weight : ndarray of shape (N, k)
        1 for an entry with a goal, 0 for one without.
    push : ndarray of shape (N, k)
        1 for an entry that is to be as large as it gets, −1 for one as small, else 0.
    entries : ndarray of shape (N, k), int
        Which entries of the flattened output they are.
    """

    goal: np.ndarray
    within: np.ndarray
    wanted: np.ndarray
    weight: np.ndarray | None = None
    push: np.ndarray | None = None
    entries: np.ndarray | None = None


def aim_at(target, allowed, form, *, paid):
    """The :class:`Aim` of targets, of which some entries may be masked or infinite.

    Parameters
    ----------
    target : ndarray or masked array of shape (N, …output shape)
    allowed : ndarray of the same shape
        The tolerance.
    form : Form
    paid : bool
        Whether a penalty is paid until the end, so that no run ends because it has arrived.
    """
    N = len(target)
    wanted, allowed = np.ma.getdata(target).reshape(N, -1), allowed.reshape(N, -1)
    matters = fixed = push = entries = None
    if "entries" in form.parts:
        matters = ~np.ma.getmaskarray(target).reshape(N, -1)
        entries = np.argsort(~matters, axis=1, kind="stable")[:, : form.k].astype(np.int32)
        wanted, matters, allowed = (
            np.take_along_axis(array, entries, axis=1) for array in (wanted, matters, allowed)
        )
        fixed = matters
    if "push" in form.parts:
        endless = np.isinf(wanted) if matters is None else np.isinf(wanted) & matters
        push = np.where(endless, np.sign(wanted), 0).astype(wanted.dtype)
        fixed = ~endless if matters is None else matters & ~endless
    if fixed is not None:
        wanted = np.where(fixed, wanted, 0.5 if form.space == "logit" else 0).astype(wanted.dtype)
        allowed = np.where(fixed, allowed, 0.0)
    goal = np.log(wanted) - np.log1p(-wanted) if form.space == "logit" else wanted
    if paid or push is not None:
        within = np.full_like(wanted, -1.0)
    else:
        rounding = 8 * np.finfo(wanted.dtype).eps * np.abs(wanted)
        within = np.maximum(SHARE * allowed - rounding, 0.0)
        if matters is not None:
            within = np.where(matters, within, np.inf)
        within = within.astype(wanted.dtype)
    weight = None if fixed is None else fixed.astype(wanted.dtype)
    return Aim(goal, within, wanted, weight, push, entries)


# Tensors that are the same for all targets.
SHARED = ("steps", "rate", "scale", "box")


@dataclass(frozen=True)
class Form:
    """Which tensors say what is asked, and of which shapes: what a loop is compiled for.

    Attributes
    ----------
    space : {"output", "logit"}
    x_shape, y_shape : tuple of int
        Of the inputs and outputs of the targets that are stepped together, N of each.
    x_dtype, y_dtype : str
    k : int
        The number of entries of the output that matter.
    parts : tuple of str
        Fields of :class:`Asked`, in order.
    """

    space: str
    x_shape: tuple
    y_shape: tuple
    x_dtype: str
    y_dtype: str
    k: int
    parts: tuple

    def signature(self, names):
        """The types of the parts with these names."""
        N = self.x_shape[0]
        types = {
            "entries": [tf.TensorSpec((N, self.k), "int32")],
            "steps": [tf.TensorSpec((), "int32")],
            "rate": [tf.TensorSpec((), self.x_dtype)],
            "scale": [tf.TensorSpec(self.x_shape[1:], "float64")],
            "box": [tf.TensorSpec(self.x_shape[1:], self.x_dtype)] * 2,
        }
        each = [tf.TensorSpec((N, self.k), self.y_dtype)]
        return [spec for name in names for spec in types.get(name, each)]

    def unpacked(self, tensors):
        """The tensors under their names."""
        tensors = iter(tensors)
        asked = {
            part: (next(tensors), next(tensors)) if part == "box" else next(tensors)
            for part in self.parts
        }
        return Asked(**{"wanted": asked["goal"]} | asked)


@dataclass(frozen=True, eq=False)
class Asked:
    """The tensors of an :class:`Aim`, within a loop; and what is the same for all targets."""

    goal: object
    wanted: object
    within: object
    steps: object
    weight: object = None
    push: object = None
    entries: object = None
    rate: object = None
    scale: object = None
    box: object = None


def form_of(model, target, start, space, unit, bounds, endless):
    """The :class:`Form` of a problem, of a single target; `unit` is "rate", "scale" or None."""
    k, parts = target[0].size, ["goal", "within"]
    masked = np.ma.is_masked(target)
    if masked:
        k = int((~np.ma.getmaskarray(target)).reshape(len(target), -1).sum(axis=1).max())
    parts += ["wanted"] if space == "logit" else []
    parts += ["weight"] if masked or endless else []
    parts += (["push"] if endless else []) + (["entries"] if masked else [])
    parts += ["steps", *([unit] if unit else []), *(["box"] if bounds is not None else [])]
    return Form(
        space, (1, *start.shape[1:]), (1, *target.shape[1:]), model.inputs[0].dtype,
        target.dtype.name, k, tuple(parts),
    )  # fmt: skip


def answer_of(model, space):
    """A function of x that returns the output y, and the value to measure the error on.

    The value is y itself, or its logit: the pre-activation, which does not saturate.
    """
    if space == "output":

        def answer(x):
            y = _of_batch(model(x, training=False), x)
            return y, y

        return answer
    before_sigmoid = logit_of(model)

    def logit_answer(x):
        z = _of_batch(before_sigmoid(x, training=False), x)
        return tf.sigmoid(z), z

    return logit_answer


def _of_batch(y, x):
    """y, with the number of its rows, which a graph that was loaded from a file may not know."""
    return tf.ensure_shape(y, (x.shape[0], *y.shape[1:]))


def picked(tensor, entries):
    """The entries that matter of (N, …) outputs, of shape (N, k)."""
    flat = tf.reshape(tensor, (tensor.shape[0], -1))
    return flat if entries is None else tf.gather(flat, entries, batch_dims=1)


def jacobian(answer, x, entries, k, copies=None):
    """y and value, of shape (N, k), and ∂value/∂x of shape (N, k, n), each entry from a copy of x.

    A copy of the batch for each entry, of which each is asked for its own: one pass back gives all,
    recurrent layers included. Where the copies would be too many at once, they come in turns, each
    with at most so many entries.
    """
    N, n = x.shape[0], int(np.prod(x.shape[1:]))
    every = tf.tile(tf.range(k)[tf.newaxis], (N, 1)) if entries is None else entries

    def of(columns):
        c = columns.shape[1]
        copies = tf.repeat(x, c, axis=0) if c > 1 else x
        with tf.GradientTape() as tape:
            tape.watch(copies)
            y, value = answer(copies)
            own = picked(value, tf.reshape(columns, (N * c, 1)))
            total = tf.reduce_sum(own)
        rows = tape.gradient(total, copies, unconnected_gradients="zero")
        y = picked(y, tf.reshape(columns, (N * c, 1)))
        return tf.reshape(y, (N, c)), tf.reshape(own, (N, c)), tf.reshape(rows, (N, c, n))

    at_once = max(1, (copies or COPIES) // (N * n))
    if k <= at_once:
        return of(every)
    turns = -(-k // at_once)
    at_once = -(-k // turns)
    padded = tf.pad(every, ((0, 0), (0, turns * at_once - k)), mode="SYMMETRIC")
    parts = tf.transpose(tf.reshape(padded, (N, turns, at_once)), (1, 0, 2))
    y, value, rows = tf.map_fn(
        of, parts,
        fn_output_signature=(
            tf.TensorSpec((N, at_once), answer_dtype(answer, x)),
            tf.TensorSpec((N, at_once), answer_dtype(answer, x)),
            tf.TensorSpec((N, at_once, n), x.dtype),
        ),
    )  # fmt: skip

    def joined(tensor):
        order = (1, 0, *range(2, tensor.shape.rank))
        shape = (N, turns * at_once, *tensor.shape[3:])
        return tf.reshape(tf.transpose(tensor, order), shape)[:, :k]

    return joined(y), joined(value), joined(rows)


def answer_dtype(answer, x):
    """The number format of an answer."""
    return answer(x)[0].dtype


def wide(dtype):
    """The format to sum in: float32 for float16, whose squares end at 65 504; else its own."""
    return tf.float64 if tf.as_dtype(dtype) == tf.float64 else tf.float32


def per_target(reduce, tensor):
    """Reduce all axes but the first."""
    return reduce(tf.reshape(tensor, (tensor.shape[0], -1)), axis=1)


def beside(mask, tensor):
    """The mask of shape (N,), shaped to broadcast along the first axis of the tensor."""
    return tf.reshape(mask, (-1,) + (1,) * (tensor.shape.rank - 1))


# --- compiled once ------------------------------------------------------------------------------


class Compiled:
    """A function of tensors as one XLA program; where XLA refuses, as a graph; else as it is.

    The loops branch by TensorFlow's own operations, and are traced as they stand. Only where a
    penalty branches by Python's `if` does AutoGraph rewrite them, which takes seconds.
    """

    def __init__(self, function, signature):
        def traced(**options):
            return tf.function(function, **options).get_concrete_function(*signature)

        self._attempts = [
            (True, lambda: traced(jit_compile=True, autograph=False)),
            (True, lambda: traced(jit_compile=True)),
            (False, traced),
            (False, lambda: function),
        ]
        self._run = None

    @property
    def ready(self):
        """Whether it has been compiled."""
        return self._run is not None

    def __call__(self, *arguments):
        if self._run is not None:
            return self._run(*arguments)
        refusals = []
        for by_xla, attempt in self._attempts:
            try:
                run = attempt()
                result = run(*arguments)
            except _REFUSALS as error:
                refusals.append(error)
                continue
            self._run = run
            if not by_xla:
                warnings.warn(
                    "XLA cannot compile a layer of this model, so the loop runs without it, "
                    f"slower: {str(refusals[0]).strip().splitlines()[0]}",
                    RuntimeWarning,
                    stacklevel=_outside(),
                )
            return result
        raise refusals[0]


_REFUSALS = (tf.errors.OpError, NotImplementedError, ValueError, TypeError, LookupError)


def _outside():
    """The stack level of the first frame that is not of this package."""
    import sys

    level, frame = 2, sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("helpers."):
        level, frame = level + 1, frame.f_back
    return level


def kept(make, model, penalty, *settings):
    """What `make(model, penalty, *settings)` returns: compiled before, where nothing has changed.

    A penalty that is a plain function may do something else today than when it was compiled.
    """
    if penalty is not None and not _is_frozen(penalty):
        return make(model, penalty, *settings)
    return _kept(make, _Same(model), fingerprint(model), penalty, *settings)


class Loop:
    """The compiled steps of a method, for blocks of targets.

    Parameters
    ----------
    method : module
        With `first_state`, of Form, N and whole: the state of N targets, behind x, before the first
        step. And `new_loop`, of model, penalty, Form, kept_iterates and whole: the function that
        steps a grain, and the types of its states, before and after.
    model : keras.Model
    penalty : callable, or None
    form : Form
    grain, grains : int
        How many targets are stepped together, and how many grains make a block.
    shared : sequence
        What is the same for all targets: the rate or the scale, and two bounds, where there are.
    segment : int, or None
        The most steps of a call after which it goes on. None: all are made in one call.
    trace : bool
        Whether the iterates are handed out.
    """

    def __init__(self, method, model, penalty, form, grain, grains, shared, segment, trace):
        self.method, self.grain, self.rows = method, grain, grain * grains
        self.form = replace(
            form, x_shape=(grain, *form.x_shape[1:]), y_shape=(grain, *form.y_shape[1:])
        )
        self.whole, self.shared = segment is None, [tf.constant(each) for each in shared]
        self.program = kept(
            _program, model, penalty, method, self.form, grains, segment if trace else 0, self.whole
        )

    def begin(self, start, aim, **options):
        """The first state of a block, and a function: of a state, steps, and another rate."""
        N = len(start)
        own = [getattr(aim, name) for name in self.form.parts if name not in SHARED]
        state = [start, *self.method.first_state(self.form, N, self.whole, **options)]
        own, state = (
            [tf.constant(filled(each, self.rows)) for each in arrays] for arrays in (own, state)
        )
        count = [np.int32(-(-N // self.grain))] if self.whole else []

        def advance(state, steps, rate=None):
            shared = self.shared if rate is None else [rate, *self.shared[1:]]
            return self.program(*count, *state, *own, np.int32(steps), *shared)

        return state, advance


def _program(model, penalty, method, form, grains, kept_iterates, whole):
    """What a Loop calls: the steps of a grain, or of several, one after the other."""
    advance, state, after = method.new_loop(model, penalty, form, kept_iterates, whole)
    own = [*state, *form.signature(part for part in form.parts if part not in SHARED)]
    shared = form.signature(part for part in form.parts if part in SHARED)
    if not whole:
        return Compiled(advance, [*own, *shared])
    after = [*after, tf.TensorSpec(form.y_shape, form.y_dtype)]
    advance, own = in_grains(advance, grains, own, after)
    return Compiled(advance, [tf.TensorSpec((), "int32"), *own, *shared])


@functools.lru_cache(maxsize=16)
def _kept(make, model, _fingerprint, penalty, *settings):
    return make(model.it, penalty, *settings)


def _is_frozen(penalty):
    """Whether a penalty is a frozen dataclass, such as those in `priors`."""
    return getattr(getattr(penalty, "__dataclass_params__", None), "frozen", False)


class _Same:
    """An object as a key: equal to itself alone. It is kept, so its identity is not reused."""

    __slots__ = ("it",)

    def __init__(self, it):
        self.it = it

    def __eq__(self, other):
        return self.it is other.it

    def __hash__(self):
        return id(self.it)


# What Keras notes down on every layer, whatever it computes.
_NOTES = frozenset(vars(keras.layers.Layer())) - {"_dtype_policy"} | {"_path", "_name"}
# What it notes down on a model that is trained, which answers by its weights alone.
_TRAINING = frozenset(
    [
        "optimizer",
        "loss",
        "history",
        "compiled",
        "stop_training",
        "stop_evaluating",
        "stop_predicting",
        "train_function",
        "test_function",
        "predict_function",
        "steps_per_execution",
        "_jit_compile",
        "_run_eagerly",
        "_loss_tracker",
        "_compile_loss",
        "_compile_metrics",
        "_compile_config",
        "_compiled_trainable_state",
        "_self_unconditional_checkpoint_dependencies",
        "_self_unconditional_dependency_names",
    ]
)
_UNUSED = (keras.Initializer, keras.regularizers.Regularizer, keras.constraints.Constraint)


def fingerprint(model):
    """All settings of all layers, as something to compare: a change changes the model's answers.

    Numbers and words count by value; variables, functions and what cannot be looked into, as the
    objects that they are. The values of variables do not count: a loop reads them at each call.
    """
    return tuple((_Same(layer), *_settings(layer, depth=4)) for layer in (model, *_nested(model)))


def _nested(model):
    """The layers of a model and theirs, such as the cell of a recurrent layer."""
    seen = set()
    for layer in all_layers(model):
        for inner in layer._flatten_layers():
            if id(inner) not in seen:
                seen.add(id(inner))
                yield inner


def _settings(thing, depth):
    notes = _NOTES | _TRAINING if isinstance(thing, keras.Model) else _NOTES
    return tuple(
        (name, _setting(value, depth))
        for name, value in vars(thing).items()
        # None counts as absent: Keras makes some attributes of that kind at the first call.
        if value is not None and name not in notes and not isinstance(value, _UNUSED)
    )


def _setting(value, depth):
    if value is None or isinstance(value, (Number, str, bytes)):
        return type(value), repr(value)  # by its words, so that nan equals nan
    if isinstance(value, (keras.Variable, keras.KerasTensor, keras.layers.Layer)) or depth == 0:
        return _Same(value)
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, (list, tuple)):
        return tuple(_setting(each, depth - 1) for each in value)
    if isinstance(value, dict):
        return tuple((_Same(key), _setting(each, depth - 1)) for key, each in value.items())
    if isinstance(value, functools.partial):
        return _setting((value.func, value.args, value.keywords), depth - 1)
    if isinstance(value, (FunctionType, ModuleType, type)) or not hasattr(value, "__dict__"):
        return _Same(value)
    return (_Same(value), *_settings(value, depth - 1))
