"""The search for the inputs of a block of targets: the steps, a second try, and the verdicts."""

from dataclasses import dataclass

import numpy as np

from helpers import gauss_newton, verdicts
from helpers.descent import look_again
from helpers.loops import Loop, aim_at


@dataclass(frozen=True, eq=False)
class Search:
    """How each target of a block is searched for, and judged.

    Attributes
    ----------
    loop : Loop
    max_iter : int
    atol, rtol : float
    rate : float, or None
    paid : bool
        Whether there is a penalty.
    activation : str
        The name of the model's last one.
    segment : int, or None
        After how many steps something is handed out. None: all are made in one call.
    trace : bool
    progress : callable
        Told the steps that have been made, after each segment.
    """

    loop: Loop
    max_iter: int
    atol: float
    rtol: float
    rate: float | None
    paid: bool
    activation: str
    segment: int | None
    trace: bool
    progress: object

    def __call__(self, target, start):
        """Fields of a `Reconstruction`, with a code for status and message; and the iterates."""
        wanted, mask = np.ma.getdata(target), np.ma.getmask(target)
        endless = np.isinf(wanted)
        matters = ~(endless | mask)
        allowed = self.atol + self.rtol * np.abs(np.where(endless, 0, wanted))
        aim = aim_at(target, allowed, self.loop.form, paid=self.paid)

        def run(start, **options):
            begin, advance = self.loop.begin(start, aim, **options)
            x, code, n_iter, y, path, end = self._steps(begin, advance, len(start))
            with np.errstate(invalid="ignore"):
                residual = y - wanted
            missed = ~(np.abs(residual) <= allowed) & matters
            return (x, code, n_iter, y, residual, missed), path, (advance, end, begin)

        last, path, steps = run(start)
        x, code, n_iter, y, residual, missed = last
        done = code == verdicts.CONVERGED  # so the loop says; the model's own answer counts
        if not done.all() or missed.any() or not np.isfinite(y).all():
            if self.loop.method is gauss_newton and not self.paid:
                short = verdicts.fell_short(code, n_iter, missed)
                if short.any():
                    again, other, _ = run(_per_target(short, start, x), cautious=short)
                    closer = short & (_distance(again[4], matters) < _distance(residual, matters))
                    x, code, n_iter, y, residual, missed = (
                        _per_target(closer, new, old) for new, old in zip(again, last)
                    )
                    if self.trace:
                        path = _joined(closer, other, path)[: n_iter.max() + 1]
            if self.rate is not None and not self.paid and not endless.any():
                code, rest = look_again(*steps, code, self.rate)
                far = verdicts.beyond_rounding(y, residual, missed)
                code = np.where(rest & far, verdicts.LOCAL, code)
            code = verdicts.verdict(
                code, y, residual, missed, endless, n_iter, self.activation, paid=self.paid
            )
            if self.rate is not None and self.loop.form.space == "output" and not self.paid:
                higher = _distance(residual, matters) > steps[1][3].numpy()[: len(x)]
                code = verdicts.thrown(code, n_iter, higher)
        fields = {"x": x, "y": y, "residual": residual, "code": code, "n_iter": n_iter}
        return fields, path

    def _steps(self, begin, advance, N):
        """Step until every target has ended: x, code, n_iter, y, the iterates, and the state."""
        path = None
        if self.segment is None:
            *state, y = advance(begin, self.max_iter)
        else:
            state, y, path = self._by_segments(begin, advance, N)
        x, code, n_iter, y = (each.numpy()[:N] for each in (*state[:3], y))
        code = np.where(code == verdicts.RUNNING, verdicts.MAX_ITER, code)
        return x, code, n_iter, y, path, state

    def _by_segments(self, state, advance, N):
        """The same, some steps at a time, as all that is handed out on the way must be kept."""
        done, places, counts = 0, [state[0].numpy()[np.newaxis, :N]], [np.zeros((1, N), int)]
        while True:
            steps = min(self.segment, self.max_iter - done)
            *state, y = advance(state, steps)
            done += steps
            if self.trace:
                *state, y, path, count = (*state, y)
                places.append(path.numpy()[:steps, :N])
                counts.append(count.numpy()[:steps, :N])
            code, n_iter = (each.numpy()[:N] for each in state[1:3])
            self.progress(n_iter.max())
            if done == self.max_iter or not (code == verdicts.RUNNING).any():
                break
        if not self.trace:
            return state, y, None
        # Trials that were refused are left out: of each run, the first iterate after k steps.
        path, k = np.concatenate(places), np.arange(n_iter.max() + 1)
        counts = np.maximum.accumulate(np.concatenate(counts))  # none after the last trial
        rows = [
            np.minimum(np.searchsorted(each, k), np.searchsorted(each, each.max()))
            for each in counts.T
        ]
        return state, y, path[np.stack(rows, axis=1), np.arange(N)]


def _distance(residual, matters):
    """The squared error of each target, over the entries that matter."""
    error = np.where(matters, residual, 0).astype(float).reshape(len(residual), -1)
    return np.sum(error**2, axis=1)


def _per_target(mask, new, old):
    """The rows of `new` where the mask holds, those of `old` elsewhere."""
    return np.where(mask.reshape(-1, *[1] * (old.ndim - 1)), new, old)


def _joined(mask, new, old):
    """The same for iterates: a run that is over repeats its last one."""
    new, old = as_long(new, old)
    return np.where(mask.reshape(1, -1, *[1] * (old.ndim - 2)), new, old)


def as_long(*paths):
    """Iterates of several blocks, each as long as the longest: the last one is repeated."""
    most = max(map(len, paths))
    return [np.concatenate([path, *[path[-1:]] * (most - len(path))]) for path in paths]
