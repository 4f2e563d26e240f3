"""Without a learning rate: many kinds of networks, asked for outputs that they can and cannot give.

Each problem is a network with random weights, secret inputs that make the targets, and starts that
know nothing of them. What comes back is compared with formulas, or with SciPy on a copy of the
network that computes in float64.
"""

import functools
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import optimize
from scipy.special import logit

from helpers.backend import keras, tf
from helpers.priors import L2, TotalVariation
from helpers.reconstruction import reconstruct

K, of = keras.layers, functools.partial
ROWS, SEEDS = 6, (0, 1)
EPS = float(np.finfo("float32").eps)

# Some outputs are all but 0, where a relative tolerance alone asks for more than float32 has.
TOLERANCE = {"atol": 1e-5, "rtol": 1e-4}


@dataclass(frozen=True)
class Problem:
    """What makes the network; what the answers are compared with; where to start.

    Secrets, and starts unless one is given, are drawn from the box `low` to `high`. `gain`
    multiplies the kernels; `plain` leaves all weights as they are.
    """

    build: object
    against: str = "root"
    low: object = -1.0
    high: object = 1.0
    start: float | None = None
    gain: float = 1.0
    masked: bool = False
    plain: bool = False
    options: dict = field(default_factory=dict)


def stack(*layers, shape):
    """A function that makes a network of layers, given as functions that make one each."""
    return lambda: keras.Sequential([keras.Input(shape), *(layer() for layer in layers)])


def dense(n, *widths, hidden="tanh", last=None):
    inner = [of(K.Dense, width, activation=hidden) for width in widths[:-1]]
    return stack(*inner, of(K.Dense, widths[-1], activation=last), shape=(n,))


def memory(kind, shape, units, *, whole):
    """A recurrent layer, and a linear unit that reads its last state or all of them."""
    return stack(of(kind, units, return_sequences=whole), of(K.Dense, 1), shape=shape)


def two_inputs_and_outputs():
    """A model of two inputs, fed from one; its two outputs, side by side."""
    a, b = keras.Input((3,)), keras.Input((2,))
    both = K.Concatenate()([K.Dense(6, activation="tanh")(a), K.Dense(3, activation="tanh")(b)])
    inner = keras.Model([a, b], [K.Dense(2)(both), K.Dense(1, activation="sigmoid")(both)])
    x = keras.Input((5,))
    return keras.Model(x, K.Concatenate()(inner([x[:, :3], x[:, 3:]])))


def log_odds():
    """The log-odds of class 1 of a softmax over four: z₁ − log Σ exp z of the others."""
    x = keras.Input((5,))
    z = K.Dense(4)(K.Dense(8, activation="tanh")(x))
    others = keras.ops.concatenate([z[:, :1], z[:, 2:]], axis=1)
    return keras.Model(x, z[:, 1:2] - keras.ops.logsumexp(others, axis=1, keepdims=True))


# Three inputs of very different sizes, and how much they vary; the network standardises them.
CENTRE, UNIT = np.array([0.05, 350.0, 150_000.0]), np.array([0.01, 50.0, 40_000.0])
RAW = {"low": CENTRE - UNIT, "high": CENTRE + UNIT, "options": {"scale": UNIT}}
standard = of(K.Rescaling, list(1 / UNIT), offset=list(-CENTRE / UNIT))
raw = stack(standard, of(K.Dense, 8, activation="tanh"), of(K.Dense, 2), shape=(3,))
conv = of(K.Conv2D, 4, 3, activation="tanh")
scan = stack(conv, K.MaxPooling2D, K.Flatten, of(K.Dense, 3), shape=(8, 8, 1))
image = stack(K.Flatten, of(K.Dense, 1, activation="sigmoid"), shape=(224, 224, 3))
sigmoid = dense(1, 1, last="sigmoid")
BOX, LOGIT, GREY = {"bounds": (-1.0, 1.0)}, {"space": "logit"}, {"low": 0.0}

