"""The gates of a Keras LSTM: what they do over a sequence, and which input opens or shuts one.

At each step an LSTM layer computes, from the input x and its own previous output h,

    i = σ(x Kᵢ + h Uᵢ + bᵢ)    input gate: how much of the candidate is written,
    f = σ(x K_f + h U_f + b_f)   forget gate: how much of the cell is kept,
    g = tanh(x K_g + h U_g + b_g)  candidate: what would be written,
    o = σ(x Kₒ + h Uₒ + bₒ)    output gate: how much of the cell is shown,

and from these the cell c ← f c + i g and the output h ← o tanh(c). Keras keeps the four kernels
side by side in one matrix, in the order i, f, g, o; it calls g "c". Source: Hochreiter and
Schmidhuber :cite:p:`hochreiter1997`, with the forget gate of Gers et al. :cite:p:`gers2000`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from helpers.backend import keras
from helpers.graph import WithWeightsOf, layer_of, reach
from helpers.models import check_model
from helpers.validation import choice, finite_array, finite_number, in_shape, whole_number

GATES = ("i", "f", "g", "o")  # in the order of the columns of a Keras kernel


@dataclass(frozen=True, eq=False)
class Gates:
    """The gates, cell and output of an LSTM layer over a batch of sequences, from :func:`replay`.

    Attributes
    ----------
    i, f, g, o : ndarray of shape (N, T, units)
        Input gate, forget gate, candidate and output gate at each step.
    c, h : ndarray of shape (N, T, units)
        Cell and output after each step.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> from helpers.gates import replay
    >>> lstm = keras.layers.LSTM(1, kernel_initializer="zeros")
    >>> lstm.build((None, None, 1))
    >>> print(replay(lstm, np.zeros((1, 3, 1))).f.round(3).ravel())
    [0.731 0.731 0.731]
    """

    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    c: np.ndarray
    h: np.ndarray


def replay(layer, sequences, *, h=0.0, c=0.0, mask=None):
    """Run an LSTM layer from its weights, in float64, and keep what Keras does not show.

    Parameters
    ----------
    layer : keras.layers.LSTM
        Built; with the usual activations, tanh and sigmoid, and not stateful nor backwards.
    sequences : array_like of shape (N, T, features), or (T, features)
        What the layer receives.
    h, c : array_like of shape (N, units), or one that broadcasts to it
        Output and cell before the first step.
    mask : array_like of bool, of shape (N, T), or (T,), optional
        False where Keras skips a step: state and cell stay, and the output before is put out again
        (0 before the first). The gates of such a step are NaN: there were none.

    Returns
    -------
    Gates

    Raises
    ------
    TypeError, ValueError
        If `layer` is no LSTM layer, is not built, or has a setting that is not supported; if a
        shape does not fit, or a number is not finite.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> lstm = keras.layers.LSTM(2)
    >>> lstm.build((None, None, 1))
    >>> gates = replay(lstm, np.zeros((5, 30, 1)))
    >>> gates.f.shape
    (5, 30, 2)
    """
    weights, sequences, h, c = _prepared(layer, sequences, h, c)
    mask = _mask(mask, sequences.shape[:2])
    steps, output = [], np.zeros_like(h)
    for x, seen in zip(sequences.swapaxes(0, 1), mask.T[..., np.newaxis]):
        gates = one_step(weights, x, h, c)
        h, c = np.where(seen, gates["h"], h), np.where(seen, gates["c"], c)
        output = np.where(seen, h, output)
        steps.append({name: np.where(seen, gates[name], np.nan) for name in GATES})
        steps[-1] |= {"c": c, "h": output}
    return Gates(**{name: np.stack([step[name] for step in steps], axis=1) for name in steps[0]})


def slopes(layer, sequences, feature, *, h=0.0, c=0.0):
    """What an LSTM layer puts out, and how it changes with one feature of the input at each step.

    The derivatives of cell and output are carried along with them, step by step: one run forwards
    gives them all.

    Parameters
    ----------
    layer, sequences, h, c
        As for :func:`replay`.
    feature : int
        Which feature of the input, counted from 0.

    Returns
    -------
    h : ndarray of shape (N, T, units)
        The output after each step.
    slopes : ndarray of shape (N, T, T, units)
        At [:, t, s]: ∂h after step t by the feature at step s; 0 where s > t.

    Raises
    ------
    TypeError, ValueError
        As for :func:`replay`; and if there is no such feature.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> lstm = keras.layers.LSTM(2)
    >>> lstm.build((None, None, 1))
    >>> h, by_step = slopes(lstm, np.zeros((5, 30, 1)), feature=0)
    >>> by_step.shape
    (5, 30, 30, 2)
    """
    weights, sequences, h, c = _prepared(layer, sequences, h, c)
    kernel, recurrent_kernel, _ = weights
    feature = whole_number("feature", feature, least=0, most=len(kernel) - 1)
    N, T, _ = sequences.shape
    dh, dc = np.zeros((2, N, T, layer.units))
    outputs, found = [], np.zeros((N, T, T, layer.units))
    for t in range(T):
        before, gates = c, one_step(weights, sequences[:, t], h, c)
        h, c = gates["h"], gates["c"]
        i, f, g, o, c_before, tanh_c = (
            each[:, np.newaxis] for each in (*(gates[name] for name in GATES), before, np.tanh(c))
        )
        dz = dh[:, : t + 1] @ recurrent_kernel
        dz[:, t] += kernel[feature]
        di, df, dg, do = np.split(dz, 4, axis=-1)
        dc[:, : t + 1] *= f
        dc[:, : t + 1] += f * (1 - f) * df * c_before + i * (1 - i) * di * g + i * (1 - g**2) * dg
        dh[:, : t + 1] = o * (1 - o) * do * tanh_c + o * (1 - tanh_c**2) * dc[:, : t + 1]
        found[:, t] = dh
        outputs.append(h)
    return np.stack(outputs, axis=1), found


def one_step(weights, x, h, c):
    """One step of an LSTM: a dict of i, f, g, o, c and h, each of shape (N, units).

    `weights` are kernel, recurrent kernel and bias, as `layer.get_weights()` returns them; x has
    shape (N, features), h and c have shape (N, units).

    Examples
    --------
    >>> weights = np.ones((1, 4)), np.zeros((1, 4)), np.zeros(4)
    >>> zero, one = np.zeros((1, 1)), np.ones((1, 1))
    >>> step = one_step(weights, x=zero, h=zero, c=one)
    >>> print(step["f"], step["c"])
    [[0.5]] [[0.5]]
    """
    kernel, recurrent_kernel, bias = weights
    z = dict(zip(GATES, np.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=-1)))
    return cell_step(z, c)


def cell_step(z, c):
    """What the four gates do to a cell: a dict of i, f, g, o, c and h, each in the shape of c.

    z is a dict of the gates' pre-activations.
    """
    gates = {name: np.tanh(z[name]) if name == "g" else special.expit(z[name]) for name in GATES}
    c = gates["f"] * c + gates["i"] * gates["g"]
    return gates | {"c": c, "h": gates["o"] * np.tanh(c)}


@keras.saving.register_keras_serializable("helpers")
class PreGate(WithWeightsOf):
    """The pre-activation of one gate of one unit at one step, from the LSTM layer's own run."""

    def __init__(self, lstm, column, step, **options):
        super().__init__(lstm, **options)
        self.column, self.step = column, step

    def call(self, sequences):
        column, cell = slice(self.column, self.column + 1), self.layer.cell
        z = keras.ops.matmul(sequences[:, self.step], cell.kernel[:, column])
        if cell.use_bias:
            z += cell.bias[column]
        if self.step == 0:  # h is zero
            return z
        h = self.layer(sequences[:, : self.step])
        h = h[0] if isinstance(h, (list, tuple)) else h
        h = h[:, -1] if self.layer.return_sequences else h
        return z + keras.ops.matmul(h, cell.recurrent_kernel[:, column])

    def get_config(self):
        return super().get_config() | {"column": self.column, "step": self.step}


