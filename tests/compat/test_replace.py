"""A replacement is put in place once, whatever it is, and knows the original."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from spark_verl.compat.replace import replaces


class Original:
    pass


@pytest.mark.parametrize(
    ("original", "make"),
    [
        (lambda: "old", lambda old: lambda: f"new, was {old()}"),
        (Original, lambda old: type("Derived", (old,), {})),
        (ModuleType("queue"), lambda old: SimpleNamespace(real=old)),
    ],
    ids=["function", "class", "module"],
)
def test_replaced_once(monkeypatch: pytest.MonkeyPatch, original: Any, make: Callable[[Any], Any]) -> None:
    library = ModuleType("a_library")
    library.part = original
    monkeypatch.setitem(sys.modules, "a_library", library)
    given = []

    @replaces("a_library", "part")
    def patch(old: Any) -> Any:
        """Its reason."""
        given.append(old)
        return make(old)

    assert library.part is original, "nothing is replaced before it is asked for"
    patch()
    first = library.part
    patch()
    assert given == [original] and library.part is first is not original
    assert patch.__doc__ == "Its reason."
