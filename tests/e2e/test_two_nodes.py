"""Two Ray nodes (on one machine): ranks and replicas on different nodes, one SPARK step, the plugin everywhere.

In the next step one of the nodes is gone.
"""

from __future__ import annotations

import os
import re

import forked
import pytest

from spark_verl.compat import fork_server, forking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def cluster(monkeypatch_module):
    """Two nodes with one logical GPU each, started as the README says (with this test's own port).

    Only what is started here is stopped: the processes that ``ray.cluster_utils`` keeps a list of.
    """
    from ray.cluster_utils import Cluster

    # In a cluster, each of a run's fourteen processes would import by itself.
    for name, value in forked.environment().items():
        monkeypatch_module.setenv(name, value)
    forking.wait(os.environ[fork_server.ADDRESS])
    # Nothing else is set up in the nodes' environment: what a run needs has to come with the run.
    options = {"num_cpus": 8, "num_gpus": 1, "include_dashboard": False, "object_store_memory": 400_000_000}
    nodes = Cluster(initialize_head=True, head_node_args={**options, "resources": {"first": 1}})
    nodes.second = nodes.add_node(
        **{k: v for k, v in options.items() if k != "include_dashboard"}, resources={"second": 1}
    )
    yield nodes
    nodes.shutdown()


@pytest.fixture(scope="module")
def two_node_run(cluster, tmp_path_factory, small, runner):
    folder = tmp_path_factory.mktemp("two_nodes")
    overrides = [
        *small,
        f"+ray_kwargs.ray_init.runtime_env.py_executable={forked.python()}",
        "trainer.nnodes=2",
        "trainer.n_gpus_per_node=1",
        "trainer.total_training_steps=1000",
        "trainer.total_epochs=1000",
        "spark.judge_prompts_per_group=1.0",
        "spark.reflection_prompts_per_group=1.0",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", cluster.address)
        process = runner.start(folder, "spark_verl.main", overrides)
    runner.wait_for_steps(1, process, folder)
    return runner.lose(process, folder, lambda: cluster.remove_node(cluster.second, allow_graceful=False))


def test_a_spark_step_completes(two_node_run):
    metrics = two_node_run.metrics[1]
    assert metrics["spark/judge_row_share"] > 0
    assert metrics["spark/leaked_keys"] == 0
    assert metrics["actor/grad_norm"] > 0
    # The probabilities that each replica sampled with are the actor's: both nodes have the same weights.
    assert metrics["actor/ppo_kl"] == pytest.approx(0.0, abs=1e-4)


def test_ranks_and_replicas_are_on_different_nodes(two_node_run, cluster):
    import ray

    ray.init(address=cluster.address, log_to_driver=False)
    try:
        # The table of the cluster's head knows ended actors, too, and needs no dashboard.
        actors = ray._private.state.actors().values()
    finally:
        ray.shutdown()
    nodes = {
        kind: {a["Address"]["NodeID"] for a in actors if re.search(kind, a["ActorClassName"])}
        for kind in ("WorkerDict", "vLLM.*Server")
    }
    assert {kind: len(found) for kind, found in nodes.items()} == {"WorkerDict": 2, "vLLM.*Server": 2}


def test_a_lost_node_ends_the_run_and_is_named_last(two_node_run):
    two_node_run.lost.check(r"\S+ \(pid \d+ on \S+\), .* have died: The actor died because its node has died")
