"""A real server, a real proxy that cuts connections after the request was carried out, and both clients."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from carma import AsyncClient, Client
from carma.access.keys.text import SECRET
from carma.client.repeating import repeating
from carma.client.settings import ClientSettings
from carma.errors import AnswerLost, FragmentNotFound, ServerUnreachable
from tests.conformance.kinds import Loop, Spoken
from tests.serve.running import ALL, Running, running

from .cutting import Proxy, proxied

FAST = ClientSettings(wait_first_s=0.01, wait_most_s=0.05)
ALL_FAULTS = ("cut", "half", "gateway", "drop")
KINDS = [Client, AsyncClient]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server") / "data") as found:
        yield found


@pytest.fixture
def proxy(server: Running) -> Iterator[Proxy]:
    with proxied(server.server.port) as found:
        yield found


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


NAMES = itertools.count()


@pytest.fixture
def open_(server: Running, proxy: Proxy, loop: Loop) -> Iterator[Callable[..., Spoken]]:
    """Makes a client of a new account with a root key, over the proxy."""
    made: list[Spoken] = []

    def make(kind: type, **options: Any) -> Spoken:
        key = server.household.churn().join(f"user-{next(NAMES)}", ALL).key.text
        given = {"settings": FAST, **options}
        made.append(Spoken(lambda: kind(proxy.url, key, **given), Path(), loop, remote=True))
        return made[-1]

    yield make
    for spoken in made:
        spoken.close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_change_is_made_once(open_: Callable[..., Spoken], proxy: Proxy, kind: type) -> None:
    """Each fault hits each change after it was made; what comes back is what the first try did."""
    client = open_(kind)

    def hurt(verb: str, *args: Any, **kwargs: Any) -> Any:
        proxy.asked.clear()
        proxy.faults.extend(ALL_FAULTS)
        answer = getattr(client, verb)(*args, **kwargs)
        assert not proxy.faults and len(proxy.asked) == len(ALL_FAULTS)  # One of them never came there.
        return answer

    one = hurt("add", "tea")
    assert client.list().items == (one,) and one.version == 1
    two, three = hurt("add_many", ["cup", "pot"])
    assert client.list().items == (one, two, three)
    assert hurt("update", one.id, "green tea").version == 2
    assert [each.text for each in client.history(one.id)] == ["tea", "green tea"]
    assert hurt("update", one.id, "black tea", if_version=2).version == 3
    assert hurt("delete", two.id) == 1
    with pytest.raises(FragmentNotFound):
        client.delete(two.id)
    assert client.list().items == (client.get(one.id), three)


@pytest.mark.parametrize("kind", KINDS)
def test_reading_is_simply_repeated(open_: Callable[..., Spoken], proxy: Proxy, kind: type) -> None:
    """A lost answer to a question costs nothing but another question."""
    client = open_(kind)
    made = client.add("tea")
    for verb, args in (("get", (made.id,)), ("list", ()), ("search", ("tea",)), ("tree", ())):
        proxy.faults.extend(ALL_FAULTS)
        assert getattr(client, verb)(*args) and not proxy.faults


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_gives_up_can_repeat_it(open_: Callable[..., Spoken], proxy: Proxy, kind: type) -> None:
    """After the last try the error has the key under which the same change is not made twice."""
    client = open_(kind, settings=ClientSettings(tries=2, wait_first_s=0.01))
    proxy.faults.extend(["cut", "half"])
    with pytest.raises(AnswerLost, match="2 tries") as caught:
        client.add("tea")
    assert caught.value.idempotency_key and len(client.list()) == 1
    with repeating(caught.value.idempotency_key):
        assert client.list().items == (client.add("tea"),)
    (made,) = client.list().items
    proxy.faults.extend(["gateway", "gateway"])
    with pytest.raises(AnswerLost):
        client.delete(made.id)
    assert client.list().items == ()
    proxy.faults.extend(["drop", "drop"])
    with pytest.raises(ServerUnreachable):
        client.list()


def test_a_server_that_dies_before_it_answers_has_done_it_once(
    tmp_path: Path, proxy: Proxy, server: Running
) -> None:
    """The next server finds the answer in the memory's own record, and the client opens a new session."""
    with ExitStack() as second:
        first = ExitStack()
        found = first.enter_context(running(tmp_path / "data"))
        key = found.household.churn().join("ada", ALL).key.text
        proxy.to = found.server.port

        def restart() -> None:
            first.close()
            proxy.to = second.enter_context(running(tmp_path / "data")).server.port

        with Client(proxy.url, key, settings=FAST) as client:
            before = client.add("before")
            proxy.faults.append(restart)
            made = client.add("tea")
            assert client.list().items == (before, made)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dream_is_followed_over_streams_that_are_cut(
    open_: Callable[..., Spoken], proxy: Proxy, kind: type
) -> None:
    """It is started once, whatever is lost; its events are taken up again; the report is whole."""
    client = open_(kind)
    client.add_many(f"tea number {number}" for number in range(30))
    proxy.faults.extend(ALL_FAULTS[:3])
    proxy.cut_streams.extend([10, 300, 5])
    report = client.dream(budget_s=20.0)
    assert report.status == "completed" and not proxy.cut_streams
    assert [each.cycle for each in client.dreams()] == [report.cycle] == [1]
    assert client.show_dream(1) == report


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_whose_answer_is_lost_is_repeated(
    open_: Callable[..., Spoken], proxy: Proxy, kind: type
) -> None:
    """Keys are never stored to be told twice: each try makes another in the place of the unused one."""
    client = open_(kind)
    before = client.memory.fingerprint
    proxy.faults.extend(["cut", "half"])
    new = client.rotate_key()
    assert client.memory.fingerprint == new.fingerprint != before == new.old_fingerprint
    client.add("tea")
    assert new.key not in repr(new) and new.key not in repr(client.memory)


