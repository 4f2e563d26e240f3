"""How far a reconstructed input is determined at all: the Jacobian, its rank and its null space.

Close to an input x, the output changes by J·δ when x changes by δ, where J holds the derivatives
∂yᵢ/∂xⱼ. Directions δ with J·δ = 0, the null space, leave the output as it is: along them the
input could be different, and no output would tell.
"""

from dataclasses import dataclass

import numpy as np

from helpers.backend import tf
from helpers.models import all_layers, check_model, in_format
from helpers.validation import finite_array, positive_number


@dataclass(frozen=True, eq=False)
class Determination:
    """What the output determines of one input, from :func:`determination`.

    Attributes
    ----------
    jacobian : ndarray of shape (m, n)
        ∂yᵢ/∂xⱼ for the m entries of the output and the n entries of the input, each flattened.
    singular_values : ndarray of shape (min(m, n),)
        The largest first.
    rank : int
        How many directions of the input the output determines: singular values above tolerance.
    null_space : ndarray of shape (n − rank, …input shape)
        Orthonormal directions that leave the output as it is.
    tolerance : float
        Derivatives and singular values up to it count as 0.
    undetermined : ndarray of the input shape, bool
        True where no gradient reaches an entry of the input: whatever a reconstruction says of it
        is its start, not an answer.
    """

    jacobian: np.ndarray
    singular_values: np.ndarray
    rank: int
    null_space: np.ndarray
    tolerance: float
    undetermined: np.ndarray

    @property
    def condition_number(self):
        """float: largest by smallest singular value above tolerance; infinite at rank 0."""
        kept = self.singular_values[: self.rank]
        return float(kept[0] / kept[-1]) if self.rank else np.inf


def determination(model, x, *, rtol=None):
    """What the output of `model` determines of the input, at and around x.

    Parameters
    ----------
    model : keras.Model
        With one floating-point input and one output.
    x : array_like of the shape of one input
        The place: one entry of `Reconstruction.x`.
    rtol : float, optional
        The tolerance, relative to the largest singular value. Default: the resolution of the
        model's number format times the larger of m and n.

    Returns
    -------
    Determination

    Raises
    ------
    TypeError, ValueError
        If the model or x do not fit, or a derivative is not finite.
    """
    check_model(model)
    expected = model.inputs[0].shape[1:]
    x = in_format("x", finite_array("x", x), model.inputs[0].dtype)
    if x.ndim != len(expected) or any(a not in (None, b) for a, b in zip(expected, x.shape)):
        raise ValueError(f"x must be one input, of shape {expected}, not {x.shape}")
    if rtol is not None:
        rtol = positive_number("rtol", rtol)

    J = _jacobian(model, x).astype(float)
    if not np.isfinite(J).all():
        raise ValueError(f"x must be where all derivatives are finite, not {x}")
    if rtol is None:
        formats = {layer.compute_dtype for layer in all_layers(model)} | {x.dtype.name}
        rtol = max(J.shape) * max(np.finfo(each).eps for each in formats)
    _, singular_values, directions = np.linalg.svd(J)
    tolerance = rtol * singular_values[0]
    rank = int((singular_values > tolerance).sum())
    return Determination(
        jacobian=J,
        singular_values=singular_values,
        rank=rank,
        null_space=directions[rank:].reshape(-1, *x.shape),
        tolerance=float(tolerance),
        undetermined=(np.linalg.norm(J, axis=0) <= tolerance).reshape(x.shape),
    )


def _jacobian(model, x):
    """∂yᵢ/∂xⱼ of shape (m, n), from one batch: a copy of x for each output, asked for its own."""
    m = int(np.prod(model(x[np.newaxis], training=False).shape[1:]))
    copies = tf.repeat(x[np.newaxis], m, axis=0)
    with tf.GradientTape() as tape:
        tape.watch(copies)
        y = tf.reshape(model(copies, training=False), (m, m))
        own = tf.reduce_sum(tf.linalg.diag_part(y))
    gradient = tape.gradient(own, copies, unconnected_gradients="zero")
    return gradient.numpy().reshape(m, -1)
