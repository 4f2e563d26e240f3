"""Steps without a learning rate: against formulas and SciPy, wherever the answer is unique."""

import functools

import numpy as np
import pytest
from conftest import refused_by_name
from scipy import optimize

from helpers import loops, verdicts
from helpers.backend import keras, tf
from helpers.priors import L2, TotalVariation
from helpers.reconstruction import reconstruct
from helpers.small_systems import nearest

EPS = np.finfo("float32").eps


def linear(kernel, bias=0.0, dtype="float32"):
    """A network that computes x K + b."""
    n, m = np.shape(kernel)
    model = keras.Sequential([keras.Input((n,), dtype=dtype), keras.layers.Dense(m, dtype=dtype)])
    model.set_weights([np.array(kernel, float), np.broadcast_to(float(bias), m)])
    return model


def curved(n, m, seed):
    """A small tanh network with random weights."""
    keras.utils.set_random_seed(seed)
    hidden = keras.layers.Dense(8, "tanh")
    return keras.Sequential([keras.Input((n,)), hidden, keras.layers.Dense(m)])


# --- linear maps --------------------------------------------------------------------------------


@functools.cache
def layer(n, m, dtype):
    """A linear network, compiled once for all weights."""
    return linear(np.ones((n, m)), dtype=dtype)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "m"), [(3, 1), (5, 3), (20, 9), (9, 9), (4, 11)])
def test_one_step_leads_to_the_nearest_solution(n, m, dtype, scaled):
    rng = np.random.default_rng(n * m)
    kernel, start, there = rng.normal(size=(n, m)), rng.normal(size=n), rng.normal(size=n)
    kernel = kernel.astype(dtype).astype(float)
    scale = 10.0 ** rng.uniform(-2, 2, n) if scaled else np.ones(n)
    start, there = scale * start, scale * there
    model = layer(n, m, dtype)
    model.set_weights([kernel / scale[:, np.newaxis], np.zeros(m)])
    kernel = model.get_weights()[0].astype(float)
    target = (there @ kernel).astype(dtype)
    found = reconstruct(model, target, start=start, scale=scale, rtol=1e-5, atol=1e-5)
    assert found.converged.all()
    assert found.n_iter[0] == 1
    # In units of the scale. What the target cannot say, as it is rounded, is left out.
    K = kernel * scale[:, np.newaxis]
    u = start / scale + np.linalg.lstsq(K.T, target - start @ kernel, rcond=None)[0]
    terms = (abs(there) + abs(start)) @ abs(kernel)  # rounding of the output, by its largest sum
    allowed = 4 * np.finfo(dtype).eps * (n * terms.max() / np.linalg.norm(K, -2) + abs(u).max())
    np.testing.assert_allclose(found.x[0] / scale, u, rtol=0, atol=allowed)


def test_outputs_that_depend_on_each_other_are_no_obstacle():
    model = linear([[1.0, 2.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0], [1.0, 2.0, 0.0, 1.0]])
    found = reconstruct(model, [1.0, 2.0, 3.0, 4.0], start=[1.0, 0.0, 0.0])
    assert found.n_iter[0] == 1
    np.testing.assert_allclose(found.x, [[1.0, 3.0, 0.0]], atol=16 * EPS)


@pytest.mark.parametrize("kernel", [[[1.0, 2.0], [2.0, 4.0], [0.0, 0.0]], [[1.0, 1.0, 1.0]]])
def test_where_no_input_gives_it_the_closest_is_found(kernel):
    kernel = np.array(kernel)
    target = np.arange(1.0, 1 + kernel.shape[1]) ** 2
    found = reconstruct(linear(kernel), target, start=0.0)
    expected = np.linalg.lstsq(kernel.T, target, rcond=None)[0]
    np.testing.assert_allclose(found.x[0], expected, atol=32 * EPS)
    assert found.status[0] == "stationary"
    assert not found.converged.any()
    assert "perhaps no input gives this" in found.message[0]


