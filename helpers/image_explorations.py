"""The live figures of images: what hidden units give away (chapter 7), faces by pose (chapter 12).

The images are computed by the chapter, and go into the figure: the small ones in hundredths of
black, the others as JPEG.
"""

import base64
import io

import altair as alt
import numpy as np
from PIL import Image

from helpers import live
from helpers.formula import listed
from helpers.live import LiveFigure, Parameter, colour, field, rows
from helpers.validation import finite_array, in_shape


def known_units(secret, K, found, *, way, known):
    """A scan beside what was recovered of it, and both errors, against the number of known units.

    Parameters
    ----------
    secret : array_like of shape (64,)
        The scan, row by row, from 0 (white) to 1 (black).
    K : array_like of shape (units, 64)
        The layer's weights, one row for each unit, in the order in which the units become known.
    found : dict of str to array_like of shape (n, 64)
        For each way of recovery, by name, its images at n numbers of known units: from none to all,
        in equal steps.
    way, known : str, int
        The setting at first: one of the ways, one of the numbers.

    Examples
    --------
    >>> secret, K = np.zeros(64), np.ones((6, 64))
    >>> found = {"a grey start": np.full((3, 64), 0.5)}
    >>> figure = known_units(secret, K, found, way="a grey start", known=0)
    """
    K = finite_array("K", K)
    secret = in_shape("secret", finite_array("secret", secret), (64,))
    units, n = len(K), len(next(iter(found.values())))
    step, rest = divmod(units, n - 1)
    if rest:
        raise ValueError(f"found must have images in equal steps up to {units} units, not {n}")
    found = {key: in_shape("found", finite_array("found", x), (n, 64)) for key, x in found.items()}
    counts, runs = list(range(0, units + 1, step)), {}
    for name, images in found.items():
        off = images - secret
        # What is known are values of K x, as far as the bias goes.
        missed = [_rms(K[:k] @ x) for k, x in zip(counts, off)]
        runs[name] = {"count": counts, "image": [_rms(x) for x in off], "output": missed}
    way = live.choice("way", "recovered by", way, list(found))
    known = live.slider("known", "known units", known, 0, units, step, "invert('concat_1_x', x())")
    ink = {name: np.rint(100 * x).astype(int).tolist() for name, x in found.items()}
    images = Parameter("images", ink)
    hidden = Parameter("secret", np.rint(100 * secret).astype(int).tolist())
    errors = Parameter("errors", runs)
    image, error = images[way][known / step], errors[way]["image"][known / step]
    words = [
        f"Known: {known} of {units} units, met to {errors[way]['output'][known / step]:.3f}.",
        f"The image is off by {error:.2f} a pixel.",
    ]
    below = _errors(runs, way, known, error, units)
    chart = alt.vconcat(_images(image, hidden), below, spacing=10)
    return LiveFigure(chart, [way, known, hidden, images, errors], words)


def _rms(differences):
    return live.rounded(np.sqrt(np.mean(np.square(differences))), 3)[0] if len(differences) else 0.0


def _images(image, secret):
    """The image found, the secret, and how far one is from the other, pixel by pixel."""
    side, apart = 22, 9.4  # of a pixel on the page, and from one image to the next in pixels
    across = alt.Scale(domain=[0, live.WIDTH / side], nice=False)
    left_edge = alt.X("left:Q", axis=None, scale=across)
    down = {"axis": None, "scale": alt.Scale(domain=[8, -1], nice=False)}
    greys = alt.Scale(domain=[0, 100], range=["#ffffff", "#000000"], clamp=True)
    ink = {"shorthand": "ink:Q", "scale": greys, "legend": None}
    part, pixel = np.divmod(np.arange(3 * 64), 64)
    left, top = apart * part + pixel % 8, pixel // 8
    squares = rows(part=part, pixel=pixel, left=left, right=left + 1, top=top, bottom=top + 1)
    found, hidden = image[field("pixel")], secret[field("pixel")]
    pixels = live.table(squares, ink=listed([found, hidden, abs(found - hidden)])[field("part")])
    pixels = pixels.encode(left_edge, alt.Y("top:Q", **down), x2="right", y2="bottom")
    left = apart * np.arange(3)
    frames = live.table(rows(name=["found", "secret", "how far off"], left=left, right=left + 8))
    frames = frames.encode(left_edge, alt.YDatum(0, **down))
    layers = [
        # The stroke closes the seams between the pixels.
        pixels.mark_rect(strokeWidth=0.5).encode(alt.Fill(**ink), alt.Stroke(**ink)),
        frames.mark_rect(filled=False, stroke=colour("data")).encode(x2="right", y2=alt.datum(8)),
        frames.mark_text(align="left", baseline="bottom", dy=-4).encode(text="name:N"),
    ]
    return live.panel(layers, 9 * side).properties(name="picture")


