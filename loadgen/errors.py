"""Errors that a user can cause: one line each, with the exit code that goes with it."""

import click


class LoadgenError(click.ClickException):
    """The run or a file failed: exit code 1."""

    exit_code = 1


class PlanError(click.UsageError):
    """What was asked for makes no sense: exit code 2, before any load starts."""


class NoClusterError(PlanError):
    """There is no Kubernetes API to ask, or nothing to ask it with."""


class ResolutionError(LoadgenError):
    """A name could not be turned into addresses."""


class NoAccessError(LoadgenError):
    """What tells of backends may not be asked."""


class NoAnswerError(ResolutionError):
    """What tells of backends does not answer."""


class StoppedError(LoadgenError):
    """It was stopped before the first call."""


class NotReadyError(LoadgenError):
    """The backends were not there within the ready time-out."""


class CrossedError(click.ClickException):
    """The load was made, and a threshold was crossed."""

    exit_code = 99
