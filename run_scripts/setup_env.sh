# Sourced by the scripts next to it: makes (or finds) the Python environment and puts it first in PATH.
#
#   source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
#
# It needs Python 3.10-3.12 with venv, and a package index (or a warm cache). It creates .venv in the checkout, installs
# uv, the lock and this package into it, and does nothing when none of these has changed.
#
#   SPARK_PYTHON=/path/to/python        use this environment as it is; nothing is created or installed
#   SPARK_BASE_PYTHON=/path/to/python   create .venv from this interpreter
#
# Afterwards: SPARK_ROOT is the checkout, SPARK_PYTHON the interpreter to call.

SPARK_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

_spark_say() { printf '[setup] %s\n' "$*" >&2; }
_spark_fail() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }

# Prints major.minor of an interpreter, or nothing.
_spark_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

# Prints the first usable interpreter; fails with the reason if there is none.
_spark_find_python() {
    local candidate version seen=""
    for candidate in ${SPARK_BASE_PYTHON:-python3 python3.12 python3.11 python3.10 python}; do
        version="$(_spark_version "$candidate")"
        case "$version" in
            3.10 | 3.11 | 3.12)
                if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
                    command -v "$candidate"
                    return
                fi
                seen+=" $candidate ($version, but without venv: install python$version-venv)"
                ;;
            "") ;;
            *) seen+=" $candidate ($version)" ;;
        esac
    done
    _spark_fail "needs Python 3.10, 3.11 or 3.12 with venv; found${seen:- none}. Install one, or name it in SPARK_BASE_PYTHON"
}

# Prints a digest of everything that decides what is installed.
_spark_fingerprint() {
    {
        echo "$SPARK_ROOT"
        cat "$SPARK_ROOT/requirements/cpu.lock" "$SPARK_ROOT/setup.py" "$SPARK_ROOT/pyproject.toml" \
            "$SPARK_ROOT/run_scripts/setup_env.sh"
    } | cksum
}

_spark_install() {
    local venv="$1" stamp="$2" building="$1/.spark_building" base
    if [[ -e "$venv" && -e "$building" ]]; then
        _spark_say "an earlier set-up was interrupted: starting over"
        rm -rf "$venv"
    elif [[ -e "$venv" && ! -x "$venv/bin/python" ]] || { [[ -e "$stamp" ]] && ! "$venv/bin/python" -c '' 2>/dev/null; }; then
        [[ -e "$stamp" ]] || _spark_fail "$venv exists but is no environment: move it away"
        _spark_say "the interpreter of $venv is gone: starting over"
        rm -rf "$venv"
    elif [[ -e "$stamp" && "$(head -n 1 "$stamp")" != "$SPARK_ROOT" ]]; then
        _spark_say "the checkout has moved: starting over"
        rm -rf "$venv"
    fi
    command -v "${CC:-cc}" >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
        _spark_say "note: no C compiler found; it is needed only if a package has no wheel for this machine"
    if [[ ! -e "$venv" ]]; then
        base="$(_spark_find_python)" || exit 1
        _spark_say "1/4 creating .venv with $base (Python $(_spark_version "$base"))"
        mkdir -p "$venv" && touch "$building"
        "$base" -m venv "$venv" || _spark_fail "$base could not create $venv"
    fi
    touch "$building"
    rm -f "$stamp"

    case "$(_spark_version "$venv/bin/python")" in
        3.10 | 3.11 | 3.12) ;;
        *) _spark_fail "$venv has Python $(_spark_version "$venv/bin/python"), needs 3.10 to 3.12: move it away" ;;
    esac
    _spark_say "2/4 installing uv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.8,<1' ||
        _spark_fail "pip could not install uv: is there a package index?"
    _spark_say "3/4 installing the locked packages (about 7 GB on disk; minutes on a first download)"
    # The lock is complete, so nothing is resolved. What is imported gets compiled then, once: compiling all 30,000 files
    # here would take most of the set-up.
    UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-300}" "$venv/bin/uv" pip install --python "$venv/bin/python" --no-deps \
        -r "$SPARK_ROOT/requirements/cpu.lock" ||
        _spark_fail "uv could not install requirements/cpu.lock (see above); run the script again to go on"
    _spark_say "4/4 installing spark_verl (editable)"
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation -e "$SPARK_ROOT" ||
        _spark_fail "uv could not install this package"
    { echo "$SPARK_ROOT"; _spark_fingerprint; } >"$stamp.new" && mv "$stamp.new" "$stamp"
    rm -f "$building"
    _spark_say "ready: $venv"
}

_spark_setup() {
    local venv="$SPARK_ROOT/.venv" stamp="$SPARK_ROOT/.venv/.spark_stamp"
    _spark_is_current() {
        [[ -e "$stamp" && "$(cat "$stamp")" == "$SPARK_ROOT"$'\n'"$(_spark_fingerprint)" ]] && "$venv/bin/python" -c ''
    }
    if ! _spark_is_current 2>/dev/null; then
        # Two scripts started together must not build the same environment; the folder itself is the lock.
        exec 9<"$SPARK_ROOT/run_scripts"
        if command -v flock >/dev/null && ! flock -n 9; then
            _spark_say "another script is setting up .venv: waiting for it"
            flock 9
        fi
        _spark_is_current 2>/dev/null || _spark_install "$venv" "$stamp"
        exec 9<&-
    fi
    SPARK_PYTHON="$venv/bin/python"
    export VIRTUAL_ENV="$venv" PATH="$venv/bin:$PATH"
    if [[ -n "${PYTHONDONTWRITEBYTECODE:-}" ]]; then
        # Each of a run's ten processes would compile the same few thousand modules, on every run. The checkout stays
        # clean this way, too: what is compiled goes into the environment.
        unset PYTHONDONTWRITEBYTECODE
        export PYTHONPYCACHEPREFIX="$venv/pycache"
    fi
}

if [[ -n "${SPARK_PYTHON:-}" ]]; then
    [[ -n "$(_spark_version "$SPARK_PYTHON")" ]] || _spark_fail "SPARK_PYTHON=$SPARK_PYTHON is not a Python interpreter"
else
    _spark_setup
fi
export SPARK_ROOT SPARK_PYTHON

# OpenMP threads that wait for each other spin for 10 ms by default. On two cores with anything running beside, each waits
# for the other's turn, and everything takes four times as long; spinning for microseconds and then sleeping costs nothing
# when the machine is idle.
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-1000}
