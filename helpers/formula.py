"""A formula in the place of a number: how a live figure learns what the book's functions compute.

A live figure answers without Python, in the language of Vega expressions. Here that language is
written once. A function that computes with NumPy or SciPy, called with a :class:`Formula` instead
of a number, returns a formula of its result. A text can hold formulas, as f-strings hold numbers:
``f"feed it {x0:.1f}"``.
"""

import functools
import inspect
import json
import re

import numpy as np
from scipy import special

WRITTEN = {
    np.add: "({} + {})",
    np.subtract: "({} - {})",
    np.multiply: "({} * {})",
    np.divide: "({} / {})",
    np.power: "pow({}, {})",
    np.negative: "(-{})",
    np.absolute: "abs({})",
    np.maximum: "max({}, {})",
    np.sqrt: "sqrt({})",
    np.exp: "exp({})",
    np.log: "log({})",
    np.ceil: "ceil({})",
    np.rint: "round({})",
    np.tanh: "(1 - 2 / (1 + exp(2 * {})))",  # which Vega lacks
    special.expit: "(1 / (1 + exp(-{})))",
    special.logit: "log({0} / (1 - {0}))",
    np.equal: "({} == {})",
    np.less: "({} < {})",
    np.less_equal: "({} <= {})",
    np.greater: "({} > {})",
    np.greater_equal: "({} >= {})",
    np.bitwise_and: "({} && {})",
    np.bitwise_or: "({} || {})",
}


class Formula(np.lib.mixins.NDArrayOperatorsMixin):
    """A Vega expression that is computed with as a number is.

    Parameters
    ----------
    text : str
        The expression: a name, to begin with.

    Examples
    --------
    >>> from helpers.closed_forms import invert_line
    >>> invert_line(Formula("y0"), 2.0, 1.0)
    ((y0 - 1.0) / 2.0)
    """

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text

    def __format__(self, form):
        """Within a text, between two marks. The forms are those of d3-format."""
        return f"\x02{f'format({self.text}, {json.dumps(form)})' if form else self.text}\x03"

    def __array_ufunc__(self, ufunc, method, *terms, **options):
        if ufunc not in WRITTEN or method != "__call__" or options:
            return NotImplemented
        return Formula(WRITTEN[ufunc].format(*map(written, terms)))

    def __array_function__(self, function, types, terms, options):
        if function is not np.where or options:
            return NotImplemented
        return Formula("({} ? {} : {})".format(*map(written, terms)))

    def __getitem__(self, key):
        return Formula(f"{self.text}[{written(key)}]")

    __iter__ = None

    def __bool__(self):
        raise TypeError(f"{self.text} is true or false only in a figure: use np.where, and no if")


def written(term):
    """The Vega expression of a formula, a number, or a text with formulas in it: str.

    Examples
    --------
    >>> from helpers.formula import Formula
    >>> x0 = Formula("x0")
    >>> print(written(f"feed it {x0:.1f} mg"))
    ("feed it " + format(x0, ".1f") + " mg")
    """
    if isinstance(term, Formula):
        return term.text
    if not isinstance(term, str):
        return json.dumps(np.asarray(term).item())
    pieces = re.split("[\x02\x03]", term)
    pieces[::2] = [json.dumps(text, ensure_ascii=False) for text in pieces[::2]]
    return f"({' + '.join(pieces)})"


def listed(terms):
    """The formula of a list, to be indexed by another formula.

    Examples
    --------
    >>> from helpers.formula import Formula
    >>> listed([0, 10, 20])[Formula("i")]
    [0, 10, 20][i]
    """
    return Formula(f"[{', '.join(map(written, terms))}]")


def checked(**checks):
    """A decorator: the arguments of a function are checked, by name, unless they are formulas.

    Each check is called with the name and the value, and returns what to compute with.

    Examples
    --------
    >>> from helpers.formula import Formula
    >>> from helpers.validation import finite_number
    >>> @checked(x=finite_number)
    ... def double(x):
    ...     return 2 * x
    >>> double(4), double(Formula("x"))
    (8.0, (2 * x))
    """

    def decorate(function):
        signature = inspect.signature(function)

        @functools.wraps(function)
        def with_checks(*args, **kwargs):
            given = signature.bind(*args, **kwargs).arguments
            for name, value in given.items():
                if not isinstance(value, Formula):
                    given[name] = checks[name](name, value)
            return function(**given)

        return with_checks

    return decorate
