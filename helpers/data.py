"""The data of the book: the noisy line of the toy model, and three real data sets."""

from importlib.resources import files
from typing import NamedTuple

import numpy as np

from helpers.validation import finite_number, non_negative_number, whole_number


def noisy_line(n=100, *, low=0.0, high=1000.0, slope=0.4, noise=50.0, seed):
    """Points scattered below a line through the origin.

    y = slope · x − noise · u, where x is uniform on [low, high) and each point has its own u,
    uniform on [0, 1). The noise pulls one way only: its mean is −noise/2 and its standard
    deviation noise/√12. All quantities are pure numbers, without a unit.

    Parameters
    ----------
    n : int
        Number of points, at least 1.
    low, high : float
        Range of x; `low` must be below `high`.
    slope : float
        Slope of the line.
    noise : float
        Largest distance of a point below the line, 0 or above.
    seed : int
        Seed of the random numbers. It has no default: a result that depends on it says so.

    Returns
    -------
    x, y : ndarray of shape (n,), float64

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or outside its range.

    Notes
    -----
    The recipe of the 2018 blog post that the book starts from :cite:p:`beaujour2018`.

    Examples
    --------
    >>> x, y = noisy_line(n=5, seed=1)
    >>> bool(((0.4 * x - 50 <= y) & (y <= 0.4 * x)).all())
    True
    """
    n = whole_number("n", n, least=1)
    seed = whole_number("seed", seed, least=0)
    low, high = finite_number("low", low), finite_number("high", high)
    if low >= high:
        raise ValueError(f"low must be below high, but low is {low} and high is {high}")
    slope, noise = finite_number("slope", slope), non_negative_number("noise", noise)
    rng = np.random.default_rng(seed)
    x = rng.uniform(low, high, n)
    u = rng.uniform(0.0, 1.0, n)
    return x, slope * x - noise * u


class Beetles(NamedTuple):
    """Eight groups of beetles, one row a dose; each field is an array of shape (8,)."""

    log10_dose: np.ndarray
    exposed: np.ndarray
    killed: np.ndarray


def bliss_beetles():
    """Flour beetles killed by five hours of gaseous carbon disulphide.

    Returns
    -------
    Beetles
        `log10_dose`: decimal logarithm of the dose, the dose in mg/l;
        `exposed`, `killed`: number of beetles in each group.

    Notes
    -----
    Source: Bliss :cite:p:`bliss1935`, as tabulated by Dobson :cite:p:`dobson2018`.

    Examples
    --------
    >>> beetles = bliss_beetles()
    >>> print(beetles.killed, "of", beetles.exposed)
    [ 6 13 18 28 52 53 61 60] of [59 60 62 56 63 59 62 60]
    """
    dose, exposed, killed = columns("bliss_beetles.csv")
    return Beetles(dose, exposed.astype(int), killed.astype(int))


class Ozone(NamedTuple):
    """Paired readings of two ozone monitors; each field is an array of shape (36,)."""

    reference: np.ndarray
    instrument: np.ndarray


def nist_norris():
    """Calibration of an ozone monitor against the reference of NIST.

    Returns
    -------
    Ozone
        `reference`: the ozone concentration measured by the reference monitor;
        `instrument`: what the customer's monitor showed. The source prints no unit.

    Notes
    -----
    Source: J. Norris, dataset *Norris* of the Statistical Reference Datasets
    :cite:p:`nist_norris` (public domain). The certified line is
    instrument = −0.262323073774029 + 1.00211681802045 · reference, with a residual standard
    deviation of 0.884796396144373 on 34 degrees of freedom.

    Examples
    --------
    >>> ozone = nist_norris()
    >>> print(ozone.reference[0], ozone.instrument[0])
    0.2 0.1
    """
    return Ozone(*columns("nist_norris.csv"))


class River(NamedTuple):
    """34 years of a river and its weather, one row a day; each field is an array of shape (12418,).

    The days follow one another without a gap.
    """

    date: np.ndarray
    precipitation: np.ndarray
    radiation: np.ndarray
    t_max: np.ndarray
    t_min: np.ndarray
    runoff: np.ndarray
    snow: np.ndarray


def piscataquis():
    """Weather and runoff of the Piscataquis River in Maine, 1 October 1980 to 30 September 2014.

    Returns
    -------
    River
        `date`: the day, as datetime64[D];
        `precipitation`: rain and snowfall, mm a day;
        `radiation`: of the sun, mean of the daylight hours, W/m²;
        `t_max`, `t_min`: highest and lowest temperature, °C. These four are means over the basin;
        `runoff`: discharge at the gauge near Dover-Foxcroft over the area of the basin, mm a day;
        `snow`: water in the snow cover, mm. It was not measured: the model Snow-17, calibrated on
        the runoff, computed it from the weather. To compare with, not to learn from.

    Notes
    -----
    Source: basin 01031500 of the data set CAMELS :cite:p:`newman2015,addor2017`; runoff measured by
    the U.S. Geological Survey, weather interpolated between stations by Daymet. The file's first
    lines have the details.

    Examples
    --------
    >>> river = piscataquis()
    >>> print(river.date[0], river.precipitation[0], river.runoff[0])
    1980-10-01 0.0 0.555
    """
    rows = _rows("piscataquis.csv")
    date = np.array([row.partition(",")[0] for row in rows], "datetime64[D]")
    return River(date, *np.loadtxt(rows, delimiter=",", usecols=range(1, 7), unpack=True))


def columns(name):
    """The columns of a data file of numbers."""
    return np.loadtxt(_rows(name), delimiter=",", unpack=True)


def _rows(name):
    """The lines of a data file that ships with the package; '#' starts a comment."""
    with (files("helpers") / "datasets" / name).open(encoding="utf-8") as file:
        return [line for line in file if not line.startswith("#")][1:]
