"""What the chapters of *Running a Network Backwards* share.

Each module stands for one idea; import it by name. Those that need no network (`data`,
`closed_forms`, `figures`) do not import TensorFlow, which takes seconds.
"""
