"""The options of the command line, beside settings of the form key=value.

Hydra's options either work or say what to do instead: people who know Hydra type them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from pipeline.config.completion import SHELLS
from pipeline.config.overrides import known_keys
from pipeline.errors import ConfigError, nearest_first

# Options that print something and end, with the values that they take; () for those without a value.
_ACTIONS = {
    "--help": (),
    "--version": (),
    "--voices": (),
    "--cfg": ("job",),
    "--completion": SHELLS,
}
_ALIASES = {"-h": "--help", "help": "--help", "-c": "--cfg", "-p": "--package", "-sc": "--shell-completion"}
_WITH_VALUE = ("--cfg", "--completion", "--config", "--package", "--shell-completion")
_OWN_FILE = "the groups are those that ship; give settings of your own with --config my.yaml"
_REFUSED = {
    **dict.fromkeys(
        ("-m", "--multirun"),
        "one command makes one run; loop in the shell: for s in 1 2; do parler-pipeline seed=$s name=take-$s; done",
    ),
    **dict.fromkeys(("-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir"), _OWN_FILE),
    **dict.fromkeys(("-i", "--info"), "--cfg job prints the composed config, and --help the groups"),
    "--hydra-help": "Hydra only composes the config here; --help shows what there is",
    "--experimental-rerun": "the same command again resumes a run; for a new one like it give --config RUN/config.yaml",
    **dict.fromkeys(("-r", "--run"), "leave it out: a run is what a command makes; run=FOLDER names one that exists"),
}


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """What was typed, apart."""

    overrides: tuple[str, ...] = ()  # key=value
    config_files: tuple[str, ...] = ()
    action: str = ""  # one of _ACTIONS; "": do what the overrides ask for
    value: str = ""  # of the action
    package: str = ""  # of --cfg: print this part only


def parse_command_line(arguments: Sequence[str]) -> CommandLine:
    """Tell options from overrides.

    Raises:
        ConfigError: There is no such option, it does nothing here, or its value is missing.
    """
    line = CommandLine()
    for option, value in _split(arguments):
        if not option:
            line = dataclasses.replace(line, overrides=(*line.overrides, value))
        elif option == "--config":
            line = dataclasses.replace(line, config_files=(*line.config_files, value))
        elif option == "--package":
            line = dataclasses.replace(line, package=value)
        elif option == "--resolve":
            continue  # of --cfg: there is never anything to resolve
        elif line.action not in ("", option) and "--help" in (line.action, option):
            line = dataclasses.replace(line, action="--help")
        elif line.action not in ("", option):
            raise ConfigError(f"{option}: cannot be given together with {line.action}")
        else:
            line = dataclasses.replace(line, action=option, value=value)
    if line.package and line.action != "--cfg":
        raise ConfigError(f"--package {line.package}: give --cfg job with it")
    return line


def _split(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each option with its value, and each override as the value of the option ""."""
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        name = _ALIASES.get(name, name)
        if not name.startswith("-"):
            yield "", argument
            continue
        if name in _WITH_VALUE and not equals:
            value = next(rest, "")
        yield _checked(name, value, argument)


def _checked(name: str, value: str, argument: str) -> tuple[str, str]:
    if name in _REFUSED:
        raise ConfigError(f"{name}: {_REFUSED[name]}")
    if name == "--shell-completion":  # Hydra's way to say it: install=bash
        name, value = "--completion", value.removeprefix("install=")
    if name not in (*_ACTIONS, *_WITH_VALUE, "--resolve"):
        raise _unknown_option(name, argument)
    if name in _WITH_VALUE and not value:
        raise ConfigError(f"{name}: needs a value; {name} {_example(name)}")
    if name not in _WITH_VALUE and value:
        raise ConfigError(f"{argument}: {name} takes no value")
    choices = _ACTIONS.get(name, ())
    if choices and value not in choices:
        other = "; Hydra only composes the config here" if name == "--cfg" else ""
        raise ConfigError(f"{name} {value}: give {' or '.join(f'{name} {choice}' for choice in choices)}{other}")
    return name, value


def _example(name: str) -> str:
    return {"--config": "my.yaml", "--package": "engine"}.get(name) or " or ".join(_ACTIONS[name])


def _unknown_option(name: str, argument: str) -> ConfigError:
    key = name.lstrip("-").replace("-", "_")
    if key in known_keys():
        value = argument.partition("=")[2] or "VALUE"
        return ConfigError(f"{argument}: settings are written without dashes: {key}={value}")
    near = ", ".join(nearest_first(name, [*_ACTIONS, "--config"], limit=8))
    return ConfigError(f"{argument}: there is no such option; there are {near}, and settings as key=value")
