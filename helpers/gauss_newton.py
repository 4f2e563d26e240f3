"""Damped Gauss–Newton steps on the input: no learning rate, and one step for a linear map.

Close to x the residuals r change to r + J d when x moves by d. The step d is the one that makes
Σ (r + J d)² + λ Σ (d/s)² smallest, s being the size of one unit of each input. At λ = 0 that is,
of all steps that solve the linear problem, the shortest; a large λ makes it a short step against
the gradient. Each target has its own λ: 0 at first, more after a step that did not do what the
linear problem promised, less after one that did (Levenberg, Marquardt).
"""

import numpy as np

from helpers.backend import tf
from helpers.graph import resolution
from helpers.loops import answer_of, beside, jacobian, per_target, wide
from helpers.priors import L2
from helpers.small_systems import nearest
from helpers.verdicts import CONVERGED, FLAT, HELD, LOCAL, NONFINITE, ROUNDED, RUNNING

# A step counts if the cost falls by this share of what was promised at least.
ENOUGH = 1e-3

# The first damping, as a share of the largest squared length of a row (or column) of J S.
FIRST = 1e-3

# Of a cautious run, it is this many times that length: the first steps are short.
CAUTION = 30.0

# After each refused step in a row the damping grows by four times the last factor, up to this one.
MOST_GROWTH = 256.0

# A step over the goal must not lead to less than this share of the gradient before it.
FLATTER = 1 / 32

# After so many steps in a row, each of which lowers the cost by less than this share, a run is at
# rest: a kink of a ReLU network leaves a gradient also at the lowest place.
PATIENCE, NOTHING = 10, 1e-5

# Solving anew for the inputs that are not at a bound stops after so many times.
PASSES = 12


def first_state(form, N, whole, cautious=None):
    """λ of each of N targets, large where `cautious`, a mask, holds; and, unless the loop runs as a
    `whole`, code, n_iter, by what λ grows next, and how many steps have gained next to nothing.
    """
    damping = np.where(np.zeros(N, bool) if cautious is None else cautious, -CAUTION, 0.0)
    if whole:  # the loop makes the rest
        return (damping,)
    code, count = np.full(N, RUNNING, np.int32), np.zeros(N, np.int32)
    return code, count, damping, np.full(N, 4.0), count


