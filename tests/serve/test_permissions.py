"""Who may do what: every key's letters against every operation, as the table says and not otherwise."""

from __future__ import annotations

from itertools import combinations

import pytest

from carma.access.keys.permissions import LETTERS, NEEDS, WORDS
from carma.client.operations import OPERATIONS
from carma.serve.accounts import Account

from .asking import NAMES, ask
from .running import Running

LETTER = {word: letter for letter, word in WORDS.items()}
SETS = ["".join(each) for size in range(1, 5) for each in combinations(LETTERS, size)]


def test_the_two_tables_agree() -> None:
    """What the client's table says of an operation is what is enforced, and nothing else is."""
    assert {name: LETTER[each.permission] for name, each in OPERATIONS.items()} == dict(NEEDS)


@pytest.fixture(scope="module")
def account(served: Running) -> Account:
    """Whose keys are tried."""
    return served.join("ada")[0]


@pytest.mark.parametrize("kind", ["static", "root"])
@pytest.mark.parametrize("letters", SETS)
def test_a_key_may_do_what_its_letters_say(
    letters: str, kind: str, account: Account, served: Running
) -> None:
    """Each operation is refused with 403 exactly where the key lacks its letter; the rest is carried out."""
    static = served.client(served.key(account, letters)) if kind == "static" else None
    client = static or served.signing(account, letters)
    refused = set()
    for name in sorted(NAMES, key=lambda each: each == "rotate_key"):  # Last: it changes the key's state.
        answer = ask(client, name)
        busy = name == "dream" and answer.json().get("title") == "MemoryBusy"
        assert busy or answer.status_code in (OPERATIONS[name].status, 403, 404), (name, answer.text)
        if answer.status_code == 403:
            refused.add(name)
            assert answer.json()["title"] == "Forbidden"
            assert OPERATIONS[name].permission in answer.json()["detail"]
    assert refused == {name for name, needed in NEEDS.items() if needed not in letters}


def test_without_a_key_nothing_is_told(served: Running) -> None:
    """No key on any operation, and whatever is none: 401, and how to ask."""
    shown = ("Bearer carma_static_abcdefgh_perm_rwha_" + "0" * 49, "Basic YTpi", "Carma x")
    with served.client() as client:  # So many and no more: a stranger's 21st request is 429.
        answers = [ask(client, name) for name in NAMES]
        answers += [ask(client, "tree", headers={"authorization": each}) for each in shown]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Carma realm="carma", Bearer realm="carma"'


def test_a_revoked_key_opens_nothing_at_once(served: Running) -> None:
    """The request after `revoke` is refused, for static keys and for signed attempts, in every process."""
    account = served.household.churn().join("revoked", "r").account
    static, root = served.client(served.key(account)), served.signing(account)
    assert ask(static, "tree").status_code == ask(root, "tree").status_code == 200
    for key in list(served.household.keys.keys().values()):
        if key.owner == account.id:
            served.household.keys.revoke(key.name)
    for client in (static, root):
        answer = ask(client, "tree")
        assert answer.status_code == 401 and answer.json()["type"] == "urn:carma:error:key-revoked"


def test_a_denial_is_in_the_owners_audit_log(served: Running) -> None:
    """Who asked for what they may not is written down, where the account's owner sees it."""
    account = served.household.churn().join("denied", "r").account
    reader, owner = served.client(served.key(account, "r")), served.client(served.key(account))
    assert ask(reader, "add").status_code == 403
    leaves = [each["leaf"] for each in ask(owner, "audit").json()["entries"]]
    denied = [each for each in leaves if each["kind"] == "denial"]
    assert denied and denied[0]["operation"] == "add", leaves
