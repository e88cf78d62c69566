"""What calls send: JSON, templates and the messages made of them."""

import json
import re
import tempfile
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.struct_pb2 import ListValue
from hypothesis import given
from hypothesis import strategies as st

from loadgen import mapping, payload, template
from loadgen.descriptors import Descriptors, Method
from loadgen.errors import PlanError
from loadgen.plan import Plan
from loadgen.shard import Shard
from loadgen.target import Target, Uri
from loadgen.template import Extreme, Moment
from tests.unit.shop import SHOP, method

URI = Uri.parse("shop:1")


def target(name: str, data: str | None = None, shard: Shard = Shard(), **options: Any) -> Target:  # noqa: B008
    plan = Plan(target="shop:1", call=f"{SHOP}/{name}", data=data, **options)
    return payload.target(plan, URI, method(name), shard)


def item(content: object) -> Any:
    assert isinstance(content, bytes)
    return method("Echo").request.FromString(content)


class TestConstant:
    def test_it_is_made_once(self) -> None:
        made = target("Echo", '{"name": "a"}', metadata=(("k", "v"),))
        assert made.vary is None
        (one, first), (other, second) = made.request(0), made.request(10**9)
        assert one is other
        assert first is second
        assert item(one).name == "a"
        assert first == (("k", "v"),)

    def test_a_stream_is_the_same_each_time(self) -> None:
        made = target("Add", '[{"name": "a"}, {}]', stream_messages=3)
        one, _ = made.request(0)
        assert not isinstance(one, bytes)
        assert made.request(1)[0] is one
        assert [item(each).name for each in one] == [item(each).name for each in one] == ["a", "", "a"]

    def test_a_single_message_is_a_stream_of_one(self) -> None:
        one, _ = target("Chat", "{}").request(0)
        assert list(one) == [b""]

    def test_an_array_is_one_message_where_the_type_is_a_list(self) -> None:
        listed = Method("s", "m", ListValue, ListValue, descriptor_pool.Default())
        plan = Plan(target="x:1", call="s/m", data="[1, 2]")
        content, _ = payload.target(plan, URI, listed).request(0)
        assert isinstance(content, bytes)
        assert [one.number_value for one in ListValue.FromString(content).values] == [1, 2]


