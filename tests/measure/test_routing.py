"""The simulation of routing: what it says of verl's router and of ours, and that it is one step whatever the router."""

from __future__ import annotations

import routing
import routing_engines

TIMES = routing.Times(process=0.1, prefill=0.06, known=0.004, decode=0.015, sequence=0.00005)


def test_a_group_stays_together_and_no_engine_is_overloaded() -> None:
    slack = 16
    steps = {name: routing.simulate(make, 8, TIMES, seed=1) for name, make in routing.routers([slack]).items()}
    ours, verl, always = steps[f"slack {slack}"], steps["verl"], steps["always the group's"]
    assert verl["engines"] > 7 and always["engines"] == 1
    assert ours["engines"] < 1.5 and ours["found"] >= 0.95
    assert verl["busiest"] < ours["busiest"] < always["busiest"], "overflow keeps the balance"
    assert ours["step"] < verl["step"]


def test_a_seed_gives_the_same_step() -> None:
    make = routing.routers([16])["slack 16"]
    assert routing.simulate(make, 4, TIMES, seed=3) == routing.simulate(make, 4, TIMES, seed=3)


def test_figures_of_what_was_noted() -> None:
    def line(engine: str, role: str = "policy", group: str = "u", cached: int = 0) -> dict:
        seen = {"step": 2, "group": group, "role": role, "engine": engine}
        return seen | {"tokens": 10, "image_end": 2 * routing_engines.BLOCK + 5, "cached": cached}

    lines = [line("a"), line("a"), line("b", group="v")]
    lines += [line("a", "judge", cached=2 * routing_engines.BLOCK), line("b", "judge", cached=routing_engines.BLOCK)]
    assert routing_engines.figures(lines) == {"engines": 1.5, "found": 0.5, "prefix": 0.5, "busiest": 30 / 25}
