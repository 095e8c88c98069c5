"""Signing in and out, in a browser."""

from __future__ import annotations

import re

import pytest

from tests.dashboard.conftest import Visit


def test_a_static_key_opens_the_page_that_was_asked_for_and_is_kept_nowhere(visit: Visit) -> None:
    """The cookie is closed to scripts and bound to the site; neither it nor the key is in any storage."""
    visitor = visit(signed_in=False)
    page = visitor.page
    page.goto(f"{visitor.run.url}/usage")
    page.wait_for_url("**/sign-in?to=/usage")
    page.fill("#key", visitor.key)
    page.keyboard.press("Enter")
    page.wait_for_url("**/usage")
    page.get_by_role("heading", name="Usage").wait_for()

    (cookie,) = visitor.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert cookie["name"] == "carma_visit"
    for secret in (visitor.key, visitor.key[-20:], cookie["value"]):
        assert secret not in visitor.storage()
        assert secret not in page.content()
        assert not [url for url in visitor.requests if secret in url]
        assert secret not in visitor.run.log


def test_a_root_key_signs_and_stays_in_the_browser(visit: Visit) -> None:
    """What is sent is an attempt key; the secret of the root key is in no request."""
    visitor = visit(signed_in=False)
    root = visitor.run.key(visitor.account, static=False)
    sent: list[str] = []
    page = visitor.page
    page.on(
        "request", lambda request: sent.append(str(request.all_headers()) if "sign-in" in request.url else "")
    )
    page.goto(f"{visitor.run.url}/sign-in")
    page.fill("#key", root)
    page.click("button")
    page.get_by_role("heading", name="Overview").wait_for()
    secret = root.rpartition("_")[2]
    assert any("_meta_" in each for each in sent)
    assert not [each for each in sent if secret in each]
    assert secret not in visitor.storage()
    visitor.forgive("401")


@pytest.mark.parametrize("how", ["another's letters", "no key at all", "a fingerprint"])
def test_a_wrong_key_is_refused_and_the_field_stays(visit: Visit, how: str) -> None:
    """The page says so in words; no cookie is given, and no page is shown."""
    visitor = visit(signed_in=False)
    wrong = {
        "another's letters": re.sub(r".$", "2" if visitor.key[-1] != "2" else "3", visitor.key),
        "no key at all": "open sesame",
        "a fingerprint": visitor.run.household.keys.fingerprint(
            visitor.run.household.keys.get(visitor.key.split("_")[2])
        ),
    }[how]
    page = visitor.page
    page.goto(f"{visitor.run.url}/sign-in")
    page.fill("#key", wrong)
    page.click("button")
    page.locator("#said:not(:empty)").wait_for()
    assert "key" in page.locator("#said").inner_text().lower()
    assert not visitor.cookies()
    assert page.url.endswith("/sign-in")
    page.goto(f"{visitor.run.url}/tree")
    assert "/sign-in" in page.url
    visitor.forgive("400", "401")


def test_signing_out_ends_every_open_page(visit: Visit) -> None:
    """The cookie is gone, the page's socket is closed, and the way back leads to the door."""
    visitor = visit()
    page = visitor.open("/")
    token = visitor.cookies()[0]["value"]
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in*")
    assert not visitor.cookies()
    page.go_back()
    page.wait_for_url("**/sign-in*")
    with visitor.run.client() as client:
        answer = client.get("/", headers={"cookie": f"carma_visit={token}"})
    assert answer.status_code == 303


def test_a_revoked_key_ends_the_visit(visit: Visit) -> None:
    """A page that is open shows nothing more after its key was revoked."""
    visitor = visit()
    page = visitor.open("/search")
    visitor.run.household.keys.revoke(visitor.key.split("_")[2])
    page.fill("#query", "anything")
    page.click("#search")
    page.wait_for_url("**/sign-in*")
    visitor.forgive("WebSocket", "400", "401")