@pytest.mark.parametrize("kind", KINDS)
def test_sealed_bodies_are_repeated_too(
    open_: Callable[..., Spoken], server: Running, proxy: Proxy, kind: type
) -> None:
    """Sealed anew for each try, and still the same change; a dream is followed without its events."""
    client = open_(kind, server_key=server.household.sealing.public.text)
    proxy.faults.extend(ALL_FAULTS)
    made = client.add("tea")
    proxy.faults.extend(ALL_FAULTS)
    assert client.search("tea")[0].fragment == made and client.list().items == (made,)
    assert client.dream(budget_s=10.0).status == "completed"


def test_many_threads_share_a_client(open_: Callable[..., Spoken], proxy: Proxy) -> None:
    """Every text is there once, whatever was cut, while another thread rotates the key."""
    client = open_(Client, settings=ClientSettings(tries=8, wait_first_s=0.01, wait_most_s=0.05))
    client.add("first")
    proxy.faults.extend(["", "cut", "", "half", "drop", "", "gateway"] * 4)
    with ThreadPoolExecutor(8) as pool:
        rotated = pool.submit(client.rotate_key)
        made = list(pool.map(client.add, (f"text {number}" for number in range(40))))
        rotated.result()
    assert len({each.id for each in made}) == 40
    assert Counter(each.text for each in client.list(limit=100)) == Counter(
        ["first", *(f"text {number}" for number in range(40))]
    )


def test_many_tasks_share_a_client(server: Running, proxy: Proxy) -> None:
    """The same on an event loop, with one call that is cancelled."""
    key = server.household.churn().join("tasks", ALL).key.text

    async def use() -> None:
        settings = ClientSettings(tries=8, wait_first_s=0.01, wait_most_s=0.05)
        async with AsyncClient(proxy.url, key, settings=settings) as client:
            await client.add("first")
            proxy.faults.extend(["", "cut", "half", "drop", "gateway"] * 4)
            waits = [asyncio.create_task(client.add(f"text {number}")) for number in range(30)]
            late = asyncio.create_task(client.search("tea"))
            await asyncio.sleep(0.02)
            late.cancel()
            await asyncio.gather(*waits)
            found = Counter(each.text for each in await client.list(limit=100))
            assert found == Counter(["first", *(f"text {number}" for number in range(30))])

    asyncio.run(use())


@pytest.mark.parametrize("kind", KINDS)
def test_no_key_is_logged(
    open_: Callable[..., Spoken], proxy: Proxy, kind: type, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a secret nor an attempt, by nobody in the process, at the most talkative level."""
    with caplog.at_level(logging.DEBUG):
        client = open_(kind)
        proxy.faults.extend(["cut", "gateway"])
        client.add("tea")
        client.rotate_key()
        client.search("tea")
    said = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "/v1/search" in said
    assert not re.search(SECRET, said) and "_quantum_" not in said and "carma_" not in said