SOLVABLE = {
    "two inputs, two outputs": Problem(two_inputs_and_outputs),
    "LSTM, whole": Problem(memory(K.LSTM, (3, 1), 4, whole=True)),
    "GRU, last, in a box": Problem(memory(K.GRU, (4, 2), 3, whole=False), options=BOX),
    "SimpleRNN, whole": Problem(memory(K.SimpleRNN, (3, 1), 4, whole=True)),
    "image": Problem(image, "one neuron", **GREY),
    "scan, CNN": Problem(scan, **GREY),
    "tall": Problem(dense(3, 8), "linear"),
    "tall and large": Problem(dense(240, 3240), "linear"),
    "tall, tanh": Problem(dense(2, 8, 10)),
    "raw units, tanh": Problem(raw, **RAW),
    "logit space, from afar": Problem(sigmoid, "one neuron", start=15.0, options=LOGIT),
    "logit space": Problem(dense(5, 8, 2, last="sigmoid"), options=LOGIT),
    "softmax": Problem(dense(4, 3, last="softmax")),
    "log-odds": Problem(log_odds),
    "saturated sigmoid": Problem(sigmoid, "one neuron", start=5.0),
    "saturated tanh": Problem(dense(1, 1, last="tanh"), start=-4.0),
    "steep sigmoids": Problem(dense(4, 4, 2, hidden="sigmoid", last="sigmoid"), gain=2.0),
    "ReLU": Problem(dense(4, 16, 2, hidden="relu")),
    "leaky ReLU, deep": Problem(dense(5, 12, 12, 2, hidden="leaky_relu")),
    "tanh": Problem(dense(4, 8, 2)),
    "L2, in a box": Problem(dense(6, 2), "linear", options=BOX | {"penalty": L2(0.1, 0.5)}),
    "L2, tanh": Problem(dense(4, 8, 2), "cost", options={"penalty": L2(0.01)}),
    "total variation": Problem(dense(6, 2), "cost", options={"penalty": TotalVariation(0.05)}),
    "mask": Problem(dense(8, 4), "linear", masked=True),
}


@functools.cache
def networks(build, dtype):
    """One network for each function that builds one: other weights need no other compilation."""
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        return build()
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def with_weights(problem, seed):
    """The network of a problem, with random weights, and its copy in float64."""
    model, copy = networks(problem.build, "float32"), networks(problem.build, "float64")
    rng, weights = np.random.default_rng(seed), []
    if problem.plain:
        return model, copy, rng
    for w in model.get_weights():
        spread = 0.3 if w.ndim == 1 else problem.gain / np.sqrt(np.prod(w.shape[:-1]))
        weights.append(spread * rng.standard_normal(w.shape).astype("float32"))
    model.set_weights(weights)
    copy.set_weights(weights)
    return model, copy, rng


class Row:
    """One target and its answer; on the copy, y and J at a flat x, of the entries that matter."""

    def __init__(self, copy, start, found, i):
        start = np.broadcast_to(start, found.x.shape)
        self.copy, self.shape = copy, start.shape[1:]
        self.start = start[i].ravel().astype("float32").astype(float)
        self.matters = ~np.ma.getmaskarray(found.target[i]).ravel()
        self.target = np.ma.getdata(found.target[i]).ravel()[self.matters].astype(float)
        self.x, self.answer = found.x[i].astype(float).ravel(), found.y[i].ravel()[self.matters]
        self.allowed = TOLERANCE["atol"] + TOLERANCE["rtol"] * abs(self.target)
        self.allowed += abs(self.answer - self.y(self.x))  # float32 said so

    def y(self, x):
        return self.copy(x.reshape(1, *self.shape)).numpy().ravel()[self.matters]

    def J(self, x):  # noqa: N802
        m = len(self.matters)
        copies = tf.constant(np.tile(x.reshape(1, *self.shape), (m, *[1] * len(self.shape))))
        with tf.GradientTape() as tape:
            tape.watch(copies)
            own = tf.linalg.trace(tf.reshape(self.copy(copies), (m, m)))
        return tape.gradient(own, copies).numpy().reshape(m, -1)[self.matters]

    def rounding(self, x):
        """What float32 may do to the output: √n roundings of the size of its terms, and of 1."""
        size = abs(self.J(x)) @ abs(x) + abs(self.y(x))
        size += np.where(np.isinf(self.target), 0, abs(self.target))
        return 4 * EPS * np.sqrt(len(x)) * (size + 1)


def drawn(problem, model, rng):
    return rng.uniform(problem.low, problem.high, (ROWS, *model.inputs[0].shape[1:]))


@functools.cache
def solved(name, seed):
    """The starts, and the answers to targets that secret inputs gave."""
    problem = SOLVABLE[name]
    model, _, rng = with_weights(problem, seed)
    secret, start = (drawn(problem, model, rng) for _ in range(2))
    if problem.start is not None:
        start = np.full_like(start, problem.start)
    target = model(secret).numpy()
    if problem.masked:
        target = np.ma.masked_array(target, rng.random(target.shape) < 0.4)
    return start, reconstruct(model, target, start=start, **TOLERANCE, **problem.options)


def arrived(name, seed):
    """Which rows are where they were to go; with a penalty, at rest."""
    _, found = solved(name, seed)
    paid = "penalty" in SOLVABLE[name].options
    return found.converged | (paid & (found.status == "stationary"))


