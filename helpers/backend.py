"""Keras and TensorFlow, imported without the notes that they write to stderr when they start."""

import contextlib
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no note about a missing GPU at the first call


@contextlib.contextmanager
def _muted_stderr():
    """Send file descriptor 2 nowhere: the notes come from C++, and no setting stops them."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with _muted_stderr():
    import keras
    import tensorflow as tf

__all__ = ["keras", "tf"]
