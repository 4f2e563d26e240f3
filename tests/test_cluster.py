"""The search on a Dask cluster: what one machine finds, whatever happens to a worker."""

import os
import threading

import dask
import numpy as np
import psutil
import pytest
from conftest import refused_by_name
from distributed import Client, LocalCluster

from helpers import cluster, objectives
from helpers.backend import keras
from helpers.cluster import UnfinishedError, local_client, reconstruct_on
from helpers.priors import L2
from helpers.reconstruction import reconstruct
from helpers.training import neuron

NEURON = neuron("sigmoid", W=2.0, b=-1.0)
FIELDS = ("x", "y", "target", "residual", "status", "message", "n_iter")
TARGETS = np.linspace(0.02, 0.98, 23)[:, None]


@pytest.fixture(scope="module")
def client():
    """Two processes of one thread. A chunk on which one of them has died is suspected at once."""
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), local_client(2) as client:
        yield client


@pytest.fixture
def no_cluster(monkeypatch):
    """A call without a client fails if it gets as far as to start one."""
    monkeypatch.setattr(cluster, "local_client", lambda: pytest.fail("a cluster was started"))


def network():
    """2 → 5 → 2, with fixed weights."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((2,)), *layers])


def assert_same(one, other, rows=slice(None)):
    """All fields agree, bit for bit, masks included."""
    for name in FIELDS:
        expected, found = getattr(one, name)[rows], getattr(other, name)
        assert found.dtype == expected.dtype
        assert np.ma.isMaskedArray(found) == np.ma.isMaskedArray(expected)
        np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
        np.testing.assert_array_equal(found, expected)


def test_the_result_is_that_of_one_machine(client, capsys):
    alone = reconstruct(NEURON, TARGETS, start=0.0)
    spread = reconstruct_on(client, NEURON, TARGETS, start=0.0, chunk=4, progress=True)
    assert_same(alone, spread)
    assert spread.converged.all()
    assert spread.trace is None
    assert not spread.x.flags.writeable
    output = capsys.readouterr()
    assert "23/23" in output.out
    assert not output.err


def test_whatever_is_asked_reaches_the_workers(client):
    """Layers of the helpers, masked targets, starts, bounds, a prior."""
    model = objectives.units(network(), 1, [1, 0])
    rng = np.random.default_rng(0)
    target = np.ma.array(rng.uniform(-2, 2, (9, 2)), mask=rng.random((9, 2)) < 0.3)
    target.mask[:, 0] &= ~target.mask[:, 1]
    options = {"start": rng.uniform(-1, 1, (9, 2)), "bounds": (-1, [1, 2]), "max_iter": 8}
    options |= {"penalty": L2(0.01), "learning_rate": 0.1}
    alone = reconstruct(model, target, **options)
    assert_same(alone, reconstruct_on(client, model, target, chunk=4, **options))


def test_new_weights_reach_the_workers(client):
    """They go into the model that is there; and the old ones once more."""
    old = NEURON.get_weights()
    for weights in ([np.full((1, 1), 3.0), np.ones(1)], old):
        NEURON.set_weights(weights)
        alone = reconstruct(NEURON, TARGETS, start=0.0)
        assert_same(alone, reconstruct_on(client, NEURON, TARGETS, start=0.0, chunk=4))


def test_an_error_on_a_worker_is_the_error_of_one_machine(client):
    with pytest.raises(ValueError, match="start must lie within bounds"):
        reconstruct_on(client, NEURON, TARGETS, start=0.0, bounds=(1, 2))


def test_a_worker_that_is_killed_costs_no_target(client, monkeypatch, tmp_path):
    """Chunk 2 ends the first worker that takes it."""
    mark = str(tmp_path / "killed")

    def solve(problem, target, start):
        if 8 in start and not os.path.exists(mark):
            open(mark, "x").close()
            os._exit(1)
        from helpers.cluster import _solve

        return _solve(problem, target, start)

    monkeypatch.setattr(cluster, "_solve", solve)
    start = np.arange(23.0)[:, None] / 8
    start[8] = 8
    spread = reconstruct_on(client, NEURON, TARGETS, start=start, chunk=4)
    assert os.path.exists(mark)
    assert_same(reconstruct(NEURON, TARGETS, start=start), spread)


def test_a_chunk_that_kills_each_worker_is_named_and_the_rest_kept(client, monkeypatch):
    def solve(problem, target, start):
        if 8 in start:
            os._exit(1)
        from helpers.cluster import _solve

        return _solve(problem, target, start)

    monkeypatch.setattr(cluster, "_solve", solve)
    start = np.arange(23.0)[:, None] / 8
    start[8] = 8
    with pytest.raises(
        UnfinishedError, match=r"4 of 23 .*, 7 to 10: each worker .* died"
    ) as caught:
        reconstruct_on(client, NEURON, TARGETS, start=start, chunk=4)
    error = caught.value
    assert error.missing.tolist() == [7, 8, 9, 10]
    assert error.found.tolist() == [*range(7), *range(11, 23)]
    assert_same(reconstruct(NEURON, TARGETS, start=start), error.result, error.found)


def without_workers():
    return LocalCluster(n_workers=0, dashboard_address=":0", silence_logs="CRITICAL")


def test_a_cluster_without_a_worker_is_not_waited_for_in_vain():
    with without_workers() as empty, Client(empty) as client:
        with pytest.raises(UnfinishedError, match="0 to 22: the cluster had no worker") as caught:
            reconstruct_on(client, NEURON, TARGETS, start=0.0, patience=0.1)
        assert caught.value.result is None
        assert len(caught.value.missing) == 23


def test_a_cluster_that_goes_away_is_told(monkeypatch):
    """It is closed while the client waits for it."""
    empty = without_workers()
    real, closing = cluster.wait, threading.Thread(target=empty.close)

    def wait(*arguments, **options):
        if not closing.ident:
            closing.start()
        return real(*arguments, **options)

    monkeypatch.setattr(cluster, "wait", wait)
    client = Client(empty)
    with pytest.raises(UnfinishedError, match="the cluster went away"):
        reconstruct_on(client, NEURON, TARGETS, start=0.0, patience=1e9)
    closing.join()
    client.close()


def test_without_a_client_processes_come_and_go(monkeypatch):
    started = []

    def recorded():
        client = local_client(1)
        started.extend(client.run(os.getpid).values())
        return client

    monkeypatch.setattr(cluster, "local_client", recorded)
    spread = reconstruct_on(None, NEURON, TARGETS[:2], start=0.0)
    assert_same(reconstruct(NEURON, TARGETS[:2], start=0.0), spread)
    assert len(started) == 1
    assert not psutil.pid_exists(started[0])


class Own(keras.layers.Layer):
    """A layer of which Keras cannot know how to make it again."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def with_layer(layer):
    x = keras.Input((1,))
    return keras.Model(x, layer(keras.layers.Dense(1)(x)))


@pytest.mark.usefixtures("no_cluster")
def test_what_cannot_travel_is_named_before_anything_is_sent():
    def refused(error, words, client=None, model=NEURON, **options):
        with refused_by_name(error, words):
            reconstruct_on(client, model, 0.5, start=0.0, **options)

    refused(TypeError, ["client", "Client", "'tcp://1.2.3.4'"], client="tcp://1.2.3.4")
    refused(ValueError, ["trace", "False"], trace=True)
    refused(TypeError, ["options", "space", "'speed'"], speed=3)
    lock = threading.Lock()
    refused(TypeError, ["penalty", "sent"], penalty=lambda x: lock)
    refused(ValueError, ["chunk", "0"], chunk=0)
    refused(ValueError, ["patience", "0"], patience=0)
    refused(TypeError, ["progress"], progress="yes")
    refused(ValueError, ["model", "save", "load"], model=with_layer(Own(keras.ops.tanh)))
    here = type("Here", (keras.layers.Activation,), {"__module__": "__main__"})
    refused(ValueError, ["model", "Here", "module"], model=with_layer(here("tanh")))
    with refused_by_name(ValueError, ["workers", "0"]):
        local_client(0)
