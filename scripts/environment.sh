# Sourced by the other scripts; then `set_up_environment [EXTRA]` makes .venv once, with pinned versions, and sets
# $python. EXTRA names optional dependency groups of pyproject.toml, e.g. dev or dev,ray.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python

supported() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null; }

make_venv() {
  local candidate
  for candidate in python3 python3.12 python3.11 python3.10 python; do
    if supported "$candidate"; then
      echo "Setting up $root/.venv with $("$candidate" --version) (once, some minutes) ..." >&2
      "$candidate" -m venv "$root/.venv"
      return
    fi
  done
  echo "Python 3.10, 3.11 or 3.12 is needed; here is $(python3 --version 2>&1 || echo none)." >&2
  exit 1
}

# One set-up at a time: two that are started together would install into each other's half-made environment.
lock=$root/.venv.lock

take_lock() {
  local holder host pid told=
  until mkdir "$lock" 2>/dev/null; do
    holder=$(cat "$lock/holder" 2>/dev/null || true) # empty: it has just been taken
    read -r host pid <<<"$holder" || true
    if [ "$host" = "$(uname -n)" ] && ! kill -0 "$pid" 2>/dev/null; then
      rm -rf "$lock" # its process was killed
      continue
    fi
    if [ -z "$told" ]; then
      echo "Waiting for another set-up of $root/.venv (${holder:-just begun}; if it does not run, delete $lock) ..." >&2
      told=1
    fi
    sleep 1
  done
  trap 'rm -rf "$lock"' EXIT
  echo "$(uname -n) $$" >"$lock/holder"
}

release_lock() {
  rm -rf "$lock"
  trap - EXIT
}

set_up_environment() {
  local extra=${1:-} mark pip
  # What is installed is named by the files that say what to install: another pin, another name, a new installation.
  mark=$root/.venv/installed-${extra:-base}-$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum | tr ' ' '-')
  if [ -e "$mark" ]; then return; fi
  take_lock
  if [ ! -e "$mark" ]; then
    "$python" -m pip --version >/dev/null 2>&1 || make_venv
    pip=("$python" -m pip install --quiet --disable-pip-version-check -c "$root/constraints.txt")
    "${pip[@]}" torch # first and alone: nothing that follows can then choose another build of it
    "${pip[@]}" -e "$root${extra:+[$extra]}"
    touch "$mark"
  fi
  release_lock
}
