"""Errors that a user of the lab can cause: one line each, with the exit code that goes with it."""

import click


class LabError(click.ClickException):
    """The lab could not do what it was asked: exit code 1."""

    exit_code = 1