def _errors(runs, way, known, error, units):
    """The error of the image, and that of the units' known values, against how many are known."""
    highest = np.ceil(10 * max(max(run["image"]) for run in runs.values())) / 10
    runs = live.table([{"name": name, **run} for name, run in runs.items()])
    runs = runs.transform_flatten(["count", "image", "output"])
    chosen = (field("name") == way).text
    run, others = runs.transform_filter(chosen), runs.transform_filter(f"!{chosen}")
    ticks = alt.Axis(values=list(range(0, units + 1, max(1, units // 8))))
    across = live.axis(alt.X, "count", "known units", [0, units], axis=ticks)
    up, low = (live.axis(alt.Y, of, "error (rms)", [0, highest]) for of in ("image", "output"))
    faint = {"color": colour("input"), "opacity": 0.4, "strokeWidth": 1.2, "clip": True}
    label = live.points(count=0, image=0, name="the known values")
    layers = [
        others.mark_line(**faint).encode(across, up, detail="name:N"),
        run.mark_line(strokeDash=[7, 4], **live.beads("model", 24)).encode(across, low),
        run.mark_line(**live.beads("input", 24)).encode(across, up),
        label.mark_text(align="left", dx=6, dy=-9).encode(across, up, text="name:N"),
        live.handle(live.points(count=known, image=error), across, up, cursor="ew-resize"),
    ]
    return live.panel(layers, 130)


def posed_faces(images, landmarks, notes, *, tilts, mouths, tilt, mouth):
    """A face found for each of some poses: the one nearest to where an eye and a mouth are dragged.

    Parameters
    ----------
    images : array_like of shape (tilts, mouths, height, width, 3)
        The faces, from 0 (dark) to 1.
    landmarks : array_like of shape (tilts, mouths, 5, 2)
        Where eyes, nose and corners of the mouth were asked for, as (x, y) in shares of the width
        and height, from the upper left.
    notes : sequence of sequences of str
        What became of each face, in a sentence.
    tilts, mouths : sequence of float
        The poses, each in equal steps: degrees, clockwise as one sees it, and the width of the
        mouth as a share of the width.
    tilt, mouth : float
        The setting at first: one of each.

    Examples
    --------
    >>> images, landmarks = np.zeros((3, 2, 8, 8, 3)), np.full((3, 2, 5, 2), 0.5)
    >>> stops = {"tilts": [-10, 0, 10], "mouths": [0.3, 0.4]}
    >>> notes = [["Met.", "Met."]] * 3
    >>> figure = posed_faces(images, landmarks, notes, tilt=0, mouth=0.3, **stops)
    """
    shape = len(tilts), len(mouths)
    images = finite_array("images", images)
    if images.ndim != 5 or images.shape[:2] != shape or images.shape[-1] != 3:
        raise ValueError(
            f"images must have shape {(*shape, 'height', 'width', 3)}, not {images.shape}"
        )
    landmarks = in_shape("landmarks", finite_array("landmarks", landmarks), (*shape, 5, 2))
    centre = np.mean(landmarks[..., [0, 1, 3, 4], :], axis=(0, 1, 2))
    middle = tilts.index(0) if 0 in tilts else len(tilts) // 2
    _, eye, _, lip, _ = landmarks[middle, 0] - centre
    x, y = (f"invert('{way}', {way}()) - {origin:.4f}" for way, origin in zip("xy", centre))
    turn = f"(atan2({y}, {x}) - {np.arctan2(eye[1], eye[0]):.4f}) * 57.29578"
    lip_x = f"{x} + {lip[1]:.4f} * sin(tilt / 57.29578)"
    lip_y = f"{y} - {lip[1]:.4f} * cos(tilt / 57.29578)"
    stretch = f"2 * sqrt(pow({lip_x}, 2) + pow({lip_y}, 2))"
    tilt, i = _stops("tilt", "tilt of the head, in degrees", tilt, tilts, turn, "handle")
    mouth, j = _stops("mouth", "width of the mouth", mouth, mouths, stretch, "handle_mouth")
    faces = Parameter("faces", [[_data_uri(image) for image in row] for row in images])
    places = Parameter("places", np.round(landmarks, 4).tolist())
    told = Parameter("told", [list(row) for row in notes])
    across = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False))
    down = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[1, 0], nice=False))
    face = live.points(url=faces[i][j], x=0.0, y=0.0, right=1.0, bottom=1.0)
    face = face.encode(across, down, url="url:N", x2="right:Q", y2="bottom:Q")
    marks = [live.points(x=places[i][j][k][0], y=places[i][j][k][1]) for k in range(5)]
    cross = {"shape": "cross", "size": 90, "strokeWidth": 2, "color": colour("wanted")}
    layers = [
        face.mark_image(aspect=False),
        *(marks[k].mark_point(**cross).encode(across, down) for k in (0, 2, 3)),
        live.handle(marks[1], across, down, cursor="move"),
        live.handle(marks[4], across, down, "handle_mouth", cursor="move"),
    ]
    words = [f"Asked for: a head tilted by {tilt}°, a mouth {mouth:.2f} wide.", told[i][j]]
    return LiveFigure(live.panel(layers, 340, 340), [tilt, mouth, faces, places, told], words)


def _stops(name, label, value, stops, drag, mark):
    """A slider over numbers in equal steps, and the formula of which of them is set."""
    steps = np.diff(stops)
    if len(stops) < 2 or not np.allclose(steps, steps[0]) or steps[0] <= 0:
        raise ValueError(f"{name}s must rise in equal steps, two numbers at least, not {stops}")
    first, step = stops[0], float(f"{steps[0]:.6g}")
    chosen = live.slider(name, label, value, first, stops[-1], step, drag=drag, handle=mark)
    return chosen, np.rint((chosen - first) / (stops[1] - first))


def _data_uri(image):
    """A small picture in a text: JPEG, at a quality that shows no blocks."""
    pixels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
