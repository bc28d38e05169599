"""Python programs that begin with everything imported: forked from a process that has done it once.

A run on CPUs has about ten Python processes (Ray's workers, vLLM's engine), and each would spend most of its start-up
on the same imports. A server (:func:`spark_verl.compat.forking.start`) imports once, and each process is forked from
it, with the pages of what was imported shared.

Neither Ray nor vLLM knows. They start an *executable* with arguments (Ray's ``runtime_env["py_executable"]``,
``multiprocessing.set_executable``), and here that is this file. It hands its arguments, environment, working directory
and open files to the server, and stands for the process that is forked with them: it passes signals on, ends with the
same exit code, and when it is killed the process is, too. Where there is no server, it becomes a plain interpreter.

Only what every interpreter has at hand is imported at module level: an executable begins within some 20 ms.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys

ADDRESS = "SPARK_FORK_SERVER"
"""Environment variable: the path of the server's socket."""
LAUNCHER = "SPARK_FORK_LAUNCHER"
"""Environment variable: the path of the executable."""
SERVE = "--serve"

_FILES_AT_MOST = 250
"""Linux hands on at most 253 at once."""
_OWN_FILE, _RECEIVED_FILE = 500, 600
"""Lowest numbers of the server's own files, and of those received: a program's have the lowest of all."""
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def inherited() -> list[int]:
    """The numbers of the open files that a program started from here would get."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        # One of them was the folder itself.
        with contextlib.suppress(OSError):
            if os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def send(connection: socket.socket, request: dict, files: list[int]) -> None:
    """Send a request and the open files with these numbers."""
    text = json.dumps(request).encode()
    numbers = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))
    connection.sendmsg([len(text).to_bytes(4, "big")], [numbers])
    connection.sendall(text)


def receive(connection: socket.socket) -> tuple[dict, list[int]]:
    """A request and its files, in the order sent, with the numbers that they have here.

    Raises:
        ConnectionError: The connection ended before the request did.
    """
    files = array.array("i")
    room = socket.CMSG_SPACE(_FILES_AT_MOST * files.itemsize)
    head, ancillary, _, _ = connection.recvmsg(4, room, socket.MSG_WAITALL)
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:
            files.frombytes(data)
    length = int.from_bytes(head, "big")
    text = b""
    while len(text) < length and (part := connection.recv(length - len(text))):
        text += part
    if not text or len(text) < length:
        for file in files:
            os.close(file)
        raise ConnectionError("a request was cut off")
    return json.loads(text), list(files)


def launch(argv: list[str]) -> int:
    """Have the server run a program, and stand for it until it ends.

    Args:
        argv: What a Python interpreter is given.

    Returns:
        The program's exit code. Where a signal ended it, the same signal ends this process.
    """
    files = inherited()
    request = {"argv": argv, "env": dict(os.environ), "cwd": os.getcwd(), "files": files}
    with socket.socket(socket.AF_UNIX) as server:
        pid = 0
        with contextlib.suppress(OSError, KeyError):
            server.connect(os.environ[ADDRESS])
            send(server, request, files)
            pid = int.from_bytes(server.recv(4, socket.MSG_WAITALL), "big")
        if not pid:
            os.execv(sys.executable, [sys.executable, *argv])
        for number in _PASSED_ON:
            signal.signal(number, lambda number, _: os.kill(pid, number))
        # Whoever waits for the end of a pipe waits for the program, not for this process.
        nothing = os.open(os.devnull, os.O_RDWR)
        for file in files:
            os.dup2(nothing, file)
        answer = server.recv(4, socket.MSG_WAITALL)
    code = int.from_bytes(answer, "big", signed=True) if answer else 1
    if code < 0:
        with contextlib.suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


class Server:
    """Forks for each request, and tells each executable how its program ended.

    It has one thread, so that nothing is lost in the fork but what libraries see to themselves.

    Args:
        listener: Where requests come in.
        lifeline: Number of a file whose other end is closed when the server is to end.
    """

    def __init__(self, listener: socket.socket, lifeline: int) -> None:
        self.listener, self.lifeline = listener, lifeline
        self.programs: dict[int, socket.socket] = {}
        """Process id → the executable that stands for it."""
        self._ended, self._wake_up = (fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _OWN_FILE) for file in os.pipe())
        for file in (self._ended, self._wake_up):
            os.set_blocking(file, False)

    def serve(self) -> list[str] | None:
        """Fork until the lifeline is cut.

        Returns:
            None in the server; in each process that was forked, what an interpreter is given.
        """
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_up)
        while True:
            executables = {connection.fileno(): pid for pid, connection in self.programs.items()}
            poll = select.poll()
            for file in (self.listener.fileno(), self.lifeline, self._ended, *executables):
                poll.register(file, select.POLLIN)
            ready = {file for file, _ in poll.poll()}
            if self.lifeline in ready:
                return None
            if self._ended in ready:
                os.read(self._ended, 1024)
                self._reap()
            for file in ready & executables.keys():
                # It never says anything more, so it was killed.
                if executables[file] in self.programs:
                    os.kill(executables[file], signal.SIGKILL)
                    self.programs.pop(executables[file]).close()
            if self.listener.fileno() in ready and (argv := self._accept()):
                return argv

    def _reap(self) -> None:
        """Tell how the programs ended that have."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if (connection := self.programs.pop(pid, None)) is not None:
                    with connection, contextlib.suppress(OSError):
                        connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))

    def _accept(self) -> list[str] | None:
        """Fork for the next request: its arguments in the forked process, None in the server."""
        connection, _ = self.listener.accept()
        try:
            request, files = receive(connection)
        except OSError:
            connection.close()
            return None
        pid = os.fork()
        if pid == 0:
            connection.close()
            self._become(request, files)
            return request["argv"]
        for file in files:
            os.close(file)
        self.programs[pid] = connection
        with contextlib.suppress(OSError):
            connection.sendall(pid.to_bytes(4, "big"))
        return None

    def _become(self, request: dict, files: list[int]) -> None:
        """Turn this forked process into what the executable was."""
        # Ray ends a worker together with its process group.
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (*_PASSED_ON, signal.SIGCHLD):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        for connection in (self.listener, *self.programs.values()):
            connection.close()
        for file in (self.lifeline, self._ended, self._wake_up):
            os.close(file)
        apart = []
        for file in files:
            apart.append(fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _RECEIVED_FILE))
            os.close(file)
        for file, number in zip(apart, request["files"], strict=True):
            os.dup2(file, number, inheritable=True)
            os.close(file)
        # What is the same stays where it is: titles of processes are written beside the first of the variables, and
        # setproctitle looks for that place when it is first used.
        for name in os.environ.keys() - request["env"].keys():
            del os.environ[name]
        for name, value in request["env"].items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        os.chdir(request["cwd"])


