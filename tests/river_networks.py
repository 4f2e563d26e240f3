"""Train the five networks of helpers/datasets/piscataquis_networks.csv anew, and write the file.

python tests/river_networks.py
"""

from pathlib import Path

import numpy as np

from helpers import data, river

FILE = Path(data.__file__).parent / "datasets" / "piscataquis_networks.csv"
HEADER = """\
# Weights of five networks for the Piscataquis River, trained by helpers.river.train from the seeds 0 to 4, one a column.
# Order: the LSTM's kernel (4 x 32), recurrent kernel (8 x 32) and bias (32), and the kernel (8 x 1) and bias (1) of the output.
seed 0,seed 1,seed 2,seed 3,seed 4
"""  # noqa: E501


def main():
    measured = data.piscataquis()
    weights = []
    for seed in range(5):
        network = river.new_network(measured, seed=seed)
        loss = river.train(network, measured)
        weights.append(np.concatenate([array.ravel() for array in network.get_weights()]))
        print(f"seed {seed}: loss {loss[-1]:.4f}", flush=True)
    lines = [",".join(f"{number:.9g}" for number in row) for row in np.transpose(weights)]
    FILE.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
