#!/usr/bin/env bash
# Checks everything: lint, types, tests with branch coverage. Arguments go to pytest.
# usage: bash scripts/test.sh [pytest arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
set_up_environment dev
cd "$root"
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
exec "$python" -m pytest --cov --cov-report=term:skip-covered "$@"