def gate(model, layer, gate, *, unit, step):
    """A model whose output is the pre-activation of one gate, for `reconstruct` to reach.

    The gate itself is the sigmoid of it (the tanh, for the candidate g); the pre-activation does
    not saturate.

    Parameters
    ----------
    model : keras.Model
        A trained model with an LSTM layer, which begins each sequence with a zero state.
    layer : str or int
        That layer, by its name or its index.
    gate : {"i", "f", "g", "o"}
        Input gate, forget gate, candidate, output gate.
    unit : int
        Which unit of the layer, counted from 0.
    step : int
        At which time step, counted from 0.

    Returns
    -------
    keras.Model
        Its output has shape (N, 1).

    Raises
    ------
    TypeError, ValueError
        If there is no such layer, gate, unit or step; if the layer has a setting that is not
        supported; and for the forget gate at step 0: it multiplies the cell, which is still zero,
        so that no output depends on it.
    """
    check_model(model)
    choice("gate", gate, GATES)
    way = layer_of(model, layer)
    layer = way[-1]
    _weights(layer)
    unit = whole_number("unit", unit, least=0, most=layer.units - 1)

    def pregate(node):
        if len(node.input_tensors) != 1:
            raise ValueError(
                f"layer must receive a sequence alone, but {layer.name!r} also receives a mask or "
                "an initial state"
            )
        (sequence,) = node.input_tensors
        length = sequence.shape[1]
        at = whole_number("step", step, least=0, most=None if length is None else length - 1)
        if gate == "f" and at == 0:
            raise ValueError(
                "step must be at least 1 for the forget gate, not 0: it multiplies the cell, "
                "which is still zero then, so that it makes no difference"
            )
        return PreGate(layer, GATES.index(gate) * layer.units + unit, at)(sequence)

    return keras.Model(model.inputs[0], reach(model, way, pregate))


