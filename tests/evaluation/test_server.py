"""Starting and stopping a server, with a small program in vLLM's place."""

from __future__ import annotations

import subprocess
import sys
import time

import forked
import psutil
import pytest

from spark_verl.evaluation.server import Server, ServerError

HEALTHY = """
import subprocess, sys, signal
from http.server import BaseHTTPRequestHandler, HTTPServer
{before}
subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
"""


class Fake(Server):
    """Runs a program instead of vLLM."""

    program = HEALTHY
    before = ""

    def command(self, port: int) -> list[str]:
        return [sys.executable, "-c", self.program.format(port=port, before=self.before)]


class Stubborn(Fake):
    before = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


class Dying(Fake):
    program = "import sys; sys.exit('the folder is broken')"


class Silent(Fake):
    program = "import time; time.sleep(600)"


@pytest.mark.parametrize("kind", [Fake, Stubborn])
def test_it_is_stopped_with_its_children(tmp_path, kind):
    server = kind("m", log=tmp_path / "server.log", device="cpu")
    with pytest.raises(KeyError), server:
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert len(family) == 1
        members = [psutil.Process(server.process.pid), *family]
        original, server.stop = server.stop, lambda: original(patience_s=1.0)
        raise KeyError
    assert not psutil.wait_procs(members, timeout=5)[1]


def test_it_is_served_as_the_script_serves_it(tmp_path):
    server = Server("m", log=tmp_path / "server.log", device="cpu", gpus=2, arguments=["--max-model-len", "9"])
    assert server.command(7)[1:] == [
        "-m", "spark_verl.evaluation.vllm_serve", "--device", "cpu", "--gpus", "2", "m", "--host", "127.0.0.1",
        "--port", "7", "--served-model-name", "spark", "--max-model-len", "9",
    ]  # fmt: skip


@pytest.mark.slow  # vLLM takes half a minute until it looks at its options
def test_what_vllm_refuses_is_one_line(model, monkeypatch):
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    for name, value in forked.environment().items():
        monkeypatch.setenv(name, value)
    command = [forked.python(), "-m", "spark_verl.evaluation.vllm_serve", "--device", "cpu", str(model)]
    done = subprocess.run([*command, "--max-model-len", "1000000"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "max_model_len (1000000) is greater than" in done.stderr.splitlines()[-1]


def test_a_server_that_dies_shows_the_end_of_its_log(tmp_path):
    with pytest.raises(ServerError, match="(?s)exit code 1.*the folder is broken"):
        Dying("m", log=tmp_path / "server.log").__enter__()


def test_a_server_that_is_never_ready(tmp_path):
    server = Silent("m", log=tmp_path / "server.log", timeout_s=0.5)
    with pytest.raises(ServerError, match="--server_timeout"):
        server.__enter__()
    assert server.process is None


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
def test_it_ends_with_the_program_that_started_it(tmp_path):
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from spark_verl.evaluation.server import Server\n"
        f"Server.command = lambda self, port: [sys.executable, '-c', {HEALTHY!r}.format(port=port, before='')]\n"
        f"server = Server('m', log=Path({str(tmp_path / 'log')!r})).__enter__()\n"
        "print(server.process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    pid = int(starter.stdout.readline())
    left = psutil.Process(pid).children()
    starter.kill()
    starter.wait()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for child in left:  # vLLM's own children watch their parent; this stand-in does not
        child.kill()