def agrees_with_a_root(row, problem):
    """Newton's method of SciPy, from the answer, finds an exact one within the tolerance of it."""
    scale = np.broadcast_to(problem.options.get("scale", 1.0), row.x.shape)
    exact = optimize.least_squares(
        lambda u: row.y(scale * u) - row.target,
        row.x / scale,
        lambda u: row.J(scale * u) * scale,
        xtol=1e-12, ftol=1e-12, gtol=1e-14,
        tr_solver="exact" if len(row.x) < 200 else "lsmr",
    )  # fmt: skip
    assert (abs(exact.fun) <= row.rounding(exact.x * scale)).all()  # as the target is rounded
    # Twice, as J is not constant.
    shortest = np.linalg.svd(exact.jac, compute_uv=False)[-1]
    reach = 2 * np.linalg.norm(row.allowed) / shortest
    assert np.linalg.norm(exact.x - row.x / scale) <= reach


def agrees_with_linear_least_squares(row, problem):
    """Of the inputs of least cost, the nearest to the start; in a box, only where one is least."""
    penalty = problem.options.get("penalty", L2(0.0))
    low, high = problem.options.get("bounds", (-np.inf, np.inf))
    root = np.sqrt(penalty.weight)
    A = np.vstack([row.J(row.start), root * np.eye(len(row.x))]) if root else row.J(row.start)
    b = np.append(row.target - row.y(row.start), root * (penalty.centre - row.start))[: len(A)]
    step = np.linalg.lstsq(A, b)[0]
    if np.isfinite(low):
        step = optimize.lsq_linear(A, b, (low - row.start, high - row.start), tol=1e-14).x
    values = np.linalg.svd(A, compute_uv=False)
    off = np.linalg.norm(row.rounding(row.start)) + 8 * EPS * values[0] * np.linalg.norm(step)
    off = off / values[-1] + EPS * np.linalg.norm(row.x)
    assert np.linalg.norm(row.x - row.start - step) <= off


def agrees_with_the_formula(row, problem):
    """Of one neuron f(w x + b), the nearest x is start + w (z − z₀) / w²."""
    w, b = (array.ravel() for array in row.copy.get_weights())
    z = logit(row.target)
    step = w * (z - w @ row.start - b) / (w @ w)
    slope = row.target * (1 - row.target)
    off = 2 * np.linalg.norm(row.allowed) / slope / np.linalg.norm(w)
    off += 8 * EPS * (np.linalg.norm(row.x) + np.linalg.norm(row.start))
    assert np.linalg.norm(row.x - row.start - step) <= off


def agrees_with_minimize(row, problem):
    """SciPy, from the answer, finds no lower cost than rounding explains."""
    cost, rounding = cost_of(row, problem.options)
    assert cost(row.x)[0] - lowest(cost, row.x, problem.options) <= rounding


def cost_of(row, options):
    """The cost and its gradient on the copy, ±∞ among the targets included; and its rounding."""
    endless = np.isinf(row.target)
    goal, push = np.where(endless, 0, row.target), np.where(endless, np.sign(row.target), 0)
    penalty = options.get("penalty", L2(0.0))

    def cost(x):
        batch = tf.constant(x.reshape(1, *row.shape))
        with tf.GradientTape() as tape:
            tape.watch(batch)
            y = tf.reshape(row.copy(batch), [-1])
            total = tf.reduce_sum(tf.where(endless, -push * y, (y - goal) ** 2))
            total += penalty(batch)[0]
        return total.numpy(), tape.gradient(total, batch).numpy().ravel()

    off, r = row.rounding(row.x), np.where(endless, 0.5, abs(row.answer - goal))
    return cost, np.sum(2 * r * off + off**2) + 4 * EPS * abs(cost(row.x)[0])


def lowest(cost, x, options):
    low, high = options.get("bounds", (-np.inf, np.inf))
    bounds = optimize.Bounds(np.full_like(x, low), np.full_like(x, high))
    return optimize.minimize(cost, x, jac=True, bounds=bounds, options={"ftol": 1e-15}).fun


AGREES = {
    "root": agrees_with_a_root,
    "linear": agrees_with_linear_least_squares,
    "one neuron": agrees_with_the_formula,
    "cost": agrees_with_minimize,
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SOLVABLE)
def test_an_answer_agrees_with_scipy(name, seed):
    problem, (start, found) = SOLVABLE[name], solved(name, seed)
    _, copy, _ = with_weights(problem, seed)
    good = np.flatnonzero(arrived(name, seed))
    assert len(good) >= ROWS // 2
    for i in good[:2]:
        AGREES[problem.against](Row(copy, start, found, i), problem)
    if problem.against == "linear" and "bounds" not in problem.options:
        assert (found.n_iter[good] == 1).all()
    low, high = problem.options.get("bounds", (-np.inf, np.inf))
    assert ((low <= found.x) & (found.x <= high)).all()


