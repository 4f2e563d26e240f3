"""Some inputs known: the model of the sought ones gives what the whole model gives."""

import numpy as np
import pytest
from conftest import refused_by_name

from helpers import objectives
from helpers.backend import keras
from helpers.reconstruction import reconstruct

L = keras.layers
keras.utils.set_random_seed(2)
ONE = keras.Sequential(
    [keras.Input((2, 3)), L.Flatten(), L.Dense(4, activation="tanh"), L.Dense(1)]
)
X = np.random.default_rng(0).normal(size=(5, 2, 3)).astype("float32")


def of_several():
    """A model with inputs of three kinds, one of which is looked up, and two outputs."""
    numbers, image = keras.Input((2,), name="numbers"), keras.Input((3, 3), name="image")
    word = keras.Input((2,), name="word", dtype="int32")
    parts = [numbers, L.Flatten()(image), L.Flatten()(L.Embedding(5, 2)(word))]
    hidden = L.Dense(6, activation="tanh", name="hidden")(L.Concatenate()(parts))
    outputs = {"mean": L.Dense(1)(hidden), "class": L.Dense(3, activation="softmax")(hidden)}
    return keras.Model({"numbers": numbers, "image": image, "word": word}, outputs)


SEVERAL = of_several()
INPUTS = {
    "numbers": np.random.default_rng(1).normal(size=(4, 2)).astype("float32"),
    "image": np.random.default_rng(2).normal(size=(4, 3, 3)).astype("float32"),
    "word": np.tile(np.array([[3, 1]], "int32"), (4, 1)),
}


def test_entries_of_one_input():
    known = X[0].copy()
    known[1, 0] = known[0, 2] = np.nan
    part = objectives.given(ONE, known)
    assert part.inputs[0].shape == (None, 2)
    whole = np.repeat(X[:1], 5, axis=0)
    whole[:, 0, 2], whole[:, 1, 0] = X[:, 0, 0], X[:, 0, 1]
    np.testing.assert_array_equal(objectives.completed(part, X[:, 0, :2]), whole)
    # One dense layer of 6 terms, one of 4: rounding in another order.
    np.testing.assert_allclose(part(X[:, 0, :2]), ONE(whole), rtol=0, atol=1e-6)
    masked = np.ma.masked_invalid(known)
    np.testing.assert_array_equal(objectives.given(ONE, masked)(X[:, 0, :2]), part(X[:, 0, :2]))


@pytest.mark.parametrize("sought", ["numbers", "image"])
@pytest.mark.parametrize("output", ["mean", "class", 0, -1])
def test_a_whole_input_keeps_its_shape(sought, output):
    picked = objectives.output(SEVERAL, output)
    name = output if isinstance(output, str) else ["mean", "class"][output]
    inputs = {
        key: value if key == sought else np.repeat(value[:1], 4, axis=0)
        for key, value in INPUTS.items()
    }
    part = objectives.given(picked, {k: v[0] for k, v in inputs.items() if k != sought})
    assert part.inputs[0].shape == (None, *INPUTS[sought].shape[1:])
    np.testing.assert_allclose(part(inputs[sought]), SEVERAL(inputs)[name], rtol=0, atol=1e-6)
    completed = objectives.completed(part, inputs[sought])
    assert set(completed) == set(inputs)
    for key, value in completed.items():
        np.testing.assert_array_equal(value, inputs[key])


def test_parts_of_several_inputs_stand_in_one_row():
    known = {"word": [3, 1], "numbers": [np.nan, 2.0]}
    part = objectives.given(objectives.output(SEVERAL, "mean"), known)
    assert part.inputs[0].shape == (None, 10)
    row = np.arange(10.0)
    completed = objectives.completed(part, row[np.newaxis])
    order = [tensor.name for tensor in SEVERAL.inputs]
    sought = np.concatenate([completed[name].ravel() for name in order if name != "word"])
    np.testing.assert_array_equal(sought[sought != 2.0], row[row != 2.0])
    np.testing.assert_array_equal(completed["word"], [[3, 1]])
    assert 2.0 in completed["numbers"]


def test_it_combines_and_shares_the_weights():
    part = objectives.given(
        objectives.output(SEVERAL, "class"), {"word": [3, 1], "image": X[0, 0, 0] * np.ones((3, 3))}
    )
    hidden = objectives.units(part, "hidden", 2)
    found = reconstruct(hidden, 0.1, start=0.0, learning_rate=0.5)
    assert found.converged.all()
    whole = objectives.completed(hidden, found.x)
    of_whole = objectives.units(
        objectives.given(
            objectives.output(SEVERAL, 0), {k: v[0] for k, v in whole.items() if k != "numbers"}
        ),
        "hidden",
        2,
    )
    np.testing.assert_allclose(of_whole(found.x), 0.1, rtol=2e-4)


def test_what_is_known_may_come_in_a_sequence():
    picked, names = objectives.output(SEVERAL, 0), [tensor.name for tensor in SEVERAL.inputs]
    known = {"word": [3, 1], "image": np.ones((3, 3))}
    by_name = objectives.given(picked, known)
    in_order = objectives.given(picked, [known.get(name) for name in names])
    np.testing.assert_array_equal(in_order(X[:, 0, :2]), by_name(X[:, 0, :2]))


def test_an_output_is_picked_before_or_after():
    first, second = keras.Input((2,), name="first"), keras.Input((2,), name="second")
    both = L.Concatenate()([first, second])
    outputs = [L.Dense(1, name="one")(both), L.Dense(2, name="two")(both)]
    model = keras.Model([first, second], outputs)
    before = objectives.given(objectives.output(model, "two"), {"first": [1.0, 2.0]})
    after = objectives.output(objectives.given(model, {"first": [1.0, 2.0]}), "two")
    np.testing.assert_array_equal(after(X[:, 0, :2]), before(X[:, 0, :2]))
    assert set(objectives.completed(after, X[:, 0, :2])) == {"first", "second"}