@pytest.mark.parametrize(("n", "m"), [(3, 8), (8, 8), (30, 10), (1, 1)])
def test_bounds_give_what_scipy_gives(n, m):
    rng = np.random.default_rng(7)
    kernel, targets = rng.normal(size=(n, m)), 3 * rng.normal(size=(6, m))
    model = linear(kernel)
    kernel = model.get_weights()[0].astype(float)
    found = reconstruct(model, targets, start=0.1, bounds=(-0.5, 0.5))
    assert np.all(abs(found.x) <= 0.5)
    for x, target, residual in zip(found.x, targets, found.residual):
        best = optimize.lsq_linear(kernel.T, target, (-0.5, 0.5), tol=1e-14)
        # Sums of n terms up to 2, known to n · 2ε each, in a sum of m squares.
        allowed = 4 * n * EPS * (np.linalg.norm(best.fun) + 4 * n * EPS) * np.sqrt(m) * 4
        np.testing.assert_allclose(
            np.sum(residual**2), 2 * best.cost, atol=allowed + 1e-5 * best.cost
        )
        free = abs(best.x) < 0.5 - 1e-9
        condition = np.linalg.cond(kernel[free]) if free.any() else 1.0
        if free.sum() <= m and 2 * best.cost > allowed:  # else there are several answers
            np.testing.assert_allclose(x, best.x, atol=32 * n * EPS * condition**2)


def test_a_penalty_of_squares_is_part_of_the_problem():
    rng = np.random.default_rng(3)
    kernel, target = rng.normal(size=(6, 2)), np.array([1.0, -2.0])
    found = reconstruct(
        linear(kernel), target, start=0.0, penalty=L2(0.5, centre=0.3), scale=[1, 1, 1, 2, 2, 3]
    )
    matrix = kernel @ kernel.T + 0.5 * np.eye(6)
    expected = np.linalg.solve(matrix, kernel @ target + 0.5 * 0.3)
    np.testing.assert_allclose(found.x[0], expected, atol=1e3 * EPS)
    assert found.n_iter[0] <= 3
    assert found.status[0] == "stationary"


# --- the small systems ---------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "n"), [(1, 4), (4, 9), (9, 20), (20, 9), (7, 7)])
@pytest.mark.parametrize("rank", [1, 3, 99])
def test_small_systems_equal_the_pseudo_inverse(m, n, rank):
    rng = np.random.default_rng(m + n)
    A, b = rng.normal(size=(3, m, n)), rng.normal(size=(3, m))
    if rank < min(m, n):
        A = rng.normal(size=(3, m, rank)) @ rng.normal(size=(3, rank, n))
    damping = np.array([0.0, 0.0, 0.7])
    got = nearest(tf.constant(A), tf.constant(b), tf.constant(damping), EPS)
    for i in range(3):
        if damping[i]:
            expected = np.linalg.solve(A[i].T @ A[i] + damping[i] * np.eye(n), A[i].T @ b[i])
        else:
            expected = np.linalg.pinv(A[i], rcond=1e-8) @ b[i]
        np.testing.assert_allclose(got[i], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("m", "n", "rank"), [(8, 4, 2), (30, 30, 29), (6, 8, 5)])
def test_a_small_system_is_solved_where_its_rows_differ_by_decades(m, n, rank):
    """To the residual of a stable elimination, some k² eps (‖A‖ ‖u‖ + ‖b‖)."""
    eps = np.finfo(float).eps
    rng = np.random.default_rng(0)
    A = rng.normal(size=(500, m, rank)) @ rng.normal(size=(500, rank, n))
    A *= 10.0 ** rng.uniform(-3, 3, size=(500, m, 1))
    b = (A @ rng.normal(size=(500, n, 1)))[..., 0]
    u = nearest(tf.constant(A), tf.constant(b), tf.zeros(500, tf.float64), eps).numpy()
    left = np.linalg.norm((A @ u[..., None])[..., 0] - b, axis=1)
    size = np.linalg.norm(A, axis=(1, 2)) * np.linalg.norm(u, axis=1) + np.linalg.norm(b, axis=1)
    assert (left <= 8 * min(m, n) ** 2 * eps * size).all()


def test_a_jacobian_in_turns_is_that_in_one(monkeypatch):
    model = curved(3, 7, seed=1)
    answer, x = loops.answer_of(model, "output"), tf.constant(np.eye(3, dtype="float32"))
    whole = loops.jacobian(answer, x, None, 7)
    monkeypatch.setattr(loops, "COPIES", 3 * 3 * 2)
    for one, other in zip(whole, loops.jacobian(answer, x, None, 7)):
        np.testing.assert_allclose(one, other, atol=8 * EPS)


