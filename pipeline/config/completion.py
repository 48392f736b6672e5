"""Shell completion of the console script `parler-pipeline`, for bash, zsh and fish.

The scripts contain all words, so that completion does not have to start Python.
"""

from __future__ import annotations

import shlex

from pipeline.config.overrides import GROUPS, group_options, known_keys

SHELLS = ("bash", "zsh", "fish")
_OPTIONS = ("--help", "--version", "--voices", "--cfg", "--completion", "--config")
_FILE_KEYS = ("input", "output_dir", "run", "left_out", "book.cover", "model.path", "experiment", "--config")

_BASH = """\
# To activate it, add this line to ~/.bashrc: eval "$(parler-pipeline --completion bash)"
_parler_pipeline() {{
  local IFS=$'\\n' word=${{COMP_LINE:0:COMP_POINT}} words={words} value
  word=${{word##* }} value=${{word#*=}}
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  if [[ $word =~ ^({files})= || ${{COMP_WORDS[COMP_CWORD-1]}} == --config ]]; then
    compopt -o filenames
    mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -f -- "$value")
  fi
  [[ ${{COMPREPLY-}} == *= ]] && compopt -o nospace
  # For readline, a new word begins after each = sign.
  if [[ $word == *=* ]]; then COMPREPLY=("${{COMPREPLY[@]#"${{word%%=*}}="}}"); fi
}}
complete -F _parler_pipeline parler-pipeline
"""
_ZSH = """\
# To activate it, add this line to ~/.zshrc: eval "$(parler-pipeline --completion zsh)"
_parler_pipeline() {{
  local -a words_=({words})
  compadd -S '' -- ${{(M)words_:#*=}}
  compadd -- ${{words_:#*=}}
  if [[ $PREFIX =~ '^({files})=' ]]; then compset -P '*='; _files; fi
  if [[ ${{words[CURRENT-1]}} == --config ]]; then _files; fi
}}
compdef _parler_pipeline parler-pipeline
"""
_FISH = """\
# To activate it, add this line to ~/.config/fish/config.fish: parler-pipeline --completion fish | source
complete -c parler-pipeline -a {words}
"""


def completion_script(shell: str) -> str:
    """Return the completion script of one of `SHELLS`, for `eval`."""
    words = _words()
    files = "|".join(_FILE_KEYS).replace(".", "\\.")
    if shell == "bash":
        return _BASH.format(words=shlex.quote("\n".join(words)), files=files)
    if shell == "zsh":
        return _ZSH.format(words=" ".join(map(shlex.quote, words)), files=files)
    return _FISH.format(words=shlex.quote(" ".join(words)))


def _words() -> list[str]:
    """Return all words to complete: options, keys with `=`, choices of groups, and values of Boolean keys."""
    choices = [f"{group}={option}" for group in GROUPS for option in group_options(group)]
    switches = [f"{key}={value}" for key, kind in known_keys().items() if kind is bool for value in ("true", "false")]
    keys = [f"{key}=" for key, kind in known_keys().items() if kind is not bool]
    return [*_OPTIONS, *choices, *switches, *keys]
