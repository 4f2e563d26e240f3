"""The nearest least-squares solutions of many small systems at once, inside a compiled loop.

The Gram matrix of each system, in float64, is swept (Gauss, Jordan), the largest remaining pivot
first, until nothing but rounding remains. So it tells which rows depend on each other, and needs
nothing but sums and products: little for XLA to compile.
"""

import numpy as np

from helpers.backend import tf


def nearest(A, b, damping, resolution):
    """The u that minimise ‖A u − b‖² + damping ‖u‖²; where several do, the shortest.

    Parameters
    ----------
    A : Tensor of shape (N, m, n), float64
    b : Tensor of shape (N, m), float64
    damping : Tensor of shape (N,), float64
        0 or above.
    resolution : float
        The relative rounding of the entries of A: a row that is, to this, a combination of others
        counts as one.

    Returns
    -------
    Tensor of shape (N, n)

    Notes
    -----
    Of A Aᵀ and Aᵀ A, the smaller one is swept. Its inverse solves twice more for what rounding has
    left: rows may differ by decades.
    """
    m, n = A.shape[1:]
    k, rows = min(m, n), m <= n
    tolerance = max((8 * resolution) ** 2, 8 * k * np.finfo(float).eps)
    G = tf.matmul(A, A, transpose_a=not rows, transpose_b=rows)
    G += damping[:, tf.newaxis, tf.newaxis] * tf.eye(k, dtype=A.dtype)
    inverse = _inverse(G, tolerance, rows)
    times, damping = tf.linalg.matvec, damping[:, tf.newaxis]

    def back(y):
        return times(A, y, transpose_a=True)

    def left(y):
        if rows:
            return b - times(A, back(y)) - damping * y
        return back(b - times(A, y)) - damping * y

    y = times(inverse, b if rows else back(b))
    for _ in range(2 if k > 1 else 0):
        y += times(inverse, left(y))
    return back(y) if rows else y


def _inverse(G, tolerance, rows):
    """The H with which y = H b solves G y = b, for positive semidefinite G of shape (N, k, k).

    `rows` says what y is for where G is singular. If True, G = A Aᵀ and Aᵀ y is to be the
    least-squares solution of A u = b. If False, G = Aᵀ A with b in its range, and y itself is to be
    the shortest solution.
    """
    if G.shape[1] == 1:
        return tf.math.reciprocal_no_nan(G)
    H, W, swept = _swept(G, tolerance)

    def shortest():
        # The rows W times the swept ones are all rows, so that G = W H⁺ Wᵀ.
        M = tf.matmul(W, W, transpose_a=True) + tf.linalg.diag(tf.cast(~swept, G.dtype))
        inner = _swept(M, 0.0)[0]
        if rows:
            return tf.matmul(H, tf.matmul(inner, W, transpose_b=True))
        return tf.matmul(W, tf.matmul(inner, H))

    regular = tf.reduce_all(swept, axis=1)[:, tf.newaxis, tf.newaxis]
    return tf.cond(tf.reduce_all(regular), lambda: H, lambda: tf.where(regular, H, shortest()))


def _swept(G, tolerance):
    """The inverse of the rows and columns of G that do not depend on each other, and those that do.

    Each sweep makes one row of the inverse (Beaton, 1964), of G scaled to a diagonal of ones.

    Returns
    -------
    H : Tensor of shape (N, k, k)
        The inverse; 0 in the other rows and columns.
    W : Tensor of shape (N, k, k)
        What each row of G is made of: itself, if it was swept.
    swept : Tensor of shape (N, k), bool
    """
    N, k = G.shape[:2]
    root = tf.sqrt(tf.maximum(tf.linalg.diag_part(G), np.finfo(float).tiny))

    def sweep(j, S, open_rows, swept):
        left = tf.where(open_rows, tf.linalg.diag_part(S), -1.0)
        p, pivot = tf.argmax(left, axis=1, output_type=tf.int32), tf.reduce_max(left, axis=1)
        pick = tf.one_hot(p, k, dtype=G.dtype)
        there = (pivot > tolerance)[:, tf.newaxis]
        # S is symmetric throughout. At the pivot d the change leaves −1/d, beside it row / d.
        row = tf.gather(S, p, batch_dims=1) - pick
        share = row / tf.where(there, pivot[:, tf.newaxis], 1.0)
        change = row[:, :, tf.newaxis] * share[:, tf.newaxis]
        change += 2 * tf.linalg.diag(pick)
        S -= tf.where(there[:, tf.newaxis], change, 0.0)
        here = pick > 0
        return j + 1, S, open_rows & ~here, swept | (here & there)

    _, S, _, swept = tf.while_loop(
        lambda j, *_: j < k,
        sweep,
        (
            0, G / root[:, :, tf.newaxis] / root[:, tf.newaxis],
            tf.fill((N, k), True), tf.fill((N, k), False),
        ),
    )  # fmt: skip
    mine = tf.cast(swept, G.dtype)
    S *= mine[:, tf.newaxis]
    H = -S * mine[:, :, tf.newaxis] / root[:, :, tf.newaxis] / root[:, tf.newaxis]
    others = S * (1 - mine)[:, :, tf.newaxis] * root[:, :, tf.newaxis] / root[:, tf.newaxis]
    return H, others + tf.linalg.diag(mine), swept
