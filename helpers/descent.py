"""Plain gradient descent on the input, with a learning rate: x ← x − η ∂J/∂x.

Chapter 3 builds this loop by hand; here it is compiled, and runs on many targets at once.
"""

import numpy as np

from helpers.backend import tf
from helpers.loops import answer_of, beside, per_target, picked, wide
from helpers.verdicts import (
    CONVERGED,
    DIVERGED,
    FLAT,
    GROWTH,
    HELD,
    MAX_ITER,
    NONFINITE,
    OVERSHOT,
    ROUNDED,
    RUNNING,
)

# So many targets are stepped as quickly as it is found out whether they have ended.
LOOK = 128


def first_state(form, N, whole):
    """Code and n_iter of each of N targets, and the cost that it begins with."""
    if whole:  # the loop makes them
        return ()
    zeros = np.zeros(N, np.int32)
    return zeros + RUNNING, zeros, np.zeros(N, wide(form.y_dtype).as_numpy_dtype)


def new_loop(model, penalty, form, kept_iterates, whole):
    """The descent of a grain, which keeps some iterates; and its states, before and after.

    Trained weights are read at each call.
    """
    answer = answer_of(model, form.space)
    narrow = tf.as_dtype(form.y_dtype) == tf.float16
    N = form.x_shape[0]
    # Whether all have ended costs half a step of a line to find out, and is not asked after each.
    at_once = max(1, N // LOOK)

    def advance(x, *rest):
        if whole:
            zeros = tf.zeros(N, tf.int32)
            rest = [zeros + RUNNING, zeros, tf.zeros(N, wide(form.y_dtype)), *rest]
        code, n_iter, ceiling, *problem = rest
        asked = form.unpacked(problem)
        entries, push, rate = asked.entries, asked.push, asked.rate

        def step(x):
            """The outputs at x, the cost and the size of its parts, and where a step leads."""
            with tf.GradientTape() as tape:
                tape.watch(x)
                y, value = (picked(each, entries) for each in answer(x))
                exact = tf.cast(value, wide(value.dtype))
                error = exact - tf.cast(asked.goal, exact.dtype)
                if asked.weight is not None:
                    error *= tf.cast(asked.weight, exact.dtype)
                cost = size = per_target(tf.reduce_sum, error**2)
                if push is not None:
                    pull = per_target(tf.reduce_sum, tf.cast(push, exact.dtype) * exact)
                    cost, size = cost - pull, size + tf.abs(pull)
                if penalty is not None:
                    paid = tf.cast(penalty(x), cost.dtype)
                    cost, size = cost + paid, size + tf.abs(paid)
                # What goes back through float16 must fit it: the cost of each is made about 1.
                unit = tf.maximum(tf.stop_gradient(size), 1.0) ** 0.5 if narrow else 1.0
                # Cost and gradient are sums over the batch: a sum keeps the targets apart.
                total = tf.reduce_sum(cost / unit)
            gradient = tape.gradient(total, x, unconnected_gradients="zero")
            gradient = tf.reshape(gradient, x.shape)  # a loaded graph may not know its shape
            if narrow:
                gradient = tf.cast(gradient, exact.dtype) * beside(unit, x)
                beyond = tf.cast(x, exact.dtype) - tf.cast(rate, exact.dtype) * gradient
                beyond = tf.cast(beyond, x.dtype)
            else:
                beyond = x - rate * gradient
            moved = beyond if asked.box is None else tf.clip_by_value(beyond, *asked.box)
            return y, cost, size, gradient, beyond, moved

        def one_more(i, x, code, n_iter, path, counts):
            y, cost, _, gradient, beyond, moved = step(x)
            close = per_target(tf.reduce_all, tf.abs(y - asked.wanted) <= asked.within)
            finite = per_target(tf.reduce_all, tf.math.is_finite(y))
            movable = per_target(tf.reduce_all, tf.math.is_finite(beyond))
            flat = per_target(tf.reduce_all, gradient == 0)
            unmoved = per_target(tf.reduce_all, moved == x)
            held = unmoved & per_target(tf.reduce_any, beyond != moved)
            verdict = RUNNING  # where several reasons hold, the last of them counts
            for reason, holds in (
                (ROUNDED, unmoved),
                (HELD, held),
                (FLAT, flat),
                (NONFINITE, ~movable),
                (DIVERGED, tf.abs(cost) * (1 / GROWTH) > ceiling),
                (CONVERGED, close),
                (NONFINITE, ~finite),
            ):
                verdict = tf.where(holds, reason, verdict)
            code = tf.where(code == RUNNING, verdict, code)

            going = code == RUNNING
            x = tf.where(beside(going, x), moved, x)
            n_iter += tf.cast(going, tf.int32)
            if kept_iterates:
                path, counts = path.write(i, x), counts.write(i, n_iter)
            return i + 1, x, code, n_iter, path, counts

        def some_more(i, *state):
            last = tf.minimum(i + at_once, asked.steps)
            return tf.while_loop(lambda i, *_: i < last, one_more, (i, *state))

        def unfinished(i, x, code, *_):
            return (i < asked.steps) & tf.reduce_any(code == RUNNING)

        _, _, first, gradient, *_ = step(x)
        if push is not None:  # the cost may well be 0 at the start: what a step promises counts
            slope = per_target(tf.reduce_sum, tf.cast(gradient, first.dtype) ** 2)
            first += tf.cast(rate, first.dtype) * slope
        ceiling = tf.where(n_iter == 0, first, ceiling)
        path = tf.TensorArray(x.dtype, size=kept_iterates, element_shape=x.shape)
        counts = tf.TensorArray(tf.int32, size=kept_iterates, element_shape=(N,))
        _, x, code, n_iter, path, counts = tf.while_loop(
            unfinished, some_more, (0, x, code, n_iter, path, counts)
        )
        after = (x, code, n_iter, ceiling, model(x, training=False))
        return (*after, path.stack(), counts.stack()) if kept_iterates else after

    each = tf.TensorSpec((N,), "int32")
    x, *rest = (
        tf.TensorSpec(form.x_shape, form.x_dtype),
        each,
        each,
        tf.TensorSpec((N,), wide(form.y_dtype)),
    )
    return advance, [x] if whole else [x, *rest], [x, *rest]


def look_again(run, state, begin, code, rate):
    """The codes of a descent, after a few steps more from where it has ended.

    A run that max_iter has ended, and whose steps go to and fro and do not always lower the cost,
    was `OVERSHOT`. One whose steps are lost in rounding though no larger rate would lower the cost
    either is at rest.

    Parameters
    ----------
    run : callable
        The loop of a block: a function of a state, a number of steps, and a rate.
    state, begin : list
        The last state, and the first one.
    code : ndarray of shape (N,)
    rate : float

    Returns
    -------
    code : ndarray of shape (N,)
    rest : ndarray of shape (N,), bool
        Where no larger rate would lower the cost.
    """
    N = len(code)

    def step(x, rate):
        """Where one step leads, and the cost before it."""
        x, _, _, cost, *_ = run([x, *begin[1:]], 1, rate)
        return x, cost.numpy()[:N].astype(float)

    code = code.copy()
    if (code == MAX_ITER).any():
        places, costs = [state[0]], []
        for _ in range(8):
            x, cost = step(places[-1], rate)
            places.append(x)
            costs.append(cost)
        places = np.array([x.numpy()[:N].reshape(N, -1) for x in places], float)
        moves = np.diff(places, axis=0)
        turned = (np.sum(moves[1:] * moves[:-1], axis=2) < 0).mean(axis=0) > 0.5
        with np.errstate(invalid="ignore"):  # steps of a rate that is low enough all gain
            no_gain = (np.diff(costs, axis=0) >= -1e-6 * np.array(costs[:-1])).any(axis=0)
        code[(code == MAX_ITER) & turned & no_gain] = OVERSHOT
    rest = np.zeros(N, bool)
    stuck = code == ROUNDED
    if stuck.any():
        _, before = step(state[0], rate)
        helped = np.zeros(N, bool)
        with np.errstate(over="ignore"):
            rates = rate * np.power(10.0, np.arange(1, 9)).astype(rate.dtype)
        for larger in rates[np.isfinite(rates)]:
            x, _ = step(state[0], larger)
            _, after = step(x, rate)
            helped |= after < before * (1 - 1e-4)
        rest = stuck & ~helped
    return code, rest
