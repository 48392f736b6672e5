#!/usr/bin/env bash
# Resolve the dependencies again: write constraints.txt (versions, and who asks for them) and requirements/*.txt (with
# hashes). Needs uv. A version changes only where pyproject.toml or an option asks for it.
# usage: bash scripts/lock.sh [options of `uv pip compile`]    e.g. --upgrade-package ruff
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compile() { uv pip compile --quiet --universal --python-version 3.10 --no-python-downloads --no-header "$@"; }

# All extras in one resolution, so that they agree about every version. The comments at the top are written by hand.
comments=$(sed '/^[^#]/,$d' constraints.txt)
compile pyproject.toml --extra dev --extra ray --output-file constraints.txt "$@"
printf '%s\n%s\n' "$comments" "$(cat constraints.txt)" >constraints.txt

# Not in the files with hashes: torch and what it brings for a GPU, whose build depends on the machine and its index.
# environment.sh installs them with constraints.txt.
without=$(grep -oE '^(torch|triton|(nvidia|cuda)-[a-z0-9-]+)==' constraints.txt)
lock() {
  local file=requirements/$1.txt
  shift
  # shellcheck disable=SC2046
  compile --generate-hashes --no-annotate --constraints constraints.txt --output-file "$file" "$@" \
    $(sort -u <<<"$without" | sed 's/==.*//; s/^/--no-emit-package=/')
  printf '# Made by scripts/lock.sh; scripts/environment.sh installs it.\n%s\n' "$(cat "$file")" >"$file"
}
lock build requirements/build.in
lock base pyproject.toml
without+=$'\n'$(grep -oE '^[a-z0-9-]+==' requirements/base.txt) # an extra's file has only what the extra adds
lock dev pyproject.toml --extra dev
lock ray pyproject.toml --extra ray