def nearest_input(layer, gate, z, *, unit, start, h=0.0):
    """The input nearest to `start` that gives one gate the pre-activation z, in one step.

    With w, u and b the gate's columns of kernel, recurrent kernel and bias: start + (z − start·w −
    h·u − b) w/‖w‖². For one feature that is (z − h·u − b)/w, wherever the start.

    Parameters
    ----------
    layer : keras.layers.LSTM
    gate : {"i", "f", "g", "o"}
    z : float
        The wanted pre-activation, such as logit(0.01) for a gate that is nearly shut.
    unit : int
        Which unit, counted from 0.
    start : array_like of shape (features,), or a number
    h : array_like of shape (units,), or a number
        The layer's previous output.

    Returns
    -------
    ndarray of shape (features,)

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape, or the gate ignores the input.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> lstm = keras.layers.LSTM(1, kernel_initializer="ones")
    >>> lstm.build((None, None, 1))
    >>> nearest_input(lstm, "f", -4.0, unit=0, start=0.0)
    array([-5.])
    """
    w, u, b = _columns_of(layer, gate, unit)
    start, h = _state("start", start, w.shape), _state("h", h, u.shape)
    if not w.any():
        raise ValueError(f"gate {gate!r} of unit {unit} ignores the input: all its weights are 0")
    return start + (finite_number("z", z) - start @ w - h @ u - b) * w / (w @ w)


