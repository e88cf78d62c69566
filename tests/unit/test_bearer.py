"""A bearer token: it reaches the server, and stands nowhere else."""

import asyncio
import json
from pathlib import Path

import psutil
import pytest

from loadgen import bearer, logged
from loadgen.bearer import Token
from loadgen.errors import LoadgenError
from loadgen.ledger import Ledger
from loadgen.pacing import Closed
from loadgen.recorder import Recorder
from tests.certificates import Authority
from tests.unit.command import Load, loadgen
from tests.unit.service import Service
from tests.unit.test_cli import check_refused
from tests.unit.waiting import PATIENCE, until

SECRET = "s3cr3t.tOkEn-0123456789"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    return path


def rotate(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


def sent(service: Service) -> set[object]:
    return {dict(metadata)["authorization"] for metadata in service.metadata}


def test_it_is_sent_and_shown_nowhere(file: Path, tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    files = ca.issue("localhost")
    with Service(held=True, credentials=files, complaint=f"no such user: {SECRET}") as service:
        target = service.target.replace("127.0.0.1", "localhost")
        options = ("--cacert", str(ca.file), "-m", "tenant:blue", "-n", "4", "--log-result")
        with Load(target, *options, "--token-file", str(file)) as load:
            service.await_calls(1)
            words = psutil.Process(load.process.pid).cmdline()
            service.answer.set()
            ended = load.end()
            content = load.written()
        assert sent(service) == {f"Bearer {SECRET}"}
        assert {dict(metadata)["tenant"] for metadata in service.metadata} == {"blue"}
    assert ended.code == 1
    assert "no such user: [token]" in content
    assert '"token_file"' in content
    carried = json.dumps(logged.find(ended.out.splitlines()))  # compressed in the log
    assert "token_file" in carried
    for text in (" ".join(words), ended.out, ended.err, content, carried):
        assert SECRET not in text


def test_a_variable_names_a_variable() -> None:
    with Service() as service:
        with Load(service.target, "-n", "2", "--token-env", "MY_TOKEN", MY_TOKEN=f" {SECRET} ") as load:
            assert load.result()["plan"]["token_env"] == "MY_TOKEN"
        assert sent(service) == {f"Bearer {SECRET}"}


@pytest.mark.parametrize("target", ["service:1", "127.0.0.1.nip.example:1", "ipv4:127.0.0.1:1,10.0.0.1:2"])
def test_it_is_not_sent_where_others_could_read_it(target: str, file: Path) -> None:
    check_refused(loadgen("run", target, "--token-file", str(file)), 2, "--token-file needs TLS (--tls")


@pytest.mark.parametrize("target", ["localhost:1", "[::1]:1", "unix:/nowhere"])
def test_on_this_machine_plaintext_will_do(target: str, file: Path) -> None:
    ended = loadgen("run", target, "--token-file", str(file), "--ready-timeout", "100ms")
    check_refused(ended, 1, "waited 0.1 s for a backend")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read --token-file"),
        (b"", "holds no token"),
        (b" \n", "holds no token"),
        (b"two words", "holds no token: it has spaces"),
        (b"one\ntwo", "holds no token: it has spaces"),
        ("tökenwort".encode(), "that are not ASCII"),
        (b"\xff\xfe", "is no text"),
    ],
)
def test_a_file_without_a_token(content: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LoadgenError, match=says) as caught:
        Token.from_file(str(path))
    assert "wor" not in caught.value.message


def test_a_variable_that_is_not_set() -> None:
    ended = loadgen("run", "127.0.0.1:1", "--token-env", "NO_SUCH")
    check_refused(ended, 1, "the variable NO_SUCH (--token-env) holds no token")


def test_metadata_is_the_same_object_while_nothing_changes(file: Path) -> None:
    token = Token.from_file(str(file))
    plain = (("a", "b"),)
    signed = token.signed(plain)
    assert signed == (("a", "b"), ("authorization", f"Bearer {SECRET}"))
    assert token.signed(plain) is signed


async def test_a_rotated_file_is_read_and_a_missing_one_is_noted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearer, "READ_EVERY", 0.005)
    token = Token.from_file(str(file))
    ledger = Ledger(Closed(1, total=1, duration=None), Recorder(), max_in_flight=1)
    following = asyncio.create_task(token.follow(ledger))
    try:
        async with asyncio.timeout(PATIENCE):
            rotate(file, None)
            await until(lambda: len(ledger.events) == 1)
            assert token.signed(()) == (("authorization", f"Bearer {SECRET}"),)
            rotate(file, "another")
            await until(lambda: len(ledger.events) == 2)
    finally:
        following.cancel()
    names = [event.name for event in ledger.events]
    assert names == ["token.unreadable", "token.renewed"]
    assert token.signed(()) == (("authorization", "Bearer another"),)
    assert token.hide(f"not {SECRET} but another") == "not [token] but [token]"
