"""How far a reconstructed input is determined at all: the Jacobian, its rank and its null space.

Close to an input x, the output changes by J·δ when x changes by δ, where J holds the derivatives
∂yᵢ/∂xⱼ. Directions δ with J·δ = 0, the null space, leave the output as it is: along them the
input could be different, and no output would tell.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from helpers.backend import tf
from helpers.graph import resolution
from helpers.models import check_model, in_format
from helpers.validation import finite_array, in_shape, positive_number

# Bytes of the largest square matrix that a null space is computed with.
LARGEST = 2**32

# So many roundings in a row an output may go through, at each layer or step; a derivative that is
# smaller, beside the largest, than they are together cannot be told from them.
ROUNDINGS = 32


@dataclass(frozen=True, eq=False)
class Determination:
    """What the output determines of one input, from :func:`determination`.

    Attributes
    ----------
    jacobian : ndarray of shape (m, n)
        ∂yᵢ/∂xⱼ for the m entries of the output and the n entries of the input, each flattened.
    scale : ndarray of the input shape
        The unit in which each entry of the input was measured; all 1 if none was given.
    singular_values : ndarray of shape (min(m, n),)
        Of the Jacobian with respect to x/scale, the largest first.
    rank : int
        How many directions of the input the output determines: singular values above tolerance.
    nullity : int
        How many directions it does not: n − rank.
    row_space : ndarray of shape (rank, …input shape)
        Orthonormal directions of x/scale that the output determines, the surest first.
    null_space : ndarray of shape (nullity, …input shape)
        Orthonormal directions of x/scale that leave the output as it is. It is computed when it is
        asked for, and large where n is: above 4 GiB that is a MemoryError, and
        :meth:`along_null_space`, which needs no basis, the way out.
    tolerance : float
        Singular values up to it count as 0.
    undetermined : ndarray of the input shape, bool
        True where all derivatives by an entry of the input, in units of `scale`, are so small
        beside the largest of all that they may be rounding: what a reconstruction says of it is its
        start, not an answer.
    message : str
        In which units it was judged.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> from helpers.jacobian import determination
    >>> add = keras.layers.Dense(1, kernel_initializer="ones")
    >>> model = keras.Sequential([keras.Input((2,)), add])
    >>> found = determination(model, [0.0, 0.0])
    >>> found.along_null_space([1.0, 0.0]).round(3)
    array([ 0.5, -0.5])
    """

    jacobian: np.ndarray
    scale: np.ndarray
    singular_values: np.ndarray
    row_space: np.ndarray
    tolerance: float
    undetermined: np.ndarray
    message: str

    @property
    def rank(self):
        return len(self.row_space)

    @property
    def nullity(self):
        return self.scale.size - self.rank

    @cached_property
    def null_space(self):
        n = self.scale.size
        if 8 * n**2 > LARGEST:
            raise MemoryError(
                f"null_space would need {8 * n**2 / 2**30:.3g} GiB: for {n} inputs use nullity, "
                "row_space and along_null_space"
            )
        basis = np.linalg.qr(self.row_space.reshape(self.rank, n).T, mode="complete").Q
        return basis[:, self.rank :].T.reshape(-1, *self.scale.shape)

    def along_null_space(self, direction):
        """The part of a change of the input that leaves the output as it is, in units of the input.

        Parameters
        ----------
        direction : array_like of the input shape

        Returns
        -------
        ndarray of the input shape
        """
        direction = finite_array("direction", direction)
        v = in_shape("direction", direction, self.scale.shape) / self.scale
        flat = self.row_space.reshape(self.rank, self.scale.size)
        determined = flat.T @ (flat @ v.ravel())
        return (v - determined.reshape(v.shape)) * self.scale

    @property
    def condition_number(self):
        """float: largest by smallest singular value above tolerance; infinite at rank 0."""
        kept = self.singular_values[: self.rank]
        return float(kept[0] / kept[-1]) if self.rank else np.inf


def determination(model, x, *, rtol=None, scale=None):
    """What the output of `model` determines of the input, at and around x.

    Parameters
    ----------
    model : keras.Model
        With one floating-point input and one output.
    x : array_like of the shape of one input
        The place: one entry of `Reconstruction.x`.
    rtol : float, optional
        The tolerance, relative to the largest singular value, and for `undetermined` to the largest
        derivative. The defaults rest on ε, the resolution of the coarsest number format in the
        model. Each of the m n derivatives may be wrong by ε of the largest, and thus a singular
        value by ε √(m n) of the largest: that is the first. An output that goes through dozens of
        roundings does not show what is below 32 ε: that is the second. Neither is above √ε, so
        that a format of few digits has half of them left to judge with.
    scale : float or array_like that broadcasts to an input, optional
        The size of one unit of each input, above 0: what counts as a change of the same size. The
        rank of an input whose entries have different units says little without it.

    Returns
    -------
    Determination

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit, or a derivative is not finite.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> found = determination(model, [0.0, 0.0, 0.0])
    >>> found.rank, found.nullity
    (1, 2)
    """
    check_model(model)
    expected = model.inputs[0].shape[1:]
    x = in_format("x", finite_array("x", x), model.inputs[0].dtype)
    if x.ndim != len(expected) or any(a not in (None, b) for a, b in zip(expected, x.shape)):
        raise ValueError(f"x must be one input, of shape {expected}, not {x.shape}")
    if rtol is not None:
        rtol = positive_number("rtol", rtol)
    message = "judged in raw units: give scale where the inputs have different ones"
    if scale is not None:
        message = "judged in units of scale"
    scale = in_shape("scale", finite_array("scale", 1.0 if scale is None else scale), x.shape)
    if (scale <= 0).any():
        raise ValueError(f"scale must be above 0, not {scale[scale <= 0][0]}")

    J = _jacobian(model, x).astype(float)
    if not np.isfinite(J).all():
        raise ValueError(f"x must be where all derivatives are finite, not {x}")
    eps = resolution(model)
    scaled = J * scale.ravel()
    _, singular_values, directions = np.linalg.svd(scaled, full_matrices=False)
    of_values = min(eps * np.sqrt(J.size), np.sqrt(eps)) if rtol is None else rtol
    of_entries = min(eps * ROUNDINGS, np.sqrt(eps)) if rtol is None else rtol
    tolerance = of_values * singular_values[0]
    rank = int((singular_values > tolerance).sum())
    largest = np.abs(scaled).max(axis=0)
    return Determination(
        jacobian=J,
        scale=scale,
        singular_values=singular_values,
        row_space=directions[:rank].reshape(-1, *x.shape),
        tolerance=float(tolerance),
        undetermined=(largest <= of_entries * largest.max()).reshape(x.shape),
        message=message,
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
