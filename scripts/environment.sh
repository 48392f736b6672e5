#!/usr/bin/env bash
# Make .venv once, with the pinned versions, and set $python to its interpreter. Sourced by the other scripts, which call
# `set_up_environment [dev] [ray]` with the extras of pyproject.toml that they need. Uses uv where it is installed.
# usage: bash scripts/environment.sh [--no-hashes] [dev] [ray]
#   --no-hashes  trust the index: install the pinned versions without comparing the files with requirements/*.txt

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
lock=$root/.venv-lock

is_supported() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; }
has_uv() { command -v uv >/dev/null; }

# Print a supported Python: that of .venv, one on the PATH, or one that uv knows or fetches.
find_python() {
  local candidate
  for candidate in "$python" python3 python3.13 python3.12 python3.11 python3.10 python; do
    if is_supported "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  if has_uv; then
    uv python find --quiet '>=3.10,<3.14' && return
    uv python install --quiet 3.12 >&2 && uv python find 3.12 && return
  fi
  echo "Python 3.10, 3.11, 3.12 or 3.13 is needed; here is $(python3 --version 2>&1 || echo none)." \
    "Install one of them, or uv (https://docs.astral.sh/uv), which fetches it." >&2
  return 1
}

# Let one set-up work at a time: two would install into each other's unfinished environment. The kernel holds the lock for
# descriptor 9 of this shell and drops it when the shell and what it started have ended, however they end. Python takes it
# because not every system has flock(1).
take_lock() {
  exec 9>>"$lock"
  "$1" - "$lock" <<'PYTHON'
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print(f"Waiting for another set-up ({open(sys.argv[1]).read().strip()}) ...", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError as error:
    print(f"No lock can be had here ({error}): start no other set-up until this one is done.", file=sys.stderr)
PYTHON
  echo "process $$ on $(uname -n)" >"$lock"
}

is_usable() { is_supported "$python" && (has_uv || "$python" -m pip --version >/dev/null 2>&1); }

make_venv() {
  echo "Setting up $root/.venv with $("$1" --version) (once, some minutes) ..." >&2
  if has_uv; then uv venv --quiet --allow-existing --python "$1" "$root/.venv"; else "$1" -m venv "$root/.venv"; fi
}

install() {
  if has_uv; then
    uv pip install --quiet --python "$python" "$@"
  else
    "$python" -m pip install --quiet --disable-pip-version-check "$@"
  fi
}

# The order matters: first what builds the packages that have no wheel; torch last, when all that it needs has been
# compared with its hash. torch itself has no hash, since each index has another build of it.
install_with_hashes() {
  local name
  for name in build base "$@"; do
    install --no-deps --no-build-isolation --require-hashes -r "$root/requirements/$name.txt" || {
      echo "The installation of requirements/$name.txt failed. If a hash is missing or does not match, your index has" \
        "other files than PyPI; to trust them: bash scripts/environment.sh --no-hashes $*" >&2
      return 1
    }
  done
  install -c "$root/constraints.txt" torch
  install --no-deps --no-build-isolation -e "$root"
}

install_without_hashes() {
  local extras
  extras=$(IFS=,; echo "$*")
  install -c "$root/constraints.txt" -r "$root/requirements/build.in"
  install -c "$root/constraints.txt" torch # alone: what follows cannot then choose another build of it
  install -c "$root/constraints.txt" --no-build-isolation -e "$root${extras:+[$extras]}"
}

set_up_environment() {
  local how=install_with_hashes mark found
  if [ "${1:-}" = --no-hashes ]; then
    how=install_without_hashes
    shift
  fi
  # What is installed is named by the files that say what to install: another pin, another name, a new installation.
  mark=$root/.venv/installed-$(IFS=-; echo "${*:-base}")-$(
    cat "$root/pyproject.toml" "$root/constraints.txt" "$root"/requirements/* | cksum | tr ' ' '-'
  )
  if [ -e "$mark" ]; then return; fi
  found=$(find_python)
  take_lock "$found"
  if [ ! -e "$mark" ]; then
    is_usable || make_venv "$found"
    "$how" "$@"
    touch "$mark"
  fi
  exec 9>&-
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  set -euo pipefail
  set_up_environment "$@"
  echo "$python"
fi
