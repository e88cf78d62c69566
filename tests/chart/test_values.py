"""values.yaml, its schema, its documentation and the templates that use it say the same."""

import json
import re
from importlib import util

import pytest
import yaml

from loadgen.commands.run import run
from loadgen.commands.search import search
from loadgen.plan import Plan
from tests.chart.helm import CHART, ROOT

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def _docs():
    spec = util.spec_from_file_location("chart_docs", ROOT / "charts/docs.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DOCS = _docs()
DOCUMENTED = DOCS.values((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("value", DOCUMENTED, ids=lambda value: value.path)
def test_a_value_is_documented_and_in_the_schema(value):
    assert value.text.endswith((".", "}.", "`."))
    assert value.section
    schema = SCHEMA
    for key in value.path.split("."):
        schema = _resolved(schema)["properties"][key]


def test_the_schema_has_no_value_that_the_file_lacks():
    """A value that is possible but not in the file would be in no documentation."""

    def missing(schema, values, path):
        for key, inner in schema.get("properties", {}).items():
            if key not in values:
                yield f"{path}{key}"
            elif isinstance(values[key], dict) and values[key]:
                yield from missing(_resolved(inner), values[key], f"{path}{key}.")

    passed_on = re.compile(r".*(\.resources|Probe)\.")  # Kubernetes' own, documented there
    assert [one for one in missing(SCHEMA, VALUES, "") if not passed_on.match(one)] == []


def test_every_mapping_of_the_schema_is_strict():
    def loose(schema, path):
        if "properties" in schema and schema.get("additionalProperties") is not False:
            yield path
        for group in ("properties", "definitions"):
            for key, inner in schema.get(group, {}).items():
                yield from loose(inner, f"{path}/{key}")

    assert list(loose(SCHEMA, "")) == []


FILES = {"proto", "import_path", "protoset", "data_file", "data_order"}
"""What a plan says of files: the pod has none of the user's."""


def test_the_keys_of_the_plan_are_those_of_the_program():
    assert set(VALUES["loadgen"]["config"]) == set(Plan.__dataclass_fields__) - FILES


def test_the_keys_of_a_search_are_those_of_the_program():
    own = {param.name for param in search.params} - {param.name for param in run.params}
    assert set(VALUES["loadgen"]["search"]) == own


def test_templates_use_values_that_exist():
    used = set()
    for file in (CHART / "templates").rglob("*"):
        if file.is_file():
            used |= set(re.findall(r"\.Values\.([A-Za-z_.]+[A-Za-z_])", file.read_text()))
    assert used
    for path in used:
        node = VALUES
        for key in path.split("."):
            assert key in node, path
            node = node[key]


def test_every_value_is_used():
    texts = "".join(file.read_text() for file in (CHART / "templates").rglob("*") if file.is_file())
    unused = [one.path for one in DOCUMENTED if not re.search(rf"\b{one.path.rpartition('.')[2]}\b", texts)]
    # the plan's keys are handed on as a whole, global is for other charts
    handed_on = ("loadgen.config.", "loadgen.search.", "global")
    assert [one for one in unused if not one.startswith(handed_on)] == []


def test_the_table_in_the_readme_is_current():
    assert DOCS.rendered(CHART) == (CHART / "README.md").read_text(), "run make chart-docs"


def test_the_chart_has_the_version_of_the_programs():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'\nversion = "{chart["appVersion"]}"\n' in (ROOT / "pyproject.toml").read_text()


def _resolved(schema):
    reference = schema.get("$ref")
    return SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else schema
