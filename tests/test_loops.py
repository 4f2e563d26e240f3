"""What is compiled once, and anew; what XLA refuses; what does not fit float16."""

import functools
import warnings

import numpy as np
import pytest
from conftest import needs_half_precision

from helpers import loops
from helpers.backend import keras, tf
from helpers.reconstruction import reconstruct

K = keras.layers


@keras.saving.register_keras_serializable("tests")
class Times(K.Layer):
    """x times a number, which may be changed."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x):
        return x * self.factor


class Bend:
    """An activation with a setting of its own."""

    def __init__(self, slope):
        self.slope = slope

    def __call__(self, x):
        return self.slope * x


def sequence(*layers, shape=(2,)):
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input(shape), *layers])


def set_norm(model):
    model.layers[0].epsilon = 5.0


def set_factor(model):
    model.layers[0].factor = 3.0


def set_bend(model):
    model.layers[0].activation.slope = 3.0


def set_partial(model):
    model.layers[0].activation = functools.partial(keras.activations.elu, alpha=0.1)


def set_cell(model):
    model.layers[0].cell.activation = keras.activations.relu


def set_slope(model):
    model.layers[0].negative_slope = 0.9


def set_inner(model):
    model.layers[0].layers[0].factor = 3.0


def set_variable(model):
    layer = model.layers[0]
    layer._tracker.unlock()
    layer._kernel = keras.Variable(3 * layer.kernel.numpy())
    layer._tracker.lock()


CHANGES = [
    (lambda: K.LayerNormalization(), set_norm),
    (lambda: Times(2.0), set_factor),
    (lambda: K.Dense(2, Bend(0.5)), set_bend),
    (lambda: K.Dense(2, functools.partial(keras.activations.elu, alpha=1.0)), set_partial),
    (lambda: K.LeakyReLU(negative_slope=0.1), set_slope),
    (lambda: sequence(Times(2.0)), set_inner),
    (lambda: K.Dense(2), set_variable),
]


@pytest.mark.parametrize(
    ("layer", "change", "rate"), [*((*each, 0.05) for each in CHANGES), (*CHANGES[0], None)]
)
def test_a_setting_that_changes_the_answer_is_noticed(layer, change, rate):
    model = sequence(layer(), K.Dense(1))
    options = {"start": [[-0.6, 0.3]], "learning_rate": rate, "max_iter": 1, "rtol": 0}
    reconstruct(model, 0.5, **options)
    change(model)
    found = reconstruct(model, 0.5, **options)
    np.testing.assert_allclose(found.y, model(found.x), rtol=1e-5)
    loops._kept.cache_clear()
    np.testing.assert_array_equal(found.x, reconstruct(model, 0.5, **options).x)


def test_the_cell_of_a_recurrent_layer_counts():
    model = sequence(K.SimpleRNN(3), K.Dense(1), shape=(4, 2))
    reconstruct(model, 0.5, start=0.3)
    set_cell(model)
    found = reconstruct(model, 0.5, start=0.3, max_iter=1)
    np.testing.assert_allclose(found.y, model(found.x), rtol=1e-5)


@pytest.mark.parametrize("layer", [lambda: K.Dense(2, "tanh"), lambda: K.Dropout(0.5)])
def test_nothing_is_compiled_again_without_a_change(layer):
    model = sequence(layer(), K.Dense(1))
    reconstruct(model, 0.1, start=0.3)
    compiled = loops._kept.cache_info().misses
    model.layers[-1].set_weights([2 * w for w in model.layers[-1].get_weights()])
    model.trainable = False
    reconstruct(model, 0.1, start=0.3)
    assert loops._kept.cache_info().misses == compiled


def test_a_network_that_was_trained_again_is_not_compiled_again():
    whole = sequence(sequence(K.Dense(3, "tanh")), K.Dense(1))
    reconstruct(whole, 0.1, start=0.5)
    compiled = loops._kept.cache_info().misses
    for model in (whole, whole.layers[0]):
        model.compile("sgd", "mse")
        model.fit(np.ones((4, 2)), np.ones((4, model.output_shape[-1])), verbose=0)
        model.predict(np.ones((4, 2)), verbose=0)
    trained = reconstruct(whole, 0.1, start=0.5)
    assert loops._kept.cache_info().misses == compiled
    np.testing.assert_allclose(whole(trained.x), 0.1, rtol=2e-4)


def test_a_recurrent_network_is_compiled_once():
    model = sequence(K.LSTM(3), K.Dense(1), shape=(4, 2))
    reconstruct(model, 0.1, start=0.3)
    compiled = loops._kept.cache_info().misses
    reconstruct(model, 0.2, start=0.3)
    assert loops._kept.cache_info().misses == compiled


class Foreign(K.Layer):
    """Twice x, by a Python function."""

    def call(self, x):
        return tf.ensure_shape(tf.py_function(lambda a: 2 * a, [x], x.dtype), x.shape)


@pytest.mark.filterwarnings("default:XLA cannot compile")
@pytest.mark.parametrize(
    ("layers", "shape", "options"),
    [
        ([K.Resizing(4, 4, interpolation="nearest"), K.Flatten()], (2, 2, 1), {}),
        ([K.Resizing(4, 4, interpolation="bicubic"), K.Flatten()], (2, 2, 1), {}),
        ([Foreign()], (3,), {}),
        ([Foreign()], (3,), {"learning_rate": 0.02}),
        ([Foreign()], (3,), {"target": np.inf, "bounds": (0, 1)}),
    ],
)
def test_what_xla_refuses_runs_without_it_and_is_said_once(layers, shape, options):
    model = sequence(*layers, K.Dense(1), shape=shape)
    options = {"target": 0.2, "start": 0.4} | options
    with pytest.warns(RuntimeWarning, match="XLA cannot compile") as caught:
        found = reconstruct(model, options.pop("target"), **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert found.status[0] == ("stationary" if "bounds" in options else "converged")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reconstruct(model, found.target, **options)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("target", "x"), [(4.0, 2.0), (16.0, 4.0)])
def test_a_penalty_may_branch_by_if(target, x):
    """(x − y₀)² + x² is smallest at y₀/2, and with 3 x² instead at y₀/4."""

    def steeper_beyond_three(x):
        paid = tf.reduce_sum(x**2, axis=1)
        if tf.reduce_max(tf.abs(x)) > 3:
            paid *= 3.0
        return paid

    model = sequence(K.Dense(1, kernel_initializer="ones"), shape=(1,))
    found = reconstruct(model, target, start=0.5, penalty=steeper_beyond_three)
    assert found.x.item() == pytest.approx(x, rel=1e-4)


@pytest.mark.parametrize("rate", [None, 0.05])
@pytest.mark.parametrize("kind", [keras.Sequential, "functional"])
def test_a_graph_that_was_loaded_from_a_file_has_a_gradient(tmp_path, kind, rate):
    sequence(K.Dense(3, "tanh"), K.Dense(1)).export(tmp_path / "net", verbose=False)
    layer, x = K.TFSMLayer(tmp_path / "net", call_endpoint="serve"), keras.Input((2,))
    model = keras.Sequential([x, layer]) if kind is keras.Sequential else keras.Model(x, layer(x))
    target = model(np.full((1, 2), 0.4, "float32")).numpy()
    found = reconstruct(model, target, start=0.1, learning_rate=rate)
    assert found.converged.all()
    np.testing.assert_allclose(model(found.x), target, rtol=2e-4)


@needs_half_precision
@pytest.mark.parametrize("format", ["mixed_float16", "float16"])
@pytest.mark.parametrize("rate", [None, 2e-5])
def test_a_cost_too_large_for_float16_is_summed_in_float32(format, rate):
    x = keras.Input((1,), dtype="float16" if format == "float16" else "float32")
    model = keras.Sequential([x, K.Dense(1, dtype=format)])
    model.set_weights([np.full((1, 1), 100.0), np.zeros(1)])
    found = reconstruct(model, 500.0, start=1.0, learning_rate=rate)
    assert found.converged.all()
    np.testing.assert_allclose(found.x, [[5.0]], rtol=np.finfo("float16").eps)