class TestLines:
    @given(st.integers(0, 100), st.integers(1, 7), st.integers(1, 4))
    def test_shards_together_take_them_in_turn(self, calls: int, lines: int, shards: int) -> None:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("\n".join(json.dumps({"small": number}) for number in range(lines)))
            file.flush()
            parts = [
                target("Echo", shard=Shard(index, shards), data_file=file.name) for index in range(shards)
            ]
        taken = [item(part.request(number)[0]).small for part in parts for number in range(calls)]
        counts = [taken.count(number) for number in range(lines)]
        assert max(counts) - min(counts) <= 1

    def test_random_choices_are_even(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_text("\n".join(json.dumps({"small": number}) for number in range(4)))
        made = target("Echo", data_file=str(path), data_order="random")
        drawn = [item(made.request(number)[0]).small for number in range(4000)]
        assert all(900 < drawn.count(number) < 1100 for number in range(4))

    def test_shards_draw_as_one_load_would(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_text("\n".join(json.dumps({"small": number}) for number in range(9)))
        options: dict[str, Any] = {"data_file": str(path), "data_order": "random", "seed": 3}
        whole = target("Echo", **options)
        shards = [target("Echo", shard=Shard(index, 2), **options) for index in (0, 1)]
        assert [whole.request(n)[0] for n in range(20)] == [
            shards[n % 2].request(n // 2)[0] for n in range(20)
        ]


NO_FIT: list[tuple[str, str]] = [
    ('{"nam": "x"}', "shop.v1.Item has no field 'nam': did you mean name?"),
    (
        '{"part": {"nam": 1}}',
        "shop.v1.Item.Part has no field 'part.nam': did you mean name? (there are name, p",
    ),
    ('{"part": {"parts": [{}, {"x": 1}]}}', "has no field 'part.parts[1].x'"),
    ("5", "it must be an object with fields of shop.v1.Item, not 5"),
    ("null", "it must be an object with fields of shop.v1.Item, not null"),
    ('{"part": "x"}', 'part must be an object with fields of shop.v1.Item.Part, not "x"'),
    ('{"name": 5}', "'name' must be a text, not 5"),
    ('{"small": "x"}', "'small' must be a whole number, not \"x\""),
    ('{"small": 1.5}', "'small' must be a whole number, not 1.5"),
    ('{"small": true}', "'small' must be a whole number, not true"),
    ('{"small": 2147483648}', "'small' is 2147483648, beyond int32"),
    ('{"natural": -1}', "'natural' is -1, beyond uint32 (0 to 4294967295)"),
    ('{"big": 9223372036854775808}', "'big' is 9223372036854775808, beyond int64"),
    ('{"huge": "-1"}', "'huge' is -1, beyond uint64"),
    ('{"ratio": "much"}', "'ratio' must be a number, not \"much\""),
    ('{"single": false}', "'single' must be a number, not false"),
    ('{"sold": "true"}', "'sold' must be true or false, not \"true\""),
    ('{"picture": "%%"}', "'picture' must be base64"),
    ('{"picture": [1]}', "'picture' must be a text, not [1]"),
    ('{"colour": "RED"}', "shop.v1.Colour has no value 'RED' (there are COLOUR_GREEN, COLOUR_RED"),
    ('{"colour": "COLOUR_RDE"}', "has no value 'COLOUR_RDE': did you mean COLOUR_RED?"),
    ('{"colour": null, "colours": "COLOUR_RED"}', "'colours' is repeated and must be an array"),
    ('{"colours": [true]}', "'colours[0]' must be a name of shop.v1.Colour, not true"),
    ('{"numbers": [1, "x"]}', "'numbers[1]' must be a whole number"),
    ('{"prices": []}', "'prices' is a map and must be an object, not []"),
    ('{"prices": {"eur": 3}}', "prices['eur'] must be an object with fields of shop.v1.Money, not 3"),
    ('{"labels": {"x": "y"}}', "the key labels['x'] must be a whole number"),
    ('{"shades": {"yes": 1}}', "the key shades['yes'] must be true or false"),
    ('{"person": "a", "company": {}}', "'company' and 'person' exclude each other: the oneof owner has both"),
    ('{"made_at": "yesterday"}', "made_at field: Failed to parse timestamp"),
    ('{"life": 5}', "does not fit shop.v1.Item"),
    ('{"anything": {"@type": "type.googleapis.com/no.Such"}}', "no.Such"),
    ('{"made_at": "{{uuid}}"}', "does not fit"),
    ('{"small": "{{uuid}}"}', "'small' must be a whole number"),
    ('{"small": "{{randint 0 3000000000}}"}', "'small' is 3000000000, beyond int32"),
    ('{"small": "{{now}}"}', "beyond int32"),
    ('{"{{number}}": 1}', "has no field '0'"),
]


@pytest.mark.parametrize(("data", "says"), NO_FIT)
def test_what_does_not_fit(data: str, says: str) -> None:
    with pytest.raises(PlanError, match=re.escape(says)) as caught:
        target("Echo", data)
    assert caught.value.message.startswith("--data does not fit")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "--data is not JSON: line 1 column 1"),
        ("{", "--data is not JSON: line 1 column 2"),
        ('{"name": "a",\n "x"}', "--data is not JSON: line 2 column 5: Expecting ':' delimiter"),
        ("{'name': 1}", "--data is not JSON: line 1 column 2"),
        ('{"name": "a", "name": "b"}', "the key 'name' is there twice"),
        ('{"ratio": NaN}', 'NaN must be written "NaN"'),
        ('{"small": {{number}}}', 'templates stand in quotes: "{{number}}"'),
        ("[" * 100_000, "nested too deeply"),
        ('{"name": "{{nmber}}"}', "{{nmber}} is no template: there are {{number}}"),
        ('{"name": "{{}}"}', "{{}} is no template"),
        ('{"name": "{{number 5}}"}', "{{number 5}} is no template"),
        ('{"name": "{{randint 5}}"}', "write {{randint LOW HIGH}}, such as {{randint 1 100}}"),
        ('{"name": "{{randint 5 1}}"}', "write {{randint LOW HIGH}}"),
        ('{"name": "{{randint a b}}"}', "write {{randint LOW HIGH}}"),
        ('{"name": "a{{number"}', "'{{number' has no closing }}: {{{{ stands for {{"),
        ("@/no/such/file", "--data: cannot read /no/such/file: No such file or directory"),
        ("[{}]", "--data is an array, but shop.v1.Shop/Echo takes one message (unary)"),
    ],
)
def test_what_is_no_payload(data: str, says: str) -> None:
    with pytest.raises(PlanError, match=re.escape(says)):
        target("Echo", data)


