"""Gradient steps whose length the cost itself gives, for what has no least-squares form.

That is a penalty of any form, and an output that is to be as large, or as small, as it gets. The
first step is as long as the Jacobian J at the start allows: the rate ½/σ₁², σ₁ being the largest
singular value of J in units of `scale`. Each later one follows from the last two gradients
(Barzilai and Borwein); it ends in the box, and is halved until the cost is below the worst of the
last ten costs by enough (Birgin, Martínez and Raydan).
"""

import numpy as np

from helpers.backend import tf
from helpers.graph import resolution
from helpers.loops import answer_of, beside, jacobian, per_target, picked
from helpers.verdicts import (
    CONVERGED,
    DIVERGED,
    FLAT,
    GROWTH,
    HELD,
    LOCAL,
    NONFINITE,
    ROUNDED,
    RUNNING,
)

# The costs that a step is compared with.
MEMORY = 10

# Steps without progress, within the rounding of the cost, after which a run is at rest.
PATIENCE = 10

# Entries that the copies of a batch may have at once in the Jacobian. It is taken once, and behind
# each copy stand all the activations of the network, which for images are many.
COPIES = 2**20

# A step counts if the cost falls by this share of what the gradient promises.
ENOUGH = 1e-4


def first_state(form, N, whole):
    """Code and n_iter of each of N targets, its rate, the share of the step that is tried, the last
    costs, the flattest gradient so far, for how long it has been so, and the first gain.
    """
    if whole:  # the loop makes them
        return ()
    count, zeros = np.zeros(N, np.int32), np.zeros(N)
    past = np.full((N, MEMORY), -np.inf)
    code = np.full(N, RUNNING, np.int32)
    return code, count, zeros, zeros + 1, past, zeros + np.inf, count, zeros


