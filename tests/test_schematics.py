"""The schematics: every part is named, lies within the figure, and can be drawn for a dark page."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Annotation

from helpers import figures, schematics

WORDS = {
    "neuron": ["x", "W", "b", "y"],
    "network": ["x_1", "x_2", "y", "inputs", "hidden units", "output"],
    "recurrent_unit": ["u", "w", "x_t", "y_t", "x_1", "y_1", "x_T", "y_T"],
    "lstm_unit": ["f_t", "i_t", "g_t", "o_t", "c_{t-1}", "c_t", "h_{t-1}", "h_t", "x_t"],
    "cluster": ["client", "scheduler", "workers", "model, targets $y_0", "inputs $x_0"],
}


@pytest.fixture(params=WORDS)
def drawn(request):
    figures.use_style()
    fig, ax = plt.subplots()
    getattr(schematics, request.param)(ax)
    fig.canvas.draw()
    yield request.param, fig, ax
    plt.close(fig)


def test_it_names_its_parts(drawn):
    name, _, ax = drawn
    words = {text.get_text().strip("$") for text in ax.texts}
    assert words >= set(WORDS[name])


def test_nothing_reaches_beyond_the_figure(drawn):
    _, fig, ax = drawn
    whole = fig.bbox.padded(1)
    for part in [*ax.texts, *ax.patches, *ax.lines]:
        box = part.get_window_extent()
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, part
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, part


def test_no_two_words_overlap(drawn):
    _, _, ax = drawn
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_each_colour_has_a_dark_one(drawn):
    _, _, ax = drawn
    used = {text.get_color() for text in ax.texts} | {line.get_color() for line in ax.lines}
    used |= {arrow.arrow_patch.get_edgecolor() for arrow in ax.findobj(Annotation)}
    used |= {colour for p in ax.patches for colour in (p.get_edgecolor(), p.get_facecolor())}
    assert {to_hex(colour) for colour in used} <= set(figures.LIGHT.values())