def test_a_required_field_that_is_missing() -> None:
    file = FileDescriptorProto(name="old.proto", syntax="proto2")
    file.message_type.add(name="Old").field.add(name="needed", number=1, type=9, label=2)
    file.service.add(name="S").method.add(name="Do", input_type=".Old", output_type=".Old")
    found = Descriptors([file], "old.proto").find("S/Do")
    with pytest.raises(PlanError, match=r"--data does not fit Old: .*needed"):
        payload.target(Plan(target="x:1", call="S/Do"), URI, found)


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text('{}\n\n{"name": 1}\n')
    with pytest.raises(PlanError, match=r"--data-file .*f line 3 does not fit: 'name' must be a text, not 1"):
        target("Echo", data_file=str(path))
    path.write_text("\n\n")
    with pytest.raises(PlanError, match=r"--data-file .*f holds no line"):
        target("Echo", data_file=str(path))
    path.write_bytes(b"\xff")
    with pytest.raises(PlanError, match=r"--data-file: .*f is not UTF-8"):
        target("Echo", data_file=str(path))


def test_a_bad_message_of_a_stream_is_named() -> None:
    with pytest.raises(PlanError, match=re.escape("--data[1] does not fit: 'name' must be a text")):
        target("Add", '[{}, {"name": 1}]')
    with pytest.raises(PlanError, match="holds no message, so --stream-messages 3 cannot be sent"):
        target("Add", "[]", stream_messages=3)


class TestTemplates:
    def test_values(self) -> None:
        made = template.text("{{ number }}/{{message}} {{uuid}} {{now}} {{now_iso}} {{randint -3 -3}}", "x")
        assert callable(made)
        number, unique, now, iso, drawn = made(Moment(7, message=2)).split()
        assert (number, drawn) == ("7/2", "-3")
        assert uuid.UUID(unique).version == 4
        assert abs(int(now) / 1000 - datetime.fromisoformat(iso).timestamp()) < 10

    @given(st.text())
    def test_text_with_doubled_braces_comes_out_as_it_was(self, content: str) -> None:
        assert template.text(content.replace("{{", "{{{{"), "x") == content

    @given(st.text())
    def test_any_text_is_a_template_or_refused(self, content: str) -> None:
        try:
            made = template.text(content, "x")
        except PlanError as error:
            made = error.message
            assert made.startswith("x: ")
        assert isinstance(made if isinstance(made, str) else made(Moment(0)), str)

    @given(st.integers(-(10**20), 10**20), st.integers(0, 10**20), st.integers(0), st.integers(0))
    def test_random_numbers_are_within_their_bounds(
        self, low: int, more: int, number: int, seed: int
    ) -> None:
        made = template.text(f"{{{{randint {low} {low + more}}}}}", "x")
        assert callable(made)
        drawn = int(made(Moment(number, seed)))
        assert low <= drawn <= low + more
        assert made(Moment(number, seed)) == str(drawn)
        assert int(made(Extreme(number))) == low
        assert int(made(Extreme(number, high=True))) == low + more

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_characters="{")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
    )

    @given(json_values)
    def test_a_tree_without_templates_stays_as_it_is(self, tree: Any) -> None:
        assert template.tree(tree, "x") == tree

    @given(json_values, st.integers(0, 1000))
    def test_a_tree_with_one_is_rendered_and_nothing_else(self, tree: Any, number: int) -> None:
        made = template.tree({"it": tree, "n": ["{{number}}"]}, "x")
        assert callable(made)
        assert made(Moment(number)) == {"it": tree, "n": [str(number)]}


items = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{")),
        "small": st.integers(-(2**31), 2**31 - 1),
        "natural": st.integers(0, 2**32 - 1),
        "big": st.integers(-(2**63), 2**63 - 1).map(str),
        "huge": st.integers(0, 2**64 - 1),
        "ratio": st.floats(allow_nan=False, allow_infinity=False),
        "sold": st.booleans(),
        "colours": st.lists(st.sampled_from(["COLOUR_RED", "COLOUR_GREEN", 2])),
        "numbers": st.lists(st.integers(-(2**63), 2**63 - 1)),
        "labels": st.dictionaries(st.integers(-(2**31), 2**31 - 1).map(str), st.just("x")),
        "prices": st.dictionaries(st.text("abc"), st.fixed_dictionaries({"units": st.integers(0, 9)})),
    },
)


@given(items)
def test_what_fits_is_what_protobuf_makes_of_it(value: dict[str, Any]) -> None:
    echo = method("Echo")
    mapping.check(value, echo, "x")
    expected = json_format.ParseDict(value, echo.request(), descriptor_pool=echo.pool)
    assert echo.request.FromString(mapping.serialise(value, echo)) == expected


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([f.name for f in method("Echo").takes.fields]), inner, max_size=3)
    ),
)


@given(values)
def test_any_value_fits_or_is_refused(value: Any) -> None:
    echo = method("Echo")
    try:
        mapping.check(value, echo, "x")
    except PlanError as error:
        assert error.message.startswith("x does not fit")  # noqa: PT017
        return
    assert echo.request.FromString(mapping.serialise(value, echo)) is not None
