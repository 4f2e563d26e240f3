"""What the chapters of *Running a Network Backwards* share.

Each module stands for one idea; import it by name. Those that need no network
(`data`, `closed_forms`, `figures`) do not import TensorFlow, which takes seconds.
"""

import os

# TensorFlow greets on stderr with a note about the machine's processor; warnings and errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