# --- curved maps ----------------------------------------------------------------------------------


def test_a_batch_gives_what_single_calls_give():
    model = curved(3, 2, seed=4)
    starts = np.random.default_rng(4).normal(size=(12, 3))
    targets = model(starts[::-1].astype("float32")).numpy()
    batch = reconstruct(model, targets, start=starts)
    assert batch.success_rate > 0.8
    for i in range(12):
        single = reconstruct(model, targets[i], start=starts[i])
        assert single.status[0] == batch.status[i]
        if not batch.converged[i]:  # how far a run went on in a flat place is rounding's doing
            continue
        assert single.n_iter[0] == batch.n_iter[i]
        np.testing.assert_allclose(single.x[0], batch.x[i], rtol=1e-3, atol=1e-4)


def test_what_falls_short_is_tried_again_with_short_steps(monkeypatch):
    # A long first step saturates the hidden units for some, from where no step leads on.
    model = keras.Sequential(
        [keras.Input((30,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1, "sigmoid")]
    )

    def answers(seed, **options):
        rng = np.random.default_rng(seed)
        kernel, outer = 2 * rng.normal(size=(30, 16)) / np.sqrt(30), rng.normal(size=(16, 1))
        model.set_weights([kernel, np.zeros(16), outer, np.array([-4.0])])
        return reconstruct(model, np.full(40, 0.9), start=rng.normal(size=(40, 30)), **options)

    both = [answers(seed) for seed in range(3)]
    with_trace = answers(0, trace=True)
    np.testing.assert_array_equal(with_trace.n_iter, both[0].n_iter)
    for i, steps in enumerate(with_trace.n_iter):
        np.testing.assert_array_equal(with_trace.trace[steps, i], with_trace.x[i])
        np.testing.assert_array_equal(with_trace.trace[-1, i], with_trace.x[i])
    monkeypatch.setattr(verdicts, "fell_short", lambda code, *rest: np.zeros(len(code), bool))
    once = [answers(seed) for seed in range(3)]
    arrived, before = (np.array([found.converged for found in each]) for each in (both, once))
    assert arrived.mean() >= 0.95
    assert before.mean() < 0.95
    assert (arrived | ~before).all()


def test_a_trace_has_the_steps_and_not_the_trials():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "sigmoid")])
    model.set_weights([np.ones((1, 1)), np.zeros(1)])
    found = reconstruct(model, [0.1, 0.4], start=[6.0, 0.0], trace=True)
    assert found.converged.all()
    assert found.trace.shape == (found.n_iter.max() + 1, 2, 1)
    np.testing.assert_array_equal(found.trace[0], [[6.0], [0.0]])
    np.testing.assert_array_equal(found.trace[-1], found.x)
    for i, k in enumerate(found.n_iter):
        assert np.all(np.diff(found.trace[: k + 1, i, 0]) != 0)
        assert np.all(found.trace[k:, i] == found.x[i])
    silent = reconstruct(model, [0.1, 0.4], start=[6.0, 0.0])
    np.testing.assert_allclose(silent.x, found.x, rtol=1e-4)


@pytest.mark.parametrize("start", [3.0, 6.0, 12.0, -3.0, -12.0])
def test_a_step_over_the_goal_does_not_end_in_saturation(start):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "sigmoid")])
    model.set_weights([np.ones((1, 1)), np.zeros(1)])
    found = reconstruct(model, 0.1, start=start)
    assert found.converged.all()
    np.testing.assert_allclose(found.x, [[np.log(0.1 / 0.9)]], atol=1e-4 / 0.9)


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.LSTM(3), keras.layers.Dense(1)],
        [keras.layers.GRU(3, return_sequences=True)],
        [keras.layers.Bidirectional(keras.layers.SimpleRNN(2, return_sequences=True))],
    ],
)
def test_recurrent_layers_are_reached(layers):
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((6, 2)), *layers])
    there = np.random.default_rng(2).normal(size=(3, 6, 2)).astype("float32")
    found = reconstruct(model, model(there).numpy(), start=there + 0.1, atol=1e-4)
    assert found.converged.all()


# --- entries that do not matter, or are to be as large as they get --------------------------------


