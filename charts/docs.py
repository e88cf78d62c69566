"""Writes the values table of a chart's README from the comments in its values.yaml.

`python charts/docs.py charts/grpc-spread` rewrites the table, `--check` only says whether it is current.
The comments are those of helm-docs: `# -- text` above a key, `# @default -- text` for a default too long to
show, `# @section -- text` for a heading.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

BEGIN, END = "<!-- values: begin, made by `make chart-docs` -->", "<!-- values: end -->"


@dataclass(frozen=True, slots=True)
class Value:
    """One line of the table."""

    path: str
    """As --set takes it: `server.image.tag`."""
    default: str
    text: str
    """Empty where nothing is said above the key."""
    section: str


def values(source: str) -> list[Value]:
    """Return the values in the order of the file.

    A mapping with a comment of its own is one value, one without stands for the values in it.
    """
    root = yaml.compose(source, yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise SystemExit("values.yaml holds no mapping")
    return list(_walk(root, (), source.splitlines()))


def _walk(node: yaml.MappingNode, above: tuple[str, ...], lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        path = (*above, str(key.value))
        comment = _comment(key.start_mark.line, lines)
        text = _tag("--", comment)
        if isinstance(value, yaml.MappingNode) and value.value and not text:
            yield from _walk(value, path, lines)
            continue
        # what was composed has only to be constructed, which a loader without input can do
        plain = yaml.SafeLoader("").construct_object(value, deep=True)
        default = _tag("@default --", comment) or f"`{json.dumps(plain)}`"
        yield Value(".".join(path), default, text, _section(key.start_mark.line, lines))


def _comment(line: int, lines: list[str]) -> list[str]:
    """Return the comment lines right above a line, without their #."""
    first = line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return [one.lstrip().removeprefix("#").strip() for one in lines[first:line]]


def _tag(tag: str, comment: list[str]) -> str:
    """Return what stands behind a tag, up to the next one."""
    found: list[str] = []
    inside = False
    for line in comment:
        if line.startswith(("-- ", "@")):
            inside = line.startswith(f"{tag} ")
            line = line.removeprefix(tag).strip()  # noqa: PLW2901
        if inside:
            found.append(line)
    return " ".join(found)


def _section(line: int, lines: list[str]) -> str:
    headings = (re.match(r"# @section -- (.*)", one) for one in reversed(lines[:line]))
    return next((found[1] for found in headings if found), "")


def table(source: str) -> str:
    """Return the tables, one a section, as Markdown."""
    parts: list[str] = []
    section = None
    for value in values(source):
        if value.section != section:
            section = value.section
            parts += ["", f"### {section}", "", "| Key | Default | |", "|---|---|---|"]
        cells = (f"`{value.path}`", value.default, value.text)
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(parts).strip()


def rendered(chart: Path) -> str:
    """Return the chart's README with a table that is current."""
    readme = (chart / "README.md").read_text("utf-8")
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{chart / 'README.md'} lacks the lines {BEGIN} and {END}")
    new = table((chart / "values.yaml").read_text("utf-8"))
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def main() -> None:
    """Rewrite the README, or check it."""
    parser = argparse.ArgumentParser(description="Write the values table of a chart's README.")
    parser.add_argument("chart", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing, fail where it is not current")
    options = parser.parse_args()
    readme = options.chart / "README.md"
    new = rendered(options.chart)
    if options.check:
        if new != readme.read_text("utf-8"):
            sys.exit(f"{readme} is not current: run make chart-docs")
        return
    readme.write_text(new, "utf-8")


if __name__ == "__main__":
    main()