def run(argv: list[str]) -> None:
    """Run a program as a new interpreter with these arguments would: a file, ``-m`` and its module, ``-c`` and code."""
    import multiprocessing
    import random
    import runpy
    from types import ModuleType

    # What this process spawns is forked, too.
    multiprocessing.set_executable(os.environ[LAUNCHER])
    # Copies of one state would draw the same ports and names.
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if "torch" in sys.modules and threads.isdigit() and int(threads) != sys.modules["torch"].get_num_threads():
        # It was read when torch was imported.
        sys.modules["torch"].set_num_threads(int(threads))
    while argv[0].startswith("-") and argv[0] not in ("-c", "-m"):
        # The server was started with the same options.
        argv = argv[2 if argv[0] in ("-X", "-W") else 1 :]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = {"-c": "", "-m": os.getcwd()}.get(argv[0], os.path.dirname(argv[0]))
    # It may have been started with other folders to import from.
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [folder for folder in folders if folder and folder not in sys.path]
    if argv[0] == "-c":
        sys.argv = ["-c", *argv[2:]]
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(argv[1], "<string>", "exec"), sys.modules["__main__"].__dict__)
    elif argv[0] == "-m":
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv
        runpy.run_path(argv[0], run_name="__main__")


def main(listening: int, lifeline: int, modules: list[str]) -> None:
    """The server's process: import, fork, and clear up in the end.

    Args:
        listening: Number of the socket where requests come in.
        lifeline: Number of the file whose other end is closed when the server is to end.
        modules: What is imported.
    """
    import gc
    import importlib
    import shutil

    listener = socket.socket(fileno=fcntl.fcntl(listening, fcntl.F_DUPFD_CLOEXEC, _OWN_FILE))
    os.close(listening)
    if not getattr(sys.flags, "safe_path", False):
        # This file's neighbours are no modules of their own.
        sys.path[0] = ""
    try:
        for module in modules:
            importlib.import_module(module)
        gc.collect()
        # A collection would write to, and so copy, the pages of all that is shared.
        gc.freeze()
        argv = Server(listener, lifeline).serve()
    except BaseException:
        # Executables do without.
        listener.close()
        raise
    if argv is None:
        shutil.rmtree(os.path.dirname(listener.getsockname()), ignore_errors=True)
    else:
        run(argv)


if __name__ == "__main__":
    if sys.argv[1:2] == [SERVE]:
        main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    else:
        sys.exit(launch(sys.argv[1:]))