def gate_range(layer, gate, low, high, *, unit, h=(-1.0, 1.0)):
    """The smallest and largest value that a gate can take, whatever the input within a box.

    Each weight is met with the end of the box that suits it best. Where the smallest forget gate is
    far above 0, this proves that no input within the box can shut it.

    Parameters
    ----------
    layer : keras.layers.LSTM
    gate : {"i", "f", "g", "o"}
    low, high : array_like of shape (features,), or numbers
        The box of inputs; low <= high.
    unit : int
        Which unit, counted from 0.
    h : (low, high)
        The range of the layer's previous output, two numbers or arrays of shape (units,). An output
        always lies between −1 and 1, the default.

    Returns
    -------
    smallest, largest : float
        Of the gate, or of the candidate g.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or order.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> lstm = keras.layers.LSTM(1, kernel_initializer="ones")
    >>> lstm.build((None, None, 1))
    >>> low, high = gate_range(lstm, "f", -1.0, 1.0, unit=0, h=(0.0, 0.0))
    >>> print(f"{low:.3f} to {high:.3f}")
    0.500 to 0.881
    """
    w, u, b = _columns_of(layer, gate, unit)
    if not isinstance(h, (tuple, list, np.ndarray)) or len(h) != 2:
        raise TypeError(f"h must be a pair (low, high), not {h!r}")
    ends = []
    for name, weights, (least, most) in (("low", w, (low, high)), ("h", u, h)):
        least, most = _state(name, least, weights.shape), _state(name, most, weights.shape)
        if (least > most).any():
            raise ValueError(f"{name} must not be above the other end: {least} and {most}")
        ends.append((least, most, weights))
    smallest = b + sum(np.minimum(v * least, v * most).sum() for least, most, v in ends)
    largest = b + sum(np.maximum(v * least, v * most).sum() for least, most, v in ends)
    activation = np.tanh if gate == "g" else special.expit
    return float(activation(smallest)), float(activation(largest))


def _prepared(layer, sequences, h, c):
    """The weights of a layer, and a batch of sequences with the state before, or an error."""
    weights = _weights(layer)
    sequences = finite_array("sequences", sequences)
    if sequences.ndim == 2:
        sequences = sequences[np.newaxis]
    features = len(weights[0])
    if sequences.ndim != 3 or sequences.shape[2] != features:
        raise ValueError(f"sequences must have shape (N, T, {features}), not {sequences.shape}")
    h, c = (_state(*state, (len(sequences), layer.units)) for state in (("h", h), ("c", c)))
    return weights, sequences, h, c


def _weights(layer):
    """Kernel, recurrent kernel and bias in float64, of a layer with supported settings."""
    if not isinstance(layer, keras.layers.LSTM):
        raise TypeError(f"layer must be an LSTM layer, not {layer!r} ({type(layer).__name__})")
    if not layer.built:
        raise ValueError(f"layer must be built, but {layer.name!r} has no weights yet")
    supported = {
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "go_backwards": False,
        "stateful": False,
    }
    for setting, value in supported.items():
        actual = getattr(layer, setting)
        actual = getattr(actual, "__name__", actual)
        if actual != value:
            raise ValueError(
                f"layer must have {setting}={value!r}, but {layer.name!r} has {actual!r}"
            )
    kernel, recurrent_kernel, *bias = (w.astype(float) for w in layer.get_weights())
    return kernel, recurrent_kernel, bias[0] if bias else np.zeros(kernel.shape[1])


def _columns_of(layer, gate, unit):
    """Weights, recurrent weights and bias of one gate of one unit."""
    weights = _weights(layer)
    choice("gate", gate, GATES)
    unit = whole_number("unit", unit, least=0, most=layer.units - 1)
    return [array[..., GATES.index(gate) * layer.units + unit] for array in weights]


def _mask(mask, shape):
    """A mask of a batch of sequences, all True by default, or an error."""
    if mask is None:
        return np.ones(shape, bool)
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(f"mask must hold True and False, not {mask.dtype}")
    return in_shape("mask", mask, shape)


def _state(name, value, shape):
    """A finite array of the given shape, or an error."""
    return in_shape(name, finite_array(name, value), shape)
