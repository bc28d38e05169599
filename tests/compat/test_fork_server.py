"""Programs that are forked from a server: like those of an interpreter of their own, as seen from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spark_verl.compat import fork_server, forking

# Something that a bare interpreter has not imported.
IMPORTED = "wave"
FORKED = f"import sys; assert {IMPORTED!r} in sys.modules; "


@pytest.fixture(scope="module")
def variables() -> Iterator[dict[str, str]]:
    """A server's, which ends with the program that began it."""
    code = (
        "from spark_verl.compat import forking; import json, sys;"
        f"print(json.dumps(forking.start(({IMPORTED!r},))), flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as beginner:
        found = json.loads(beginner.stdout.readline())
        yield found
        beginner.stdin.close()
    wait_for(lambda: not Path(found[fork_server.LAUNCHER]).exists())
    assert not Path(found[fork_server.ADDRESS]).parent.exists()


def wait_for(condition) -> None:
    """Until it holds; a test that hangs is ended by its limit."""
    while not condition():
        time.sleep(0.01)


def start(variables: dict[str, str], *argv: str, **options) -> subprocess.Popen:
    """A program by the executable."""
    options.setdefault("env", os.environ | variables)
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.Popen([variables[fork_server.LAUNCHER], *argv], text=True, **options)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("sys.exit(5)", 5),
        ("sys.exit('a message')", 1),
        ("raise ValueError", 1),
        ("import os; os._exit(7)", 7),
        ("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import os; os.abort()", -signal.SIGABRT),
    ],
)
def test_it_ends_as_its_program_does(variables: dict[str, str], code: str, expected: int) -> None:
    assert start(variables, "-c", FORKED + code, stderr=subprocess.DEVNULL).wait() == expected


def test_a_program_gets_arguments_folder_environment_and_input(variables: dict[str, str], tmp_path: Path) -> None:
    code = FORKED + "import os; print(sys.argv, os.getcwd(), os.environ['WORD'], sys.stdin.read(), __name__)"
    environment = os.environ | variables | {"WORD": "an ä"}
    program = start(variables, "-c", code, "-x", "a b", cwd=tmp_path, env=environment, stdin=subprocess.PIPE)
    output, _ = program.communicate("said")
    assert output == f"['-c', '-x', 'a b'] {tmp_path} an ä said __main__\n"


def test_a_program_can_name_itself(variables: dict[str, str]) -> None:
    """Ray's processes and vLLM's do, each with a library of its own."""
    code = FORKED + (
        "import setproctitle, psutil;"
        "setproctitle.setproctitle('VLLM::EngineCore'); print(psutil.Process().cmdline()[0])"
    )
    environment = {name: "changed" for name in os.environ if name != "PATH"} | {"MORE": "x" * 9000} | variables
    output, _ = start(variables, "-c", code, env=environment).communicate()
    assert output == "VLLM::EngineCore\n"


def test_a_file_is_run_as_a_program(variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("VALUE = 3")
    file = tmp_path / "program.py"
    file.write_text(FORKED + "import beside; print(sys.argv[1:], __name__, __file__, beside.VALUE)")
    # As Ray has it, options of the interpreter come first.
    output, _ = start(variables, "-u", "-X", "dev", str(file), "--flag").communicate()
    assert output == f"['--flag'] __main__ {file} 3\n"


def test_a_module_is_run_as_a_program(variables: dict[str, str], tmp_path: Path) -> None:
    """One of the folder where it is started, which imports from a folder that the server was not told of."""
    (tmp_path / "beside.py").write_text("VALUE = 3")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "program.py").write_text(
        FORKED + "import beside; print(sys.argv, __name__, __spec__.name, beside.VALUE)"
    )
    environment = os.environ | variables | {"PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{tmp_path}"}
    program = start(variables, "-m", "program", "-m", "x", cwd=tmp_path / "own", env=environment)
    assert program.communicate()[0] == f"{[f'{tmp_path}/own/program.py', '-m', 'x']} __main__ program 3\n"


def test_open_files_keep_their_numbers(variables: dict[str, str]) -> None:
    ours, theirs = os.pipe()
    high = os.dup(theirs)
    code = FORKED + f"import os; os.write({theirs}, b'one'); os.write({high}, b'two')"
    program = start(variables, "-c", code, pass_fds=[theirs, high])
    os.close(theirs)
    os.close(high)
    # Nothing but the program holds the other end, so this ends.
    with open(ours, "rb") as file:
        assert file.read() == b"onetwo"
    assert program.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_program(variables: dict[str, str], number: int) -> None:
    code = (
        FORKED + "import signal, time;"
        f"signal.signal({number:d}, lambda *_: sys.exit(3)); print('ready', flush=True); time.sleep(600)"
    )
    program = start(variables, "-c", code)
    assert program.stdout.readline() == "ready\n"
    program.send_signal(number)
    assert program.wait() == 3


