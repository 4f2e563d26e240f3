"""Jacobian, rank, null space and undetermined inputs, against finite differences and NumPy."""

import numpy as np
import pytest
from conftest import needs_half_precision, refused_by_name

from helpers import objectives
from helpers.backend import keras
from helpers.graph import all_layers, resolution
from helpers.jacobian import determination


def network(*layers, shape, dtype="float64"):
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


CURVED = network(
    keras.layers.Dense(6, activation="tanh", dtype="float64"),
    keras.layers.Dense(2, dtype="float64"),
    shape=(4,),
)
X = np.random.default_rng(0).normal(size=4)


def test_the_jacobian_agrees_with_finite_differences():
    h = 1e-6
    columns = [
        (CURVED((X + h * e)[None]) - CURVED((X - h * e)[None])).numpy()[0] / (2 * h)
        for e in np.eye(4)
    ]
    at_x = determination(CURVED, X)
    np.testing.assert_allclose(at_x.jacobian, np.transpose(columns), rtol=1e-6, atol=1e-9)


def test_rank_null_space_and_condition_number_are_those_of_numpy():
    at_x = determination(CURVED, X)
    J = at_x.jacobian
    assert at_x.rank == np.linalg.matrix_rank(J) == 2
    assert at_x.null_space.shape == (2, 4)
    np.testing.assert_allclose(J @ at_x.null_space.T, 0, atol=1e-12)
    np.testing.assert_allclose(at_x.null_space @ at_x.null_space.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(at_x.condition_number, np.linalg.cond(J), rtol=1e-10)
    assert not at_x.undetermined.any()
    # A small step along it leaves the output as it is, up to the curvature.
    moved = X + 1e-4 * at_x.null_space[0]
    np.testing.assert_allclose(CURVED(moved[None]), CURVED(X[None]), atol=1e-7)


def test_a_linear_map_of_known_rank():
    model = network(keras.layers.Dense(3, dtype="float64"), shape=(4,))
    kernel = np.outer([1.0, 2.0, 0.0, -1.0], [1.0, 0.5, 2.0])
    model.set_weights([kernel, np.zeros(3)])
    at_x = determination(model, X)
    np.testing.assert_allclose(at_x.jacobian, kernel.T)
    assert at_x.rank == 1
    assert at_x.null_space.shape == (3, 4)
    np.testing.assert_array_equal(at_x.undetermined, [False, False, True, False])
    assert determination(model, X, rtol=0.5).rank == 1


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize(
    "formats", [("float64", "float64"), ("float32",) * 2, ("float64", "float32")]
)
def test_the_rank_hangs_on_neither_scale_nor_format(formats, scale):
    into, layer = formats
    model = network(keras.layers.Dense(3, dtype=layer), shape=(4,), dtype=into)
    rng = np.random.default_rng(3)
    kernel = scale * rng.normal(size=(4, 2)) @ rng.normal(size=(2, 3))
    model.set_weights([kernel, np.zeros(3)])
    at_x = determination(model, X)
    assert at_x.rank == 2
    assert at_x.null_space.shape == (2, 4)
    kept = np.linalg.svd(kernel, compute_uv=False)[:2]
    np.testing.assert_allclose(at_x.condition_number, kept[0] / kept[1], rtol=1e-4)


def test_the_input_of_a_model_computes_nothing():
    """A layer that only takes in, in another format, does not make the others coarser."""
    model = network(keras.layers.LSTM(2, return_sequences=True, dtype="float64"), shape=(None, 1))
    at_last = objectives.at_steps(model, -1)
    taken_in = {each.compute_dtype for each in all_layers(at_last)}
    assert "float32" in taken_in  # Keras gives input layers the default format
    assert resolution(at_last) == np.finfo("float64").eps


def test_a_dead_unit_determines_nothing():
    model = network(keras.layers.Dense(1, activation="relu", dtype="float64"), shape=(4,))
    model.set_weights([np.ones((4, 1)), np.full(1, -100.0)])
    at_x = determination(model, X)
    assert at_x.rank == 0
    assert at_x.undetermined.all()
    assert at_x.null_space.shape == (4, 4)
    assert at_x.condition_number == np.inf


def test_inputs_after_the_last_wanted_step_are_undetermined():
    model = network(keras.layers.LSTM(3, return_sequences=True), shape=(None, 2), dtype="float32")
    x = np.random.default_rng(1).normal(size=(6, 2))
    at_x = determination(objectives.at_steps(model, [1, 3]), x)
    assert at_x.jacobian.shape == (6, 12)
    assert at_x.null_space.shape[1:] == (6, 2)
    np.testing.assert_array_equal(at_x.undetermined[:4], False)
    np.testing.assert_array_equal(at_x.undetermined[4:], True)


def test_the_rank_is_judged_in_units_of_the_scale():
    model = network(keras.layers.Dense(2, use_bias=False), shape=(2,), dtype="float32")
    model.set_weights([np.diag([1e3, 1e-5])])
    x = [0.05, 1e5]
    raw, scaled = determination(model, x), determination(model, x, scale=x)
    assert (raw.rank, scaled.rank) == (1, 2)
    assert "raw units" in raw.message
    assert "units of scale" in scaled.message
    np.testing.assert_allclose(scaled.singular_values, [50, 1], rtol=1e-5)
    np.testing.assert_array_equal(raw.undetermined, [False, True])
    np.testing.assert_array_equal(scaled.undetermined, [False, False])


def test_an_image_needs_no_square_matrix():
    n = 150_528
    model = network(keras.layers.Dense(1, use_bias=False), shape=(n,), dtype="float32")
    at_x = determination(model, np.zeros(n))
    assert (at_x.rank, at_x.nullity) == (1, n - 1)
    # Of weights spread evenly, some 3.8e-6 n lie within 32 ε of 0: one or none of them all.
    assert at_x.undetermined.sum() < 10
    with pytest.raises(MemoryError, match=r"169 GiB.*along_null_space"):
        at_x.null_space  # noqa: B018
    w = model.get_weights()[0][:, 0].astype(float)
    direction = np.random.default_rng(0).normal(size=n)
    along = at_x.along_null_space(direction)
    np.testing.assert_allclose(along, direction - (direction @ w) / (w @ w) * w, atol=1e-6)


def test_the_projector_is_that_of_the_null_space():
    scale = np.array([1.0, 10.0, 0.1, 3.0])
    at_x = determination(CURVED, X, scale=scale)
    v = np.array([1.0, -2.0, 0.5, 1.0])
    along = at_x.along_null_space(v)
    np.testing.assert_allclose(at_x.jacobian @ along, 0, atol=1e-12)
    basis = at_x.null_space
    np.testing.assert_allclose(along / scale, basis.T @ (basis @ (v / scale)), atol=1e-12)
    np.testing.assert_allclose(at_x.row_space @ basis.T, 0, atol=1e-12)


@needs_half_precision
@pytest.mark.parametrize("n", [4, 1000])
def test_a_coarse_format_does_not_hide_the_rank(n):
    coarse = keras.layers.Dense(2, dtype="mixed_bfloat16", use_bias=False)
    model = network(
        coarse, keras.layers.Activation("linear", dtype="float32"), shape=(n,), dtype="float32"
    )
    kernel = np.random.default_rng(0).normal(size=(n, 2))
    model.set_weights([kernel])
    at_x = determination(model, np.zeros(n))
    assert at_x.rank == 2
    # What counts is half the digits of bfloat16, whose resolution is 2⁻⁷: √2⁻⁷ is 0.088.
    relative = np.abs(kernel).max(axis=1) / np.abs(kernel).max()
    assert not at_x.undetermined[relative > 0.1].any()
    assert at_x.undetermined[relative < 0.08].all()


def test_what_is_lost_among_thirty_roundings_is_undetermined():
    model = network(keras.layers.Dense(1, use_bias=False), shape=(4,), dtype="float32")
    relative = np.array([1.0, -40.0, 25.0, 0.0]) * [1, *[np.finfo("float32").eps] * 3]
    for size in (1e-9, 1.0, 1e9):
        model.set_weights([size * relative[:, np.newaxis]])
        at_x = determination(model, np.zeros(4))
        np.testing.assert_array_equal(at_x.undetermined, [False, False, True, True])
        fine = determination(model, np.zeros(4), rtol=1e-6)
        np.testing.assert_array_equal(fine.undetermined, [False, False, False, True])


def test_the_projector_leaves_nothing_where_all_is_determined():
    model = network(keras.layers.Dense(6, dtype="float64"), shape=(4,))
    at_x = determination(model, X)
    assert (at_x.rank, at_x.nullity, at_x.null_space.shape) == (4, 0, (0, 4))
    np.testing.assert_allclose(at_x.along_null_space(np.ones(4)), 0, atol=1e-14)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": None}, TypeError, ["model", "None"]),
        ({"x": np.zeros(3)}, ValueError, ["x", "(4,)", "(3,)"]),
        ({"x": np.zeros((1, 4))}, ValueError, ["x", "(4,)", "(1, 4)"]),
        ({"x": [0, 0, 0, np.nan]}, ValueError, ["x", "nan"]),
        ({"rtol": 0}, ValueError, ["rtol", "0"]),
        ({"scale": 0.0}, ValueError, ["scale", "0.0"]),
        ({"scale": [1.0, 2.0]}, ValueError, ["scale", "(4,)", "(2,)"]),
    ],
)
def test_bad_arguments_are_named(changes, error, words):
    with refused_by_name(error, words):
        determination(**({"model": CURVED, "x": X} | changes))


@pytest.mark.parametrize(
    ("direction", "error", "words"),
    [
        (np.zeros(3), ValueError, ["direction", "(4,)", "(3,)"]),
        ([0, 0, 0, np.inf], ValueError, ["direction", "inf"]),
        ("up", TypeError, ["direction", "up"]),
    ],
)
def test_a_bad_direction_is_named(direction, error, words):
    with refused_by_name(error, words):
        determination(CURVED, X).along_null_space(direction)


def test_a_derivative_that_is_not_finite_is_refused():
    root = network(keras.layers.Dense(1), keras.layers.Activation(keras.ops.sqrt), shape=(1,))
    root.set_weights([np.ones((1, 1)), np.zeros(1)])
    with pytest.raises(ValueError, match="x must be where all derivatives are finite"):
        determination(root, [0.0])
