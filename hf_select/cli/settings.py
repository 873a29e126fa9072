"""Defaults that aren't typed: a YAML file (`--config`) and `HF_SELECT_<COMMAND>_<OPTION>`.

    results: demo            # of every command that has such an option
    select:
      budget: 30m
      exclude: [a/model, b/model]
    crawl:
      models:
        max-params: 200M

The command line wins over the environment, that over the file, and a section over what stands
above all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from hf_select.errors import InputError

PREFIX = "HF_SELECT"
FILE = "HF_SELECT_CONFIG"
"""The variable that names the file."""
NOT_IN_A_FILE = ("config", "help")
ABSENT = ("", "~", "null")
"""What YAML has for nothing: as if the key weren't there."""


def key_of(option: click.Option) -> str:
    """An option's name in a file, which is that of its flag.

    >>> key_of(click.Option(["--max-params", "-m", "most"]))
    'max_params'
    """
    flags = [flag for flag in option.opts if flag.startswith("--")]
    return max(flags or option.opts, key=len).lstrip("-").replace("-", "_")


def options_of(command: click.Command) -> dict[str, click.Option]:
    """Name in a file -> option, of those that a file can set."""
    found = {key_of(p): p for p in command.params if isinstance(p, click.Option)}
    return {key: option for key, option in found.items() if key not in NOT_IN_A_FILE}


def name_variables(command: click.Command, prefix: str) -> None:
    """Give every option of a command its variable: the prefix and the name of its flag."""
    for key, option in options_of(command).items():
        option.envvar = option.envvar or f"{prefix}_{key.upper()}"


def variables(group: click.Group) -> dict[str, click.Option]:
    """Every variable that is read, with its option."""
    found = {}
    for _, command in commands_of(group):
        for option in options_of(command).values():
            found[str(option.envvar)] = option
    return found


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """The variable that was probably meant, in words; "" if none is near."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else "`hf-select COMMAND --help` lists its options"


def commands_of(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, by its path; this imports them all."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from commands_of(command, (*path, name))
        elif command is not None:
            yield (*path, name), command


def read_file(path: str | Path, group: click.Group) -> dict[str, Any]:
    """The defaults of every command, as click's `default_map` wants them.

    Raises `InputError`: no such file, no YAML, a key that no option has, a value of a wrong kind.
    """
    found = _parse(Path(path))
    known = dict(commands_of(group))
    sections = {name: found.pop(name) for name in list(found) if _is_section(name, group)}
    general = {_plain(key): value for key, value in found.items()}
    everywhere = {key for command in known.values() for key in options_of(command)}
    for key, value in general.items():
        if key not in everywhere or isinstance(value, Mapping):
            raise _unknown(path, key, everywhere | set(group.list_commands(click.Context(group))))
    tree: dict[str, Any] = {}
    for names, command in known.items():
        own = _section(path, sections, names, group)
        options = options_of(command)
        for key in own:
            if key not in options:
                raise _unknown(path, ".".join((*names, key)), options, said=key)
        chosen = {**{k: v for k, v in general.items() if k in options}, **own}
        _place(tree, names)[names[-1]] = {
            options[key].name: _value(path, ".".join((*names, key)), options[key], value)
            for key, value in chosen.items()
            if value not in ABSENT
        }
    return tree


# ------------------------------------------------------------------------------------ the file


def _parse(path: Path) -> dict[str, Any]:
    """A YAML mapping whose scalars are texts, as if they had been typed at the command line."""
    import yaml

    class Loader(yaml.BaseLoader):
        """Refuses a key that is there twice: one of the two would be forgotten silently."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for key in keys:
                if keys.count(key) > 1:
                    raise InputError(f"{path}: {key!r} is there twice")
            found: dict[Any, Any] = super().construct_mapping(node, deep)
            return found

    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise InputError(
            f"the settings {path} can't be read: {error.strerror}",
            hint="--config names a YAML file; of a Hub data set it is --subset that names a config",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"{path} is not valid YAML: {text}") from error
    if found in ("", None):
        return {}
    if not isinstance(found, dict):
        raise InputError(
            f"{path} holds a {'list' if isinstance(found, list) else 'text'}, but must hold keys",
            hint="for example `select: {results: demo, budget: 30m}`",
        )
    return found


def _plain(key: str) -> str:
    return key.replace("-", "_")


def _is_section(name: str, group: click.Group) -> bool:
    return name in group.list_commands(click.Context(group))


def _section(
    path: str | Path, sections: Mapping[str, Any], names: tuple[str, ...], group: click.Group
) -> dict[str, Any]:
    """What stands under a command's own name, keys in one spelling."""
    here: Any = sections
    for depth, name in enumerate(names):
        here = here.get(name) if isinstance(here, Mapping) else None
        if here in (None, *ABSENT):
            return {}
        if not isinstance(here, Mapping):
            raise InputError(
                f"{path}: {'.'.join(names[: depth + 1])} must hold keys, but holds {here!r}"
            )
        if depth == 0 and len(names) > 1:
            inner = group.get_command(click.Context(group), name)
            assert isinstance(inner, click.Group)
            for key in here:
                if not _is_section(key, inner):
                    raise _unknown(
                        path, f"{name}.{key}", inner.list_commands(click.Context(inner)), said=key
                    )
    return {_plain(key): value for key, value in here.items()}


def _place(tree: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    for name in names[:-1]:
        tree = tree.setdefault(name, {})
    return tree


def _value(path: str | Path, key: str, option: click.Option, value: Any) -> Any:
    """A value as click takes a default: texts as they are, lists where there can be several."""
    if isinstance(value, Mapping):  # such as executor options, or the columns of an import
        value = [f"{name}={one}" for name, one in value.items()]
    if isinstance(value, list) and any(not isinstance(one, str) for one in value):
        raise InputError(f"{path}: {key} holds a list within a list")
    if option.multiple:
        value = value if isinstance(value, list) else [value]
    elif isinstance(value, list):
        value = ",".join(value)
    try:
        return option.type_cast_value(click.Context(click.Command("config")), value)
    except click.BadParameter as error:
        raise InputError(f"{path}: {key}: {error.message}") from error


def _unknown(path: str | Path, key: str, valid: Any, said: str = "") -> InputError:
    names = sorted(valid)
    near = get_close_matches(_plain(said or key), names, n=1)
    hint = f"valid keys: {', '.join(names)}"
    return InputError(
        f"{path}: unknown key {key!r}", hint=f"did you mean {near[0]!r}? {hint}" if near else hint
    )