def test_when_the_executable_is_killed_its_program_is(variables: dict[str, str]) -> None:
    program = start(variables, "-c", FORKED + "import time; print('ready', flush=True); time.sleep(600)")
    assert program.stdout.readline() == "ready\n"
    program.kill()
    # The program held it open.
    assert program.stdout.read() == ""


def test_a_process_group_is_the_programs_own(variables: dict[str, str]) -> None:
    code = FORKED + "import os; os.killpg(0, 9)"
    assert start(variables, "-c", code).wait() == -signal.SIGKILL
    assert start(variables, "-c", FORKED).wait() == 0


def test_what_a_program_spawns_is_forked(variables: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(
        "import multiprocessing, os, sys\n"
        "def work(queue):\n"
        f"    queue.put(({IMPORTED!r} in sys.modules, os.getppid()))\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    queue = context.Queue()\n"
        "    process = context.Process(target=work, args=(queue,))\n"
        "    process.start()\n"
        "    forked, parent = queue.get()\n"
        "    process.join()\n"
        "    print(forked, parent == os.getppid(), process.exitcode)\n"
    )
    output, _ = start(variables, str(file)).communicate()
    assert output == "True True 0\n"


def test_programs_draw_different_numbers(variables: dict[str, str]) -> None:
    code = FORKED + "import random; print(random.random())"
    programs = [start(variables, "-c", code) for _ in range(20)]
    assert len({program.communicate()[0] for program in programs}) == 20


def test_nonsense_does_not_end_the_server(variables: dict[str, str]) -> None:
    for said in (b"", b"\0\0", b"\0\0\0\x09{"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(variables[fork_server.ADDRESS])
            connection.sendall(said)
    assert start(variables, "-c", FORKED).wait() == 0


def test_who_waits_for_the_imports_does_not_end_the_server(variables: dict[str, str]) -> None:
    forking.wait(variables[fork_server.ADDRESS])
    assert start(variables, "-c", FORKED).wait() == 0


def test_the_server_that_the_environment_names_is_used(variables: dict[str, str], monkeypatch) -> None:
    assert forking.python() == sys.executable
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert forking.start() == variables and forking.python() == variables[fork_server.LAUNCHER]
    monkeypatch.setenv(fork_server.ADDRESS, "/nowhere")
    assert not forking.named() and forking.python() == sys.executable


def test_settings_are_for_what_is_imported(tmp_path: Path) -> None:
    (tmp_path / "reads.py").write_text("import os; VALUE = os.environ.get('SETTING')")
    code = (
        "from spark_verl.compat import forking; import os, subprocess;"
        "variables = forking.start(('reads',), {'SETTING': 'early'});"
        "code = 'import os, reads; print(reads.VALUE, os.environ.get(\"SETTING\"))';"
        "subprocess.call([variables['SPARK_FORK_LAUNCHER'], '-c', code], env=os.environ | variables)"
    )
    environment = os.environ | {"PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{tmp_path}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "early None\n", done.stderr


def test_a_program_has_its_own_number_of_threads() -> None:
    code = (
        "from spark_verl.compat import forking; import os, subprocess;"
        "variables = forking.start(('torch',), {'OMP_NUM_THREADS': '2'});"
        "run = lambda threads: subprocess.call("
        "[variables['SPARK_FORK_LAUNCHER'], '-c', 'import torch; print(torch.get_num_threads())'],"
        " env=os.environ | variables | {'OMP_NUM_THREADS': threads});"
        "[run(threads) for threads in ('1', '2', '5')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["1", "2", "5"], done.stderr


@pytest.mark.parametrize("module", ["wave", "no_such_module"])
def test_without_a_server_it_is_an_interpreter(module: str) -> None:
    """Nor where a module cannot be imported."""
    code = (
        "from spark_verl.compat import forking; import os, subprocess, sys;"
        f"variables = forking.start(({module!r},));"
        "variables |= {'SPARK_FORK_SERVER': '/nowhere'} if 'wave' in sys.argv else {};"
        "sys.exit(subprocess.call([variables['SPARK_FORK_LAUNCHER'], '-c', 'import sys; sys.exit(4)'],"
        " env=os.environ | variables))"
    )
    assert subprocess.call([sys.executable, "-c", code, module]) == 4


@pytest.mark.slow
def test_the_modules_leave_ray_to_the_programs() -> None:
    """And start no thread that a fork would lose: those of BLAS and of jemalloc are restarted."""
    code = (
        "import importlib, sys, threading;"
        f"[importlib.import_module(module) for module in {forking.MODULES!r}];"
        "assert 'ray' not in sys.modules; assert threading.active_count() == 1; print('well')"
    )
    environment = os.environ | {"VERL_PLATFORM": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.endswith("well\n"), done.stderr
