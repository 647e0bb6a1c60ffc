"""Commands whose parameters are groups of options: a dataclass in the signature becomes the options of its fields."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import typer

from vecferry.cli.advice import carry_out
from vecferry.cli.options import Common
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen

__all__ = ["command", "register"]

Body = Callable[..., Result]


@dataclass(frozen=True, slots=True)
class _Declared:
    panel: str
    name: str
    epilog: str
    run: Callable[..., None]


_declared: list[_Declared] = []


def command(panel: str, *examples: str, name: str | None = None) -> Callable[[Body], Body]:
    """Declare `body(screen, ...)` as a command in a panel of the help. Its own help ends with `examples`.

    `--json` and `--debug` come with it. A name of two words is a command of a group.
    """

    def declare(body: Body) -> Body:
        kinds = {key: kind for key, kind in typing.get_type_hints(body, include_extras=True).items() if key != "return"}
        kinds.pop("screen")
        epilog = "\n\n".join(["Examples:", *examples])
        _declared.append(_Declared(panel, name or body.__name__, epilog, _called_by_typer(body, kinds)))
        return body

    return declare


def register(app: typer.Typer, panels: Sequence[str], groups: Mapping[str, str]) -> None:
    """Give the application all declared commands, panel by panel in this order; `groups` are names and their help."""
    made: dict[str, typer.Typer] = {}
    for panel in panels:
        for item in _declared:
            if item.panel != panel:
                continue
            group, _, name = item.name.rpartition(" ")
            if group and group not in made:
                made[group] = typer.Typer(no_args_is_help=True, help=groups[group])
                app.add_typer(made[group], name=group, rich_help_panel=panel)
            (made[group] if group else app).command(name, epilog=item.epilog, rich_help_panel=panel)(item.run)


def _called_by_typer(body: Body, kinds: Mapping[str, Any]) -> Callable[..., None]:
    defaults = inspect.signature(body).parameters

    def run(**values: Any) -> None:
        common = _take(Common, values)
        bound = {key: _take(kind, values) for key, kind in kinds.items()}
        bound |= {key: values[key] for key, kind in kinds.items() if not dataclasses.is_dataclass(kind)}
        screen = Screen.standard(as_json=common.as_json)
        raise typer.Exit(carry_out(partial(_call, body, bound), screen, debug=common.debug))

    parameters = [*_flattened(kinds, defaults), *_fields(Common)]
    run.__name__, run.__doc__ = body.__name__, body.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _call(body: Body, bound: Mapping[str, Any], screen: Screen) -> Result:
    return body(screen, **bound)


def _flattened(kinds: Mapping[str, Any], defaults: Mapping[str, inspect.Parameter]) -> Iterator[inspect.Parameter]:
    for key, kind in kinds.items():
        if dataclasses.is_dataclass(kind):
            yield from _fields(kind)
        else:
            yield _parameter(key, kind, defaults[key].default)


def _fields(group: Any) -> Iterator[inspect.Parameter]:
    hints = typing.get_type_hints(group, include_extras=True)
    for field in dataclasses.fields(group):
        yield _parameter(field.name, hints[field.name], field.default)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _take(kind: Any, values: Mapping[str, Any]) -> Any:
    if not dataclasses.is_dataclass(kind):
        return None
    return kind(**{field.name: values[field.name] for field in dataclasses.fields(kind)})  # type: ignore[operator]
