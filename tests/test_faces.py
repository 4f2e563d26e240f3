"""The face in the detector: chapter 12's way, with ten seeds, and on other networks.

The judge is no network: scikit-image's cascade of local binary patterns. The chapter settled its
settings on the seeds 100 to 107.
"""

import nbformat
import numpy as np
import pytest
from conftest import ROOT

from helpers import objectives
from helpers.backend import keras
from helpers.priors import TotalVariation
from helpers.reconstruction import reconstruct

SMOOTH = TotalVariation(0.6)


@pytest.fixture(scope="module")
def chapter():
    """What the chapter defines in its folds, up to the first search, by name."""
    notebook = nbformat.read(ROOT / "book" / "12_faces.ipynb", as_version=4)
    names = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            if "found = search(" in cell.source:
                break
            exec(cell.source, names)
    wanted = ("def cropped", "def boxes", "def judged", "def by_sister")
    for cell in notebook.cells:
        if cell.cell_type == "code" and any(each in cell.source for each in wanted):
            source = cell.source
            for stop in ("\none = coloured", "\nphotograph =", "\npatches =", "\nfig, axes ="):
                source = source.split(stop)[0]
            exec(source, names)
    return names


@pytest.fixture(scope="module")
def ten(chapter):
    """Ten faces, asked for with all that is known."""
    asked = chapter["wanted"](chapter["head"]())
    return chapter["search"](chapter["seen"], asked, range(10), SMOOTH)


@pytest.fixture(scope="module")
def found(chapter, ten):
    """How many of the ten the cascade finds."""
    return found_by_cascade(chapter, ten)


def found_by_cascade(chapter, run):
    return chapter["judged"](chapter["cropped"](run.x @ chapter["mix"].T)).sum()


def test_the_cascade_finds_most_of_the_faces_that_were_asked_for(found):
    assert found >= 7


@pytest.mark.parametrize("windows", [1, 3])
def test_without_landmarks_it_finds_fewer_and_fewer_than_the_sister(chapter, found, windows):
    offsets = [(0, 0)] if windows == 1 else chapter["offsets"]
    seen = objectives.at_offsets(chapter["score"], offsets)
    run = chapter["search"](chapter["coloured"](seen), 10.0, range(10), SMOOTH)
    assert found_by_cascade(chapter, run) < found
    images = chapter["cropped"](run.x @ chapter["mix"].T).astype("f")
    assert (chapter["by_sister"](images) > 0.5).sum() > found_by_cascade(chapter, run)


def test_landmarks_are_met_to_a_fiftieth_of_the_width(ten):
    assert np.median(np.abs(ten.residual[..., 1:])) / 48 <= 0.02


@pytest.mark.parametrize("windows", [False, True])
def test_without_smoothness_what_the_detector_takes_for_a_face_is_none(chapter, windows):
    model, mix = chapter["score"], np.eye(3)
    if windows:
        model = chapter["coloured"](objectives.at_offsets(model, chapter["offsets"]))
        mix = chapter["mix"]
    found = chapter["search"](model, 10.0, range(10))
    assert found.converged.all()
    assert not chapter["judged"](chapter["cropped"](found.x @ mix.T)).any()


@pytest.mark.parametrize("stage", ["pnet", "rnet"])
def test_the_other_stages_of_the_detector_answer_the_same_code(chapter, stage):
    """The landmarks aside, which they do not have.

    P-Net's softmax belongs to a convolution, whose log-odds are not known: its probability is asked
    to be at least 0.9 instead: it saturates, so that no run would come back from 0.999.
    """
    from mtcnn.network.pnet import PNet
    from mtcnn.network.rnet import RNet

    network, size = {"pnet": (PNet(), 12), "rnet": (RNet(), 24)}[stage]
    model = chapter["rebuilt"](network, f"{stage}.lz4", size=size, heads=2)
    verdict = objectives.output(model, 1)
    if stage == "pnet":
        with pytest.raises(ValueError, match="Conv2D"):
            objectives.log_odds(verdict, 1)
        score = objectives.at_least(objectives.units(verdict, "conv4-2", 1), 0.9)
        wanted, atol = 0.0, 0.05
    else:
        score, wanted, atol = objectives.log_odds(verdict, 1), 5.0, 0.5
    seen = chapter["coloured"](objectives.at_offsets(score, [(1, 1), (0, 2), (2, 0)]))
    found = chapter["search"](seen, wanted, range(3), TotalVariation(1e-4), max_iter=150)
    np.testing.assert_allclose(found.y, wanted, atol=atol)


def test_a_network_of_keras_applications_answers_too(chapter):
    """With random weights, whose answers differ little: it arrives at one of its own."""
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((32, 32, 3), 0.35, weights=None, classes=5)
    odds = objectives.log_odds(model, 2)
    rng = np.random.default_rng(0)
    y = odds(rng.uniform(-1, 1, (1, 32, 32, 3)).astype("float32")).numpy()
    start = rng.uniform(-0.5, 0.5, (1, 32, 32, 3))
    found = reconstruct(odds, y, start=start, bounds=(-1, 1), rtol=1e-3)
    assert found.converged.all(), found.message
