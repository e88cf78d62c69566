"""Plan files: the options of `loadgen run` as YAML."""

import difflib
import json
from pathlib import Path
from typing import Any

import click
import yaml

from loadgen.errors import LoadgenError, PlanError


def load(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Make a plan file's values the defaults of the command's options (a click callback).

    Flags and environment win over them, and each goes through its option's own type. A key that is null
    counts as not given. Raises PlanError for a key that is no option, LoadgenError for a bad file.
    """
    if path is not None:
        options = {one.name: one for one in ctx.command.params if one.name and one is not param}
        content = read(path, list(options))
        for key, value in content.items():
            many = options[key].multiple
            if key in {"data", "lb_config"} and isinstance(value, dict | list):  # JSON, which is YAML too
                content[key] = json.dumps(value, default=str)
                continue
            if isinstance(value, list) != many:
                raise PlanError(f"the plan file {path}: {key} must be {'a list' if many else 'one value'}")
            content[key] = [str(one) for one in value] if many else str(value)  # as flags have them
        ctx.default_map = {**(ctx.default_map or {}), **content}
    return path


def read(path: Path, known: list[str]) -> dict[str, Any]:
    """Return the keys and values of a plan file that are not null."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise LoadgenError(f"cannot read the plan file {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlanError(f"the plan file {path} is not YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise PlanError(f"the plan file {path} is no list of keys and values")
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key).replace("-", "_"), known, n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise PlanError(f"the plan file {path} has an unknown key {key!r}{hint}")
    return {key: value for key, value in content.items() if value is not None}