def new_loop(model, penalty, form, kept_iterates, whole):
    """The steps of a grain, which keep some iterates; and its states, before and after."""
    answer, x_shape = answer_of(model, form.space), form.x_shape
    N, n, k = x_shape[0], int(np.prod(x_shape[1:])), form.k
    eps = resolution(model)
    assert penalty is None or isinstance(penalty, L2)
    pull = 0.0 if penalty is None else float(penalty.weight)
    row = wide(form.x_dtype)

    def advance(x, *rest):
        if whole:
            damping, *problem = rest
            code, n_iter, slow = (tf.fill((N,), value) for value in (RUNNING, 0, 0))
            growth = tf.fill((N,), tf.constant(4.0, tf.float64))
        else:
            code, n_iter, damping, growth, slow, *problem = rest
        asked = form.unpacked(problem)
        entries, box = asked.entries, asked.box
        s = tf.ones((1, n), tf.float64) if asked.scale is None else tf.reshape(asked.scale, (1, n))
        bounded, sifted = box is not None, entries is not None
        if bounded:
            low, high = (tf.reshape(tf.cast(bound, tf.float64), (1, n)) for bound in box)
        weight = tf.ones((N, k), tf.float64)
        if asked.weight is not None:
            weight = tf.cast(asked.weight, tf.float64)
        aim = tf.cast(asked.goal, tf.float64)
        centre = 0.0
        if pull:
            centre = tf.reshape(
                tf.broadcast_to(tf.constant(penalty.centre, tf.float64), x_shape[1:]), (1, n)
            )

        def measure(x):
            """Residuals, J, cost, its rounding, and whether a target has arrived, at x."""
            y, value, J = jacobian(answer, x, entries, k)
            exact = tf.cast(value, tf.float64)
            r = weight * (exact - aim)
            J = tf.cast(J, row)
            if sifted:
                J *= tf.cast(weight, row)[:, :, tf.newaxis]
            close = tf.reduce_all(tf.abs(y - asked.wanted) <= asked.within, axis=1)
            finite = tf.reduce_all(tf.math.is_finite(y) | (weight == 0), axis=1)
            finite &= tf.reduce_all(tf.math.is_finite(r), axis=1)
            usable = finite & per_target(tf.reduce_all, tf.math.is_finite(J))
            cost = tf.reduce_sum(r**2, axis=1)
            slack = 4 * eps * weight * (tf.abs(exact) + tf.abs(aim))
            noise = tf.reduce_sum(2 * tf.abs(r) * slack + slack**2, axis=1)
            if pull:
                paid = pull * tf.reduce_sum((flat(x) - centre) ** 2, axis=1)
                cost, noise = cost + paid, noise + 4 * eps * paid
            return r, J, cost, noise, close, finite, usable

        def flat(x):
            return tf.cast(tf.reshape(x, (N, n)), tf.float64)

        def slope(x, r, J):
            """Half the gradient of the cost, in units of the input."""
            g = tf.linalg.matvec(tf.cast(J, tf.float64), r, transpose_a=True)
            return g + pull * (flat(x) - centre) if pull else g

        def free_of(x, g):
            """1 where an input may move: not at a bound with the slope pushing it outwards."""
            if not bounded:
                return tf.ones((N, n), tf.float64)
            held = ((flat(x) <= low) & (g > 0)) | ((flat(x) >= high) & (g < 0)) | (low == high)
            return tf.cast(~held, tf.float64)

        def largest(J):
            """The largest squared length of a row, or of a column, of J S: what λ compares with."""
            sizes = tf.reduce_sum(
                (tf.cast(J, tf.float64) * s[:, tf.newaxis]) ** 2, axis=2 if k <= n else 1
            )
            return tf.reduce_max(sizes, axis=1) + pull * tf.reduce_max(s) ** 2

        def solve(x, r, J64, free, fixed, damping):
            """The step of the free inputs, the others having moved by `fixed`."""
            A = J64 * (s * free)[:, tf.newaxis, :]
            b = -r - tf.linalg.matvec(J64, fixed) if bounded else -r
            if not pull:
                return s * free * nearest(A, b, damping, eps)
            # With an L2 penalty every input has a spring: the system in units of their strength.
            h = pull * s**2 + damping[:, tf.newaxis]
            home = free * pull * s * (centre - flat(x)) / h
            A = A / tf.sqrt(h)[:, tf.newaxis, :]
            rest = b - tf.linalg.matvec(J64, s * free * home)
            u = home + nearest(A, rest, tf.ones(N, tf.float64), eps) / tf.sqrt(h)
            return s * free * u

        def step(x, r, J64, g, damping):
            free, fixed = free_of(x, g), tf.zeros((N, n), tf.float64)
            if not bounded:
                return solve(x, r, J64, free, fixed, damping)

            def once_more(i, anew, d, free, fixed):
                step = fixed + solve(x, r, J64, free, fixed, damping)
                d = tf.where(anew[:, tf.newaxis], step, d)
                there = flat(x) + d
                out = (free > 0) & ((there < low) | (there > high))
                fixed = tf.where(out, tf.clip_by_value(there, low, high) - flat(x), fixed)
                free = tf.where(out, tf.zeros_like(free), free)
                return i + 1, tf.reduce_any(out, axis=1), d, free, fixed

            return tf.while_loop(
                lambda i, anew, *_: (i <= PASSES) & tf.reduce_any(anew),
                once_more,
                (0, tf.fill((N,), True), fixed, free, fixed),
            )[2]

        def trial(i, x, code, n_iter, damping, growth, slow, r, J, cost, noise, path, counts):
            J64 = tf.cast(J, tf.float64)
            g = slope(x, r, J)
            free = free_of(x, g)
            steep = tf.reduce_sum((s * free * g) ** 2, axis=1)
            d = step(x, r, J64, g, damping)
            moved = tf.cast(tf.reshape(flat(x) + d, x.shape), x.dtype)
            if bounded:
                moved = tf.clip_by_value(moved, *box)
            d = flat(moved) - flat(x)
            Jd = tf.linalg.matvec(J64, d)
            promised = -2 * tf.reduce_sum(g * d, axis=1) - tf.reduce_sum(Jd**2, axis=1)
            if pull:
                promised -= pull * tf.reduce_sum(d**2, axis=1)

            r_new, J_new, cost_new, noise_new, close, finite, usable = measure(moved)
            g_new = slope(moved, r_new, J_new)
            steep_new = tf.reduce_sum((s * free_of(moved, g_new) * g_new) ** 2, axis=1)

            top = largest(J)
            gained = cost - cost_new
            better = (promised > 0) & (gained >= ENOUGH * promised)
            # Where the cost is not exact enough to tell, the gradient is.
            level = tf.maximum(noise, np.finfo(float).eps * cost)
            fine = (promised <= level) & (gained >= -level) & (steep_new <= steep / 4)
            # A place without gradient is a dead end: none is left to come back on. And where a
            # residual has changed its sign, with little gradient left, the step went too far.
            steepest, before = (tf.reduce_max(tf.abs(each), axis=2) for each in (J_new, J))
            dead = (steepest == 0) & (before > 0) & (r_new != 0)
            beyond = (r_new * r < 0) & (steepest < FLATTER * before)
            lost = tf.reduce_any(dead | beyond, axis=1)
            accepted = finite & ((usable & (better | fine) & ~lost) | close)
            unmoved = per_target(tf.reduce_all, moved == x)
            flat_here = (steep == 0) & per_target(tf.reduce_all, J == 0)
            over = ~accepted & (tf.abs(promised) <= level) & (damping <= top)
            verdict = RUNNING
            for reason, holds in (
                (ROUNDED, unmoved | over),
                (LOCAL, slow >= PATIENCE),
                (HELD if bounded else ROUNDED, steep == 0),
                (FLAT, flat_here),
            ):
                verdict = tf.where(holds, reason, verdict)
            code = tf.where(code == RUNNING, verdict, code)
            # What follows hangs on two counters, so that XLA computes their long reasons once.
            made = n_iter
            n_iter += tf.cast((code == RUNNING) & accepted, tf.int32)
            going = n_iter > made
            code = tf.where(going & close, CONVERGED, code)
            refused = (code == RUNNING) & ~going

            # The damping that follows.
            crept = gained < NOTHING * cost
            slow = tf.where(going, tf.where(crept, slow + 1, 0), slow)
            ratio = gained / tf.where(promised > 0, promised, 1.0)
            less = tf.where(ratio > 0.75, damping / 8, damping)
            less = tf.where(ratio > 0.95, damping / 64, less)
            less = tf.where(less >= 1e-7 * top, less, 0.0)
            less = tf.where(better & (ratio < 0.25), 2 * tf.maximum(damping, FIRST * top), less)
            more = tf.where(damping == 0, FIRST * top, damping * growth)
            damping = tf.where(going, less, tf.where(refused, more, damping))
            growth = tf.where(refused, tf.minimum(4 * growth, MOST_GROWTH), growth)
            growth = tf.where(going, tf.constant(4.0, growth.dtype), growth)

            x = tf.where(beside(going, x), moved, x)
            r, J, cost, noise = (
                tf.where(beside(going, old), new, old)
                for old, new in ((r, r_new), (J, J_new), (cost, cost_new), (noise, noise_new))
            )
            if kept_iterates:
                path, counts = path.write(i, x), counts.write(i, n_iter)
            return (
                i + 1, x, code, n_iter, damping, growth, slow, r, J, cost, noise, path, counts,
            )  # fmt: skip

        r, J, cost, noise, close, finite, usable = measure(x)
        for reason, holds in ((NONFINITE, ~usable), (CONVERGED, close), (NONFINITE, ~finite)):
            code = tf.where((code == RUNNING) & (n_iter == 0) & holds, reason, code)
        damping = tf.where(damping < 0, -damping * largest(J), damping)
        path = tf.TensorArray(x.dtype, size=kept_iterates, element_shape=x.shape)
        counts = tf.TensorArray(tf.int32, size=kept_iterates, element_shape=(N,))
        _, x, code, n_iter, damping, growth, slow, r, J, cost, noise, path, counts = tf.while_loop(
            lambda i, x, code, *_: (i < asked.steps) & tf.reduce_any(code == RUNNING),
            trial,
            (0, x, code, n_iter, damping, growth, slow, r, J, cost, noise, path, counts),
        )

        # What one unit in the last place of each input, and of the output, can do to the output.
        reach = tf.linalg.matvec(tf.cast(tf.abs(J), tf.float64), tf.abs(flat(x)))
        size = weight * (tf.abs(r + aim) + tf.abs(aim))
        of_rounding = tf.abs(r) <= 8 * eps * (size + reach)
        missed = ~tf.reduce_all(of_rounding | (weight == 0), axis=1)
        closest = LOCAL
        if bounded:
            stopped = (free_of(x, slope(x, r, J)) == 0) & (low < high)
            closest = tf.where(tf.reduce_any(stopped, axis=1), HELD, LOCAL)
        stopped_here = (code == ROUNDED) | (code == LOCAL)
        code = tf.where(stopped_here, tf.where(missed, closest, ROUNDED), code)
        y = model(x, training=False)
        if whole:
            return x, code, n_iter, y
        after = (x, code, n_iter, damping, growth, slow, y)
        return (*after, path.stack(), counts.stack()) if kept_iterates else after

    x = tf.TensorSpec(x_shape, form.x_dtype)
    each, own = tf.TensorSpec((N,), "int32"), tf.TensorSpec((N,), "float64")
    if whole:
        return advance, [x, own], [x, each, each]
    return advance, *[[x, each, each, own, own, each]] * 2
