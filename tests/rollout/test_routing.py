"""A group stays on one engine as long as that one is not behind, and so does what is asked about its answers."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict

import pytest
from omegaconf import OmegaConf
from scripted_worker import RIGHT, WRONG, Engine, N, children, prompt
from verl.workers.rollout import router as verl_router

from spark_verl.rollout import routing
from spark_verl.rollout.routing import GroupRouter

SLACK = 4
REQUESTS = itertools.count()


@pytest.fixture
def router() -> GroupRouter:
    return GroupRouter({"a": "handle a", "b": "handle b", "c": "handle c"}, {"slack": SLACK})


def send(router: GroupRouter, group: str | None, samples: int) -> Counter[str]:
    """How many of a group's samples went to which engine."""
    return Counter(router.acquire_server(f"request {next(REQUESTS)}", group=group)[0] for _ in range(samples))


def test_groups_are_spread_and_their_samples_stay_together(router) -> None:
    engines = [send(router, group, SLACK) for group in ("u", "v", "w")]
    assert [len(engine) for engine in engines] == [1, 1, 1], "a group's samples follow its first one"
    assert len(set().union(*engines)) == 3, "the next group goes to the engine with the fewest requests"
    for engine in "abc":
        for _ in range(SLACK):
            router.release_server(engine)
    assert send(router, "v", 2).keys() == engines[1].keys(), "also when it comes back for judging"


def test_an_engine_that_is_behind_sends_new_samples_to_the_least_busy_one(router) -> None:
    first = send(router, "u", SLACK + 1)
    assert len(first) == 1
    (home,) = first
    sent = send(router, "u", 3 * SLACK)
    assert len(sent) == 3 and max(router.get_status()["servers"].values()) <= 2 * SLACK
    # The least busy of its homes comes first.
    calm = next(engine for engine in "abc" if engine != home)
    for _ in range(sent[calm]):
        router.release_server(calm)
    assert send(router, "u", 1) == {calm: 1}


def test_a_conversation_stays_where_it_began(router) -> None:
    name, _ = router.acquire_server("turn", group="u")
    send(router, "u", 20)
    assert router.acquire_server("turn", group="u")[0] == name


def test_without_a_group_or_with_another_pool_it_is_verls_router(router) -> None:
    assert send(router, None, 6) == {"a": 2, "b": 2, "c": 2}
    (home,) = send(router, "u", 1)
    router.remove_servers([home])
    assert home not in send(router, "u", 3)
    router.remove_servers(["a", "b", "c"])
    with pytest.raises(RuntimeError, match="No available servers"):
        send(router, "u", 1)


def test_verl_finds_the_router_and_the_user_has_the_last_word() -> None:
    rollout = {"router_config_path": None, "full_determinism": False}
    config = OmegaConf.create({"actor_rollout_ref": {"rollout": rollout}})
    routing.route_groups(config)
    read = verl_router._load_router_yaml(config.actor_rollout_ref.rollout.router_config_path)
    assert verl_router._resolve_router_class(read["router_class"]) is GroupRouter
    assert GroupRouter({"a": "handle"}, read).acquire_server("r", group="u") == ("a", "handle")
    for changes in ({"router_config_path": "mine.yaml"}, {"full_determinism": True}):
        config = OmegaConf.create({"actor_rollout_ref": {"rollout": rollout | changes}})
        routing.route_groups(config)
        assert config.actor_rollout_ref.rollout == rollout | changes


@pytest.fixture
def seen(monkeypatch) -> dict[str | None, list[str]]:
    """Prompts by the group that the engine's client was told."""
    found: dict[str | None, list[str]] = defaultdict(list)
    generate = Engine.generate

    async def noted(self, prompt_ids, **rest):
        found[routing.group()].append(self.tokenizer.decode(prompt_ids))
        return await generate(self, prompt_ids, **rest)

    monkeypatch.setattr(Engine, "generate", noted)
    return found


def test_judge_prompts_belong_to_the_group_that_they_are_about(run, seen) -> None:
    replies = [RIGHT, WRONG, RIGHT, WRONG]
    prompts = [prompt(), prompt("v", "Which digit is smaller?")]
    _, queue, _ = run({"larger": list(replies), "smaller": list(replies)}, prompts)
    assert set(seen) == {"u", "v"} and len(children(queue)) == 4
    for uid, word in (("u", "larger"), ("v", "smaller")):
        assert all(word in text for text in seen[uid]), "no prompt of another group"
        assert len(seen[uid]) == N * 3, "the samples, and two judge prompts with as many"
    assert routing.group() is None


def test_verdicts_belong_to_the_group_that_they_reward(run, seen) -> None:
    unlabelled = {"reward_model": {"style": "rule", "ground_truth": None}, "spark_supervision": "unlabelled"}
    run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt(**unlabelled)], overrides=["spark.self_reward.enable=true"])
    assert seen.keys() == {"u"} and len(seen["u"]) == N + 2 * 4, "the samples, and four verdicts on each of two answers"


class Local:
    """A Ray actor's handle without Ray: the methods of an object, awaitable."""

    def __init__(self, actor: object) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> object:
        async def call(*args, **kwargs):
            return getattr(self._actor, name)(*args, **kwargs)

        return type("Method", (), {"remote": staticmethod(call)})


@pytest.mark.parametrize(
    ("make", "engines"),
    [
        (lambda servers: GroupRouter(servers, {"slack": SLACK}), 1),
        (verl_router.GlobalRequestLoadBalancer, 3),
    ],
    ids=["ours", "verl's"],
)
def test_the_client_tells_the_group_to_a_router_that_asks(make, engines) -> None:
    async def acquire() -> set[str]:
        client = routing.GroupClient(None, Local(make({"a": 1, "b": 2, "c": 3})))
        with routing.sampling("u"):
            return {(await client._acquire_server(f"{i}", prompt_ids=[1]))[0] for i in range(3)}

    assert len(asyncio.run(acquire())) == engines