def test_a_masked_entry_does_not_matter():
    model = linear([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    target = np.ma.array([[3.0, 9.0, 9.0], [3.0, 4.0, 9.0]], mask=[[0, 1, 1], [0, 0, 1]])
    for rate in ({}, {"learning_rate": 0.1}):
        found = reconstruct(model, target, start=0.5, **rate)
        assert found.converged.all()
        np.testing.assert_allclose(found.x, [[3.0, 0.5], [3.0, 4.0]], rtol=2e-4)
        np.testing.assert_array_equal(np.ma.getmaskarray(found.residual), target.mask)
        np.testing.assert_array_equal(np.ma.getmaskarray(found.target), target.mask)


def test_each_unit_in_its_own_row_takes_one_compilation():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "tanh")])
    target = np.ma.masked_all((16, 16))
    np.fill_diagonal(target, 0.5)
    compiled = loops._kept.cache_info().misses
    found = reconstruct(model, target, start=0.1)
    assert loops._kept.cache_info().misses == compiled + 1
    assert found.converged.all()
    np.testing.assert_allclose(np.diag(found.y), 0.5, rtol=1e-4)


def test_the_most_that_an_output_can_give_within_bounds():
    model = curved(2, 1, seed=5)
    found = reconstruct(model, [np.inf, -np.inf], start=0.1, bounds=(-1, 1))
    assert list(found.status) == ["stationary"] * 2
    assert "local maximum" in found.message[0]
    assert not found.converged.any()
    for x, y, sign in zip(found.x, found.y, (-1, 1)):
        best = optimize.minimize(
            lambda x, sign=sign: sign * float(model(x[np.newaxis].astype("float32"))[0, 0]),
            x, bounds=[(-1, 1)] * 2, options={"eps": 1e-3},
        )  # fmt: skip
        np.testing.assert_allclose(y, sign * best.fun, rtol=1e-4)


def test_the_most_for_a_penalty():
    """The maximum of w·x − λ‖x‖² is at w/2λ."""
    model = linear([[1.0], [3.0]])
    for rate in ({}, {"learning_rate": 0.1}):
        found = reconstruct(model, np.inf, start=0.0, penalty=L2(0.5), **rate)
        np.testing.assert_allclose(found.x, [[1.0, 3.0]], rtol=1e-5)
        assert found.status[0] == "stationary"


def test_a_rise_without_an_end_is_said_to_be_one():
    found = reconstruct(linear([[1.0], [3.0]]), np.inf, start=0.0)
    assert found.status[0] == "diverged"
    assert "bounds" in found.message[0]


def test_any_penalty_will_do():
    model = linear([[1.0], [2.0]])
    weight = 0.5

    def quadratic(x):
        return weight * tf.reduce_sum(x**2, axis=1)

    found = reconstruct(model, 4.0, start=0.0, penalty=quadratic)
    np.testing.assert_allclose(found.x, [[4 / 5.5, 8 / 5.5]], rtol=1e-3)
    flat = reconstruct(model, 4.0, start=[[1.0, -1.0]], penalty=TotalVariation(0.01), atol=0.05)
    assert flat.converged.all()
    np.testing.assert_allclose(flat.x, [[4 / 3, 4 / 3]], atol=0.05)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"scale": 0}, ValueError, ["scale", "above 0", "0"]),
        ({"scale": [1.0, -2.0]}, ValueError, ["scale", "above 0", "-2.0"]),
        ({"scale": np.inf}, ValueError, ["scale", "finite", "inf"]),
        ({"scale": "wide"}, TypeError, ["scale", "wide"]),
        ({"scale": [1.0, 1.0, 1.0]}, ValueError, ["scale", "(2,)", "(3,)"]),
        ({"scale": 2.0, "learning_rate": 0.1}, ValueError, ["scale", "learning_rate", "2.0"]),
        ({"target": np.ma.masked_all(1)}, ValueError, ["target", "masked"]),
        ({"target": np.nan}, ValueError, ["target", "nan"]),
    ],
)
def test_bad_arguments_are_named(changes, error, words):
    arguments = {"target": 1.0, "start": 0.0} | changes
    with refused_by_name(error, words):
        reconstruct(linear([[1.0], [2.0]]), arguments.pop("target"), **arguments)
