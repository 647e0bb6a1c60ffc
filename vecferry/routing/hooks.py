"""Calling the application, whichever way it wants to be called; and asking it what it does now."""

from __future__ import annotations

from vecferry.config import Hook
from vecferry.errors import BadOption, VecferryError
from vecferry.routing import commands, webhooks
from vecferry.routing.calls import Action, Call, HookRequest, Outcome, Reply

__all__ = ["Action", "Call", "HookRequest", "Outcome", "Reply", "call", "describe"]


def call(hook: Hook, made: Call) -> Reply:
    """Make a call once. Raises nothing for what an application does; a secret that is not there is a refusal."""
    if hook.command is not None:
        return commands.run(hook.command, made, hook.timeout_s)
    try:
        place = _place(hook)
    except VecferryError as error:
        return Reply(Outcome.REFUSED, str(error), {}, sent=False)
    return webhooks.call(place, made, hook.timeout_s)


def _place(hook: Hook) -> webhooks.Place:
    assert hook.webhook is not None, "its configuration says so"
    assert hook.secret is not None, "its configuration says so"
    secret = hook.secret.resolve()
    if not secret:
        raise BadOption("the webhook's secret is empty")
    if hook.ca is not None and not hook.ca.is_file():
        raise BadOption(f"ca: {hook.ca} is no file of certificates")
    return webhooks.Place(hook.webhook, secret, hook.ca)


def describe(action: Action, hook: Hook) -> str:
    """A hook in words: what is called, and for how long at most."""
    if hook.command is not None:
        what = " ".join(hook.command)
    else:
        method = "GET" if action is Action.READ_BACK else "POST"
        what = f"{method} {str(hook.webhook).partition('?')[0]}"
    return f"{what} (at most {hook.timeout_s:g} s)"