def new_loop(model, penalty, form, kept_iterates, whole):
    """The steps of a grain, which keep some iterates; and its states, before and after."""
    answer, x_shape = answer_of(model, form.space), form.x_shape
    N, n, k = x_shape[0], int(np.prod(x_shape[1:])), form.k
    eps = resolution(model)
    narrow = tf.as_dtype(form.y_dtype) == tf.float16

    def advance(x, *rest):
        if whole:
            rest = [*map(tf.constant, first_state(form, N, whole=False)), *rest]
        code, n_iter, rate, share, history, flattest, waited, first_gain, *problem = rest
        asked = form.unpacked(problem)
        s = tf.ones((1, n), tf.float64) if asked.scale is None else tf.reshape(asked.scale, (1, n))
        entries, box, push = asked.entries, asked.box, asked.push
        bounded, pushed = box is not None, push is not None
        if bounded:
            low, high = (tf.reshape(tf.cast(bound, tf.float64), (1, n)) for bound in box)
        if pushed:
            push = tf.cast(push, tf.float64)
        weight = 1.0 if asked.weight is None else tf.cast(asked.weight, tf.float64)
        aim = tf.cast(asked.goal, tf.float64)

        def flat(x):
            return tf.cast(tf.reshape(x, (N, n)), tf.float64)

        def boxed(there):
            return tf.clip_by_value(there, low, high) if bounded else there

        def measure(x):
            """Cost, gradient, the rounding of the cost, and what counts as an end, at x."""
            with tf.GradientTape() as tape:
                tape.watch(x)
                y, value = (picked(each, entries) for each in answer(x))
                exact = tf.cast(value, tf.float64)
                error = weight * (exact - aim)
                terms = tf.reduce_sum(error**2, axis=1)
                cost = terms
                slack = 4 * eps * weight * (tf.abs(exact) + tf.abs(aim))
                noise = tf.reduce_sum(2 * tf.abs(error) * slack + slack**2, axis=1)
                if pushed:
                    cost -= tf.reduce_sum(push * exact, axis=1)
                    noise += 4 * eps * tf.reduce_sum(tf.abs(push * exact), axis=1)
                if penalty is not None:
                    paid = tf.cast(penalty(x), tf.float64)
                    cost += paid
                    noise += 4 * eps * tf.abs(paid)
                unit = tf.maximum(tf.stop_gradient(tf.abs(cost)), 1.0) ** 0.5 if narrow else 1.0
                total = tf.reduce_sum(cost / unit)
            g = flat(tape.gradient(total, x, unconnected_gradients="zero"))
            if narrow:
                g *= unit[:, tf.newaxis]
            close = tf.reduce_all(tf.abs(y - asked.wanted) <= asked.within, axis=1)
            finite = tf.math.is_finite(cost) & per_target(tf.reduce_all, tf.math.is_finite(y))
            usable = finite & tf.reduce_all(tf.math.is_finite(g), axis=1)
            return cost, g, noise, close, finite, usable

        def steepness(x, g):
            """The length of a gradient step of rate 1, in units of scale, cut off by the box."""
            return tf.norm((boxed(flat(x) - s**2 * g) - flat(x)) / s, axis=1)

        def trial(
            i, x, code, n_iter, rate, share, history, flattest, waited, first_gain, cost, g,
            noise, path, counts,
        ):  # fmt: skip
            whole = boxed(flat(x) - rate[:, tf.newaxis] * s**2 * g) - flat(x)
            slope = tf.reduce_sum(g * whole, axis=1)  # below 0
            moved = tf.reshape(tf.cast(flat(x) + share[:, tf.newaxis] * whole, x.dtype), x.shape)
            if bounded:
                moved = tf.clip_by_value(moved, *box)
            cost_new, g_new, noise_new, close, _, usable = measure(moved)

            worst = tf.maximum(tf.reduce_max(history, axis=1), cost)
            better = cost_new <= worst + ENOUGH * share * slope
            level = -slope <= noise  # the cost is not exact enough to tell
            steep, steep_new = steepness(x, g), steepness(moved, g_new)
            # Steps within the rounding of the cost are taken while they flatten the gradient.
            within = level & (cost_new <= worst + noise)
            accepted = usable & (better | within)
            unmoved = per_target(tf.reduce_all, moved == x)

            running = code == RUNNING
            zero = per_target(tf.reduce_all, g == 0)
            verdict = RUNNING
            for reason, holds in (
                (ROUNDED, unmoved),
                (LOCAL, level & (waited >= PATIENCE)),
                (HELD if bounded else ROUNDED, steep == 0),
                (FLAT, zero),
                (DIVERGED, (first_gain > 0) & (cost < -GROWTH * first_gain)),
            ):
                verdict = tf.where(holds, reason, verdict)
            code = tf.where(running, verdict, code)
            going = (code == RUNNING) & accepted
            code = tf.where(going & close, CONVERGED, code)

            # The next rate: the inverse of the curvature along the step, if there is any.
            d, change = (flat(moved) - flat(x)) / s, s * (g_new - g)
            curved = tf.reduce_sum(d * change, axis=1)
            span = tf.reduce_sum(d**2, axis=1)
            fitting = span / tf.where(curved > 0, curved, 1.0)
            longer = tf.where(curved > 0, tf.minimum(fitting, 1e4 * rate), 4 * rate)
            rate = tf.where(going, tf.clip_by_value(longer, 1e-30, 1e30), rate)
            share = tf.where(~going, tf.where(running, share / 2, share), 1.0)
            pushed_on = tf.concat([history[:, 1:], cost[:, tf.newaxis]], axis=1)
            history = tf.where(going[:, tf.newaxis], pushed_on, history)
            flatter = steep_new < 0.9 * flattest
            waited = tf.where(going, tf.where(flatter | ~level, 0, waited + 1), waited)
            waited = tf.where(running & ~accepted & level, waited + 1, waited)
            flattest = tf.where(going, tf.minimum(flattest, steep_new), flattest)

            x = tf.where(beside(going, x), moved, x)
            cost, g, noise = (
                tf.where(beside(going, old), new, old)
                for old, new in ((cost, cost_new), (g, g_new), (noise, noise_new))
            )
            n_iter += tf.cast(going, tf.int32)
            if kept_iterates:
                path, counts = path.write(i, x), counts.write(i, n_iter)
            return (
                i + 1, x, code, n_iter, rate, share, history, flattest, waited, first_gain, cost,
                g, noise, path, counts,
            )  # fmt: skip

        cost, g, noise, close, finite, usable = measure(x)
        for reason, holds in ((NONFINITE, ~usable), (CONVERGED, close), (NONFINITE, ~finite)):
            code = tf.where((code == RUNNING) & (n_iter == 0) & holds, reason, code)

        def first():
            """½/σ₁², from a few steps of the power method on the Gram matrix of J S."""
            _, _, J = jacobian(answer, x, entries, k, COPIES)
            A = tf.cast(J, tf.float64) * s[:, tf.newaxis]
            v = tf.reduce_sum(A, axis=1) + 1e-3 * tf.sqrt(tf.reduce_sum(A**2, axis=1))
            for _ in range(8):
                length = tf.norm(v, axis=1, keepdims=True)
                v /= tf.where(length > 0, length, 1.0)
                v = tf.linalg.matvec(A, tf.linalg.matvec(A, v), transpose_a=True)
            largest = tf.norm(v, axis=1)  # σ₁²
            steep = tf.norm(s * g, axis=1)
            without = 1 / tf.where(steep > 0, steep, 1.0)  # no J: a step of one unit
            return tf.where(largest > 0, 0.5 / tf.where(largest > 0, largest, 1.0), without)

        rate = tf.cond(
            tf.reduce_any(rate == 0), lambda: tf.where(rate == 0, first(), rate), lambda: rate
        )
        gain = tf.abs(cost) + noise + rate * tf.reduce_sum((s * g) ** 2, axis=1)
        first_gain = tf.where(n_iter == 0, gain, first_gain)
        flattest = tf.where(n_iter == 0, steepness(x, g), flattest)
        path = tf.TensorArray(x.dtype, size=kept_iterates, element_shape=x.shape)
        counts = tf.TensorArray(tf.int32, size=kept_iterates, element_shape=(N,))
        loop = (x, code, n_iter, rate, share, history, flattest, waited, first_gain)
        result = tf.while_loop(
            lambda i, x, code, *_: (i < asked.steps) & tf.reduce_any(code == RUNNING),
            trial,
            (0, *loop, cost, g, noise, path, counts),
        )
        loop, (path, counts) = result[1:10], result[13:]
        y = model(loop[0], training=False)
        if whole:
            return *loop[:3], y
        return (*loop, y, path.stack(), counts.stack()) if kept_iterates else (*loop, y)

    x = tf.TensorSpec(x_shape, form.x_dtype)
    each, own = tf.TensorSpec((N,), "int32"), tf.TensorSpec((N,), "float64")
    past = tf.TensorSpec((N, MEMORY), "float64")
    if whole:
        return advance, [x], [x, each, each]
    return advance, *[[x, each, each, own, own, past, own, each, own]] * 2
