"""Arguments as people give them: each is taken as it is, or refused by name."""

from fractions import Fraction

import numpy as np
import pytest
from conftest import refused_by_name

from helpers.validation import choice, finite_array, finite_number, in_shape, whole_number


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2), Fraction(4, 2), [[2.0]]])
def test_one_number_is_a_number(value):
    value = np.array(value) if isinstance(value, list) else value
    number = finite_number("a", value)
    assert number == 2.0
    assert type(number) is float


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: finite_number("a", True), TypeError, ["a", "real number", "True"]),
        (lambda: finite_number("a", 1j), TypeError, ["a", "real number", "1j"]),
        (lambda: finite_number("a", np.ones(2)), TypeError, ["a", "real number", "1., 1."]),
        (lambda: finite_number("a", 10**400), ValueError, ["a", "finite", "1000"]),
        (lambda: finite_number("a", np.longdouble("1e400")), ValueError, ["a", "finite"]),
        (lambda: whole_number("n", np.True_, least=0), TypeError, ["n", "whole number"]),
        (lambda: finite_array("x", [[1.0], [1.0, 2.0]]), ValueError, ["x", "rows of one length"]),
        (lambda: finite_array("x", ["1"]), TypeError, ["x", "real numbers", "'1'"]),
        (lambda: finite_array("x", []), ValueError, ["x", "empty"]),
        (
            lambda: finite_array("x", np.ma.masked_array([1.0, 2.0], [True, False])),
            ValueError,
            ["x", "masked"],
        ),
        (lambda: in_shape("x", np.ones(3), (2, 2)), ValueError, ["x", "(2, 2)", "(3,)"]),
        (lambda: choice("kind", ["a"], ("a", "b")), ValueError, ["kind", "'a', 'b'", "['a']"]),
        (lambda: choice("kind", np.array(["a"]), ("a", "b")), ValueError, ["kind", "'a', 'b'"]),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with refused_by_name(error, words):
        call()


def test_a_masked_array_without_masked_values_is_an_array():
    np.testing.assert_array_equal(finite_array("x", np.ma.masked_array([1.0, 2.0])), [1.0, 2.0])
