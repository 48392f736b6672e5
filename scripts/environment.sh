# Sourced by the other scripts: makes .venv once, with pinned versions, and sets $python.
# usage: source scripts/environment.sh [EXTRA]    EXTRA: an optional dependency group, e.g. dev

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
extra=${1:-}
python=$root/.venv/bin/python
# What is installed is named by the files that say what to install: another pin, another name, a new installation.
mark=$root/.venv/installed-${extra:-base}-$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum | tr ' ' '-')

supported() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null; }

if [ ! -e "$mark" ]; then
  if [ ! -x "$python" ]; then
    for candidate in python3.12 python3.11 python3.10 python3 python; do
      if supported "$candidate"; then found=$candidate; break; fi
    done
    if [ -z "${found:-}" ]; then
      echo "Python 3.10, 3.11 or 3.12 is needed; here is $(python3 --version 2>&1 || echo none)." >&2
      exit 1
    fi
    echo "Setting up $root/.venv with $("$found" --version) (once, some minutes) ..." >&2
    "$found" -m venv "$root/.venv"
  fi
  # torch first and alone: nothing that follows can then choose another build of it.
  "$python" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" torch
  "$python" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt" -e "$root${extra:+[$extra]}"
  touch "$mark"
fi
