#!/usr/bin/env bash
# Checks everything: lint, types, tests. Arguments go to pytest: `--cov` adds branch coverage.
# usage: bash scripts/test.sh [pytest arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
set_up_environment dev ray
cd "$root"
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
# A test computes on one thread; a file's tests share what they have made, so one process runs them all.
exec "$python" -m pytest -n auto --maxprocesses 4 --dist loadfile "$@"
