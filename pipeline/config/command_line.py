"""Parsing of the command line: options, and settings of the form key=value.

Options of Hydra are accepted if they make sense here; for the others the error says what to do instead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from pipeline.config.completion import SHELLS
from pipeline.config.overrides import known_keys
from pipeline.errors import ConfigError, nearest_first

# Options that print something and exit, with their possible values; () for those without a value.
_ACTIONS = {
    "--help": (),
    "--version": (),
    "--voices": (),
    "--cfg": ("job",),
    "--completion": SHELLS,
}
_ALIASES = {"-h": "--help", "help": "--help", "-c": "--cfg", "-p": "--package", "-sc": "--shell-completion"}
_WITH_VALUE = ("--cfg", "--completion", "--config", "--package", "--shell-completion")
_OWN_FILE = "config folders are not supported; give a file with your settings: --config my.yaml"
_REFUSED = {
    **dict.fromkeys(
        ("-m", "--multirun"),
        "one command makes one run; use a loop: for s in 1 2; do python -m pipeline seed=$s name=take-$s; done",
    ),
    **dict.fromkeys(("-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir"), _OWN_FILE),
    **dict.fromkeys(("-i", "--info"), "not supported; --cfg job prints the config, and --help lists the groups"),
    "--hydra-help": "not supported; use --help",
    "--experimental-rerun": "not supported; repeat the command to resume a run, or copy its settings: "
    "--config RUN/config.yaml",
    **dict.fromkeys(("-r", "--run"), "not needed, leave it out; run=FOLDER names an existing run"),
}


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """A parsed command line.

    Attributes:
        overrides: Settings, as key=value.
        config_files: Values of --config.
        action: Option that prints something, e.g. "--help"; "" to run the task.
        value: Value of the action.
        package: Group of settings that --cfg prints; "" for all.
    """

    overrides: tuple[str, ...] = ()
    config_files: tuple[str, ...] = ()
    action: str = ""
    value: str = ""
    package: str = ""


def parse_command_line(arguments: Sequence[str]) -> CommandLine:
    """Parse the arguments of a command.

    Raises:
        ConfigError: An option is unknown or not supported, its value is missing, or options exclude each other.
    """
    line, of_cfg = CommandLine(), ""
    for option, value in _split(arguments):
        if not option:
            line = dataclasses.replace(line, overrides=(*line.overrides, value))
        elif option == "--config":
            line = dataclasses.replace(line, config_files=(*line.config_files, value))
        elif option == "--package":
            line, of_cfg = dataclasses.replace(line, package=value), f"{option} {value}"
        elif option == "--resolve":
            of_cfg = of_cfg or option  # nothing to do: there are no interpolations to resolve
        elif line.action not in ("", option) and "--help" in (line.action, option):
            line = dataclasses.replace(line, action="--help")
        elif line.action not in ("", option):
            raise ConfigError(f"{option}: cannot be given together with {line.action}")
        else:
            line = dataclasses.replace(line, action=option, value=value)
    if of_cfg and line.action not in ("--cfg", "--help"):
        raise ConfigError(f"{of_cfg}: is only for --cfg job; give both, or leave it out")
    return line


def _split(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of option and value; a setting is the value of option ""."""
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
    if name == "--shell-completion":  # Hydra's name for it: --shell-completion install=bash
        name, value = "--completion", value.removeprefix("install=")
    if name not in (*_ACTIONS, *_WITH_VALUE, "--resolve"):
        raise _unknown_option(name, argument)
    if name in _WITH_VALUE and not value:
        raise ConfigError(f"{name}: needs a value: {name} {_example(name)}")
    if name not in _WITH_VALUE and value:
        raise ConfigError(f"{argument}: {name} takes no value")
    choices = _ACTIONS.get(name, ())
    if choices and value not in choices:
        raise ConfigError(f"{name} {value}: give {' or '.join(f'{name} {choice}' for choice in choices)}")
    return name, value


def _example(name: str) -> str:
    return {"--config": "my.yaml", "--package": "engine"}.get(name) or " or ".join(_ACTIONS[name])


def _unknown_option(name: str, argument: str) -> ConfigError:
    key = name.lstrip("-").replace("-", "_")
    if key in known_keys():
        value = argument.partition("=")[2] or "VALUE"
        return ConfigError(f"{argument}: settings have no dashes; give {key}={value}")
    near = ", ".join(nearest_first(name, [*_ACTIONS, "--config"], limit=8))
    return ConfigError(f"{argument}: no such option; there are {near}; settings have the form key=value")
