"""The nearest least-squares solutions of many small systems at once, inside a compiled loop.

The Gram matrix of each system, in float64, is factored by a Cholesky decomposition that takes the
largest remaining pivot first and stops where nothing but rounding remains. So it tells which rows
depend on each other, and needs nothing but sums and products, which XLA compiles well.
"""

import numpy as np

from helpers.backend import tf

# Systems up to this size are factored by written-out code, larger ones by a loop.
UNROLLED = 6


def nearest(A, b, damping, resolution, refine=False):
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
    refine : bool
        Solve once more for what rounding has left.

    Returns
    -------
    Tensor of shape (N, n)

    Notes
    -----
    Of A Aᵀ and Aᵀ A, the smaller one is factored.
    """
    m, n = A.shape[1:]
    k = min(m, n)
    tolerance = max((8 * resolution) ** 2, 8 * k * np.finfo(float).eps)
    wide = m <= n
    G = tf.matmul(A, A, transpose_b=True) if wide else tf.matmul(A, A, transpose_a=True)
    G += damping[:, tf.newaxis, tf.newaxis] * tf.eye(k, dtype=A.dtype)

    def solve(right):
        return _shortest(G, right, tolerance, rows=wide)

    if not wide:
        u = solve(_times_transposed(A, b))
        if refine:
            left = _times_transposed(A, b - _times(A, u)) - damping[:, tf.newaxis] * u
            u += solve(left)
        return u
    y = solve(b)
    u = _times_transposed(A, y)
    if refine:
        y += solve(b - _times(A, u) - damping[:, tf.newaxis] * y)
        u = _times_transposed(A, y)
    return u


def _times(A, u):
    return tf.linalg.matvec(A, u)


def _times_transposed(A, y):
    return tf.linalg.matvec(A, y, transpose_a=True)


def _shortest(G, b, tolerance, rows):
    """Solve G y = b for positive semidefinite G of shape (N, k, k), also where it is singular.

    `rows` says what y is for. If True, G = A Aᵀ and Aᵀ y is to be the least-squares solution of
    A u = b. If False, G = Aᵀ A with b in its range, and y itself is to be the shortest solution.
    """
    k = G.shape[1]
    columns, picks, v, alive = _factor(G, b, tolerance)
    regular = tf.reduce_all(alive, axis=1)

    def singular():
        # L has full column rank, but for the columns of zeros that stand for missing ones.
        M = tf.einsum("jni,kni->njk", columns, columns)
        M += tf.linalg.diag(tf.cast(~alive, M.dtype))

        if rows:
            least = _solved(M, tf.einsum("jni,ni->nj", columns, b))
            return _backward(columns, picks, least)
        return tf.einsum("jni,nj->ni", columns, _solved(M, v))

    y = _backward(columns, picks, v)
    if k == 1:
        return y
    return tf.cond(
        tf.reduce_all(regular), lambda: y, lambda: tf.where(regular[:, tf.newaxis], y, singular())
    )


def _solved(M, b):
    """Solve M y = b for positive definite M of shape (N, k, k), by elimination (Gauss, Jordan).

    The inverse solves once more for what rounding has left, as the rows may differ by decades.
    """
    k = M.shape[1]

    def one(j, both):
        row = both[:, j] / both[:, j, j, tf.newaxis]
        column = both[:, :, j] - tf.one_hot(j, k, dtype=M.dtype)
        return j + 1, both - column[:, :, tf.newaxis] * row[:, tf.newaxis]

    both = tf.concat([M, tf.eye(k, batch_shape=[M.shape[0]], dtype=M.dtype)], axis=2)
    inverse = tf.while_loop(lambda j, _: j < k, one, (0, both))[1][:, :, k:]
    y = _times(inverse, b)
    return y + _times(inverse, b - _times(M, y))


def _factor(G, b, tolerance):
    """G ≈ Σ l lᵀ, pivot by pivot, and the forward substitution of b.

    Returns
    -------
    columns : Tensor of shape (k, N, k)
        The l, zero from the rank on.
    picks : Tensor of shape (k, N, k)
        1 at the pivot of each column.
    v : Tensor of shape (N, k)
        With Lᵀ y = v for the rows that were picked.
    alive : Tensor of shape (N, k), bool
        Which columns there are.
    """
    N, k = b.shape
    whole = tf.linalg.diag_part(G)
    floor = tf.maximum(whole, np.finfo(float).tiny)

    def one(earlier, earlier_rows, left, open_rows, right):
        share = tf.where(open_rows, left / floor, -1.0)
        p = tf.argmax(share, axis=1, output_type=tf.int32)
        pick = tf.one_hot(p, k, dtype=G.dtype)
        there = (tf.reduce_max(share, axis=1) > tolerance) & (tf.reduce_sum(left * pick, 1) > 0)
        pivot = tf.sqrt(tf.where(there, tf.reduce_sum(left * pick, axis=1), 1.0))
        column = tf.gather(G, p, batch_dims=1)
        if earlier is not None:
            column -= tf.einsum("jn,jni->ni", earlier_rows(p, pick), earlier)
        still = open_rows & (pick == 0)
        column = tf.where(still, column / pivot[:, tf.newaxis], 0.0) + pick * pivot[:, tf.newaxis]
        here = tf.cast(there, G.dtype)[:, tf.newaxis]
        column, pick = column * here, pick * here
        v = tf.reduce_sum(right * pick, axis=1) / pivot
        right -= column * v[:, tf.newaxis]
        left = tf.where(still, left - column**2, 0.0)
        still = still & there[:, tf.newaxis]
        return column, pick, v, there, left, still, right

    left, open_rows, right = whole, tf.fill((N, k), True), b
    if k <= UNROLLED:
        columns, picks, vs, alive = [], [], [], []
        for j in range(k):
            earlier = tf.stack(columns) if j else None
            column, pick, v, there, left, open_rows, right = one(
                earlier,
                lambda p, pick, e=earlier: tf.reduce_sum(e * pick, axis=2),
                left, open_rows, right,
            )  # fmt: skip
            for every, each in zip((columns, picks, vs, alive), (column, pick, v, there)):
                every.append(each)
        return tf.stack(columns), tf.stack(picks), tf.stack(vs, 1), tf.stack(alive, 1)

    def body(j, columns, picks, vs, alive, left, open_rows, right):
        column, pick, v, there, left, open_rows, right = one(
            columns,
            lambda p, pick: tf.gather(columns, tf.tile(p[tf.newaxis], (k, 1)), batch_dims=2),
            left, open_rows, right,
        )  # fmt: skip
        where = [[j]]
        return (
            j + 1,
            tf.tensor_scatter_nd_update(columns, where, column[tf.newaxis]),
            tf.tensor_scatter_nd_update(picks, where, pick[tf.newaxis]),
            tf.tensor_scatter_nd_update(vs, where, v[tf.newaxis]),
            tf.tensor_scatter_nd_update(alive, where, there[tf.newaxis]),
            left, open_rows, right,
        )  # fmt: skip

    nothing = tf.zeros((k, N, k), G.dtype)
    _, columns, picks, vs, alive, *_ = tf.while_loop(
        lambda j, *_: j < k,
        body,
        (0, nothing, nothing, tf.zeros((k, N), G.dtype), tf.fill((k, N), False),
         left, open_rows, right),
    )  # fmt: skip
    return columns, picks, tf.transpose(vs), tf.transpose(alive)


def _backward(columns, picks, v):
    """The y with Lᵀ y = v, for the rows of L that were picked; 0 in the others."""
    k = columns.shape[0]

    def one(column, pick, v, y):
        pivot = tf.reduce_sum(column * pick, axis=1)
        rest = v - tf.reduce_sum(column * y, axis=1)
        return y + pick * (rest / tf.where(pivot > 0, pivot, 1.0))[:, tf.newaxis]

    y = tf.zeros_like(columns[0])
    if k <= UNROLLED:
        for j in reversed(range(k)):
            y = one(columns[j], picks[j], v[:, j], y)
        return y
    by_column = tf.transpose(v)
    return tf.while_loop(
        lambda j, y: j >= 0,
        lambda j, y: (j - 1, one(columns[j], picks[j], by_column[j], y)),
        (k - 1, y),
    )[1]
