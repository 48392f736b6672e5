#!/usr/bin/env bash
# Renders: sets up the environment if needed, then runs `python -m pipeline` with the given overrides.
# usage: bash scripts/run.sh [key=value ...]    e.g. bash scripts/run.sh input=book.txt model=mini voice=jon
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
set_up_environment
exec "$python" -m pipeline "$@"