def test_at_least_95_of_100_arrive():
    shares = {(name, seed): arrived(name, seed).mean() for name in SOLVABLE for seed in SEEDS}
    assert len(shares) >= 34
    assert np.mean(list(shares.values())) >= 0.95, {k: v for k, v in shares.items() if v < 1}


# --- what has none --------------------------------------------------------------------------------


def one(activation):
    """y = f(x)."""
    layer = of(K.Dense, 1, activation=activation, kernel_initializer="ones")
    return Problem(stack(layer, shape=(1,)), plain=True)


LINE, SIGMOID, TANH, RELU = (one(name) for name in ("linear", "sigmoid", "tanh", "relu"))
SQUARE, LOG = one(keras.ops.square), one(keras.ops.log)
FAST = {"start": 1.0, "learning_rate": 2.0, "max_iter": 300}


def noise(model, rng):
    return 2 * rng.standard_normal((ROWS, model.outputs[0].shape[1]))


def beyond(model, rng):
    """More than the last layer could give if all its inputs, which are below 1, were ±1."""
    kernel, bias = model.get_weights()[-2:]
    return np.tile(bias + 1.5 * abs(kernel).sum(axis=0), (ROWS, 1))


def all_of(value):
    return lambda model, rng: np.full((ROWS, model.outputs[0].shape[1]), float(value))


# A problem, the target, options; how all runs end, and why; what the answer agrees with.
UNSOLVABLE = {
    "contradictory": (SOLVABLE["tall"], noise, {}, "stationary", "closest", "linear"),
    "contradictory, tanh": (SOLVABLE["tall, tanh"], noise, {}, "stationary", "closest", "cost"),
    "out of the box": (SOLVABLE["L2, in a box"], all_of(-50), {}, "stationary", "bounds", "linear"),
    "a penalty": (SOLVABLE["L2, tanh"], noise, {}, "stationary", "balance", "cost"),
    "beyond tanh": (SOLVABLE["tanh"], beyond, {}, "stationary", "no input", None),
    "a square below 0": (SQUARE, all_of(-1), {"start": 2.0}, "stationary", "no input", "cost"),
    "one step": (SOLVABLE["leaky ReLU, deep"], noise, {"max_iter": 1}, "max_iter", "raise", None),
    "saturated": (SIGMOID, all_of(0.1), {"start": 40.0}, "stalled", "saturated", None),
    "saturated below": (SIGMOID, all_of(0.9), {"start": -200.0}, "stalled", "saturated", None),
    "saturated tanh": (TANH, all_of(0.5), {"start": 30.0}, "stalled", "saturated", None),
    "off": (RELU, all_of(1), {"start": -3.0}, "stalled", "exactly zero", None),
    "log of −1": (LOG, all_of(1), {"start": -1.0}, "nonfinite", "elsewhere", None),
    "too fast, in a box": (LINE, all_of(5), FAST | {"bounds": (0, 9)}, "max_iter", "lower", None),
    "too fast, thrown off": (RELU, all_of(5), FAST, "stalled", "lower the learning rate", None),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSOLVABLE)
def test_what_has_no_solution_says_why(name):
    problem, target, options, status, words, against = UNSOLVABLE[name]
    model, copy, rng = with_weights(problem, seed=0)
    options = {"start": drawn(problem, model, rng)} | TOLERANCE | problem.options | options
    found = reconstruct(model, target(model, rng), **options)
    assert (found.status == status).all(), found.status
    assert all(words in message for message in found.message), set(found.message)
    for i in (0, 1) if against else ():
        AGREES[against](Row(copy, options["start"], found, i), problem)


@pytest.mark.parametrize(
    ("problem", "target", "options"),
    [
        (SOLVABLE["tanh"], [np.inf, -np.inf], BOX),
        (SOLVABLE["tanh"], [0.0, np.inf], BOX),
        (LINE, [np.inf], {"penalty": L2(0.1, 0.5)}),
    ],
)
def test_the_most_it_can_give_agrees_with_minimize(problem, target, options):
    model, copy, rng = with_weights(problem, seed=0)
    start = drawn(problem, model, rng)
    found = reconstruct(model, np.tile(target, (ROWS, 1)), start=start, **options)
    assert (found.status == "stationary").all()
    costs = []
    for i in range(ROWS):
        row = Row(copy, start, found, i)
        agrees_with_minimize(row, Problem(None, options=options))
        cost, rounding = cost_of(row, options)
        costs.append((cost(row.x)[0], lowest(cost, row.start, options)))
    ours, scipys = np.min(costs, axis=0)  # from one start, each may come to another maximum
    assert ours - scipys <= rounding


def test_what_has_no_limit_diverges():
    found = reconstruct(with_weights(LINE, seed=0)[0], np.full((ROWS, 1), np.inf), start=0.0)
    assert (found.status == "diverged").all()
    assert all("bounds or a penalty" in message for message in found.message)
