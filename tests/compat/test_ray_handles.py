"""A real Ray: who only asks a server does not import its module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = "verl.workers.rollout.a_server"

FILES = {
    # The server's module is one of verl's by name, in every process.
    "sitecustomize.py": f"""
import importlib.abc, importlib.util, pathlib, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {MODULE!r}:
            return importlib.util.spec_from_file_location(name, pathlib.Path(__file__).with_name("a_server.py"))
sys.meta_path.insert(0, Finder())
""",
    "a_server.py": """
class Server:
    async def double(self, value: int, *, plus: int = 0) -> int:
        return 2 * value + plus
""",
    "with_verl.py": """
import sys
import verl
class Holder:
    def __init__(self, server):
        self.server = server
    async def ask(self, value):
        return await self.server.double.remote(value, plus=1), MODULE in sys.modules
""".replace("MODULE", repr(MODULE)),
    "driver.py": """
import json, sys
import ray
from with_verl import Holder
from without_verl import Holder as Other
from verl.workers.rollout.a_server import Server
ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
server = ray.remote(Server).remote()
print(json.dumps(ray.get([ray.remote(kind).remote(server).ask.remote(2) for kind in (Holder, Other)])))
ray.shutdown()
""",
}
FILES["without_verl.py"] = FILES["with_verl.py"].replace("import verl\n", "")


@pytest.mark.slow
def test_a_handle_imports_nothing(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "driver.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "RAY_ADDRESS": ""},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    asked, bare = json.loads(done.stdout.splitlines()[-1])
    assert asked == [5, False]
    assert bare == [5, True], "Ray itself does not import the class any more: spark_verl.compat.ray_handles can go"