def test_an_array_says_how_long_a_sequence_is():
    keras.utils.set_random_seed(4)
    model = keras.Sequential([keras.Input((None, 2)), L.LSTM(3), L.Dense(1)])
    sequence = np.random.default_rng(3).normal(size=(5, 2)).astype("float32")
    known = np.where(np.arange(5)[:, np.newaxis] == 2, np.nan, sequence)
    part = objectives.given(model, known)
    assert part.inputs[0].shape == (None, 2)
    np.testing.assert_allclose(part(sequence[[2]]), model(sequence[np.newaxis]), atol=1e-6)


def test_one_input_may_have_a_name():
    x = keras.Input((2,), name="x")
    model = keras.Model({"x": x}, L.Dense(1)(x))
    part = objectives.given(model, {"x": [np.nan, 2.0]})
    np.testing.assert_array_equal(objectives.completed(part, [[7.0]]), [[7.0, 2.0]])
    np.testing.assert_allclose(part(np.array([[7.0]])), model({"x": np.array([[7.0, 2.0]])}))


def test_a_model_that_was_saved_knows_its_inputs(tmp_path):
    part = objectives.given(objectives.output(SEVERAL, 0), {"word": [3, 1], "image": np.eye(3)})
    part.save(tmp_path / "part.keras")
    loaded = keras.models.load_model(tmp_path / "part.keras")
    x = INPUTS["numbers"]
    np.testing.assert_array_equal(loaded(x), part(x))
    for name, value in objectives.completed(loaded, x).items():
        np.testing.assert_array_equal(value, objectives.completed(part, x)[name])


OPEN = keras.Input((None, 2), name="steps")
TWO = keras.Input((2,), name="two")
OF_OPEN_LENGTH = keras.Model([OPEN, TWO], L.Dense(1)(L.Concatenate()([L.LSTM(2)(OPEN), TWO])))
TEXT = keras.Input((1,), name="text", dtype="string")
LETTER = L.StringLookup(vocabulary=["a"], output_mode="one_hot")(TEXT)
OF_TEXT = keras.Model([TEXT, TWO], L.Dense(1)(L.Concatenate()([LETTER, TWO])))
PART = objectives.given(ONE, np.where(np.arange(6).reshape(2, 3) < 2, np.nan, 1.0))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: objectives.given("net", [1.0]), TypeError, ["model", "net"]),
        (lambda: objectives.given(ONE, [1.0, np.nan]), ValueError, ["known", "(2, 3)", "(2,)"]),
        (lambda: objectives.given(ONE, X[0]), ValueError, ["known", "open"]),
        (lambda: objectives.given(ONE, np.full((2, 3), np.nan)), ValueError, ["known", "open"]),
        (
            lambda: objectives.given(ONE, [[1, 2, np.inf], [np.nan] * 3]),
            ValueError,
            ["known", "inf"],
        ),
        (
            lambda: objectives.given(ONE, [[1, 2, 1e300], [np.nan] * 3]),
            ValueError,
            ["known", "1e+300"],
        ),
        (lambda: objectives.given(SEVERAL, [1.0]), ValueError, ["known", "'image'", "[1.0]"]),
        (lambda: objectives.given(SEVERAL, {"picture": 1.0}), ValueError, ["known", "'picture'"]),
        (
            lambda: objectives.given(SEVERAL, {"numbers": [1.0, 2.0]}),
            TypeError,
            ["known", "'word'", "gradient"],
        ),
        (
            lambda: objectives.given(SEVERAL, {"word": [1.5, 2.0]}),
            ValueError,
            ["known", "whole numbers", "'word'"],
        ),
        (
            lambda: objectives.given(SEVERAL, {"word": [1.0, 3e9]}),
            ValueError,
            ["known", "int32", "'word'"],
        ),
        (
            lambda: objectives.given(SEVERAL, {"word": [1.0, np.nan]}),
            TypeError,
            ["known", "'word'", "gradient"],
        ),
        (lambda: objectives.given(ONE, [[1.0], [1.0, 2.0]]), ValueError, ["known", "one length"]),
        (lambda: objectives.given(ONE, "net"), TypeError, ["known", "real numbers", "'net'"]),
        (lambda: objectives.given(ONE, X[0] + 1j), TypeError, ["known", "real numbers"]),
        (
            lambda: objectives.given(OF_OPEN_LENGTH, {"two": [1.0, np.nan]}),
            ValueError,
            ["known", "'steps'", "(None, 2)"],
        ),
        (lambda: objectives.given(OF_TEXT, {"two": [1.0, 2.0]}), TypeError, ["model", "'text'"]),
        (lambda: objectives.completed(PART, X[0]), ValueError, ["x", "('N', 2)", "(2, 3)"]),
        (lambda: objectives.completed(PART, [[0, np.nan]]), ValueError, ["x", "nan"]),
        (lambda: objectives.completed("net", X), TypeError, ["model", "net"]),
        (lambda: objectives.completed(ONE, X), ValueError, ["objective", "given"]),
        (lambda: objectives.output(SEVERAL, "other"), ValueError, ["which", "'mean'", "'other'"]),
        (lambda: objectives.output(SEVERAL, 2), ValueError, ["which", "2", "1"]),
        (lambda: objectives.output(SEVERAL, 0.0), TypeError, ["which", "0.0"]),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with refused_by_name(error, words):
        call()
