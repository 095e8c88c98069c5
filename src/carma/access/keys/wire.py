"""What travels with a request: the names of the headers, and the text that the tag of an attempt signs.

The tag covers what decides what a request does: the attempt key's own text, for whom it is meant (the
audience and the server's nonce), the session, the method, the path and query exactly as they are sent, the
digest of the body, the Idempotency-Key and the date. What it does not cover is how the answer comes (Accept)
and the condition of an update (If-Match): without TLS they can be taken off on the way. Each field has its
length in front, so no two requests have the same text. The body is covered by its digest, so the tag can be
checked before it is read.

Rejected: HTTP Message Signatures (RFC 9421): there the client chooses which parts it signs, and the server
has to forbid the wrong choices; here there is one text.
"""

from __future__ import annotations

import base64
import hmac
import re
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from carma.errors import BodyAltered, InvalidInput

__all__ = [
    "ACCOUNT", "AUDIENCE", "AUTHORIZATION", "CONTENT_DIGEST", "DATE", "IDEMPOTENCY_KEY", "NONCE",
    "NONCE_LETTERS", "SESSION", "SQUARE", "TAG_BYTES", "RequestHead", "Tagger", "check_body",
    "content_digest", "digest_field", "digest_in", "field", "place_of", "signed_text", "tag_key",
]  # fmt: skip

AUTHORIZATION: Final = "Authorization"
ACCOUNT: Final = "Carma-Account"
NONCE: Final = "Carma-Nonce"
SESSION: Final = "Carma-Session"
DATE: Final = "Carma-Date"
SQUARE: Final = "Carma-Square"
CONTENT_DIGEST: Final = "Content-Digest"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"

AUDIENCE: Final = "carma"
"""For whom an attempt is meant, unless server and client were told another name."""
NONCE_LETTERS: Final = 32
"""128 bits in hexadecimal: a server makes a new one at each start."""

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):", re.ASCII)
TAG_BYTES: Final = 16


class RequestHead(NamedTuple):
    """The headers of a request, as far as they decide whether it is admitted. "" where there is none.

    method: in capitals. target: path and query exactly as they stand in the request line. secure: whether
    the connection is under TLS or does not leave the machine; it decides about static keys.
    """

    method: str
    target: str
    authorization: str
    nonce: str = ""
    date: str = ""
    content_digest: str = ""
    idempotency_key: str = ""
    account: str = ""
    secure: bool = False

    def __repr__(self) -> str:
        # The authorization may be a key, and the query may be personal.
        return f"RequestHead({self.method} {self.target.partition('?')[0]})"


class Tagger:
    """Makes tags: 128 bits of HMAC-SHA-256 (RFC 2104) in hexadecimal. key: 32 bytes. Threads may share it.

    fresh: a new HMAC under the key, which was hashed once; each tag goes on from such a copy.
    """

    __slots__ = ("fresh",)

    def __init__(self, key: bytes) -> None:
        self.fresh = HMAC(key, SHA256()).copy

    def tag(self, text: str) -> str:
        """The tag of a text. Raises UnicodeEncodeError if it has letters that no header can have."""
        begun = self.fresh()
        begun.update(text.encode("latin-1"))
        return begun.finalize()[:TAG_BYTES].hex()

    def __repr__(self) -> str:
        return "Tagger()"


def tag_key(secret: bytes) -> bytes:
    """The key of the tags: HKDF-SHA256 (RFC 5869) of a root key's secret, for this use alone."""
    return HKDF(SHA256(), 32, salt=None, info=b"carma/1/attempt tag").derive(secret)


def field(text: str) -> str:
    """A text with its length in front (a netstring without its comma)."""
    return f"{len(text)}:{text}"


def place_of(audience: str, nonce: str) -> str:
    """The part of the signed text that is the same as long as the server runs."""
    return field(audience) + field(nonce)


def signed_text(
    header: str, place: str, session: int, method: str, target: str, digest: str, idempotency: str, date: str
) -> str:
    """The text that a tag is made of. header: the attempt key without its tag; place: from `place_of`."""
    number = str(session)
    return (
        f"carma/1 {len(header)}:{header}{place}{len(number)}:{number}{len(method)}:{method}"
        f"{len(target)}:{target}{len(digest)}:{digest}{len(idempotency)}:{idempotency}{len(date)}:{date}"
    )


def content_digest(body: bytes) -> str:
    """The Content-Digest of a body (RFC 9530); "" for an empty one, which carries none."""
    return digest_field(sha256(body).digest()) if body else ""


def digest_field(digest: bytes) -> str:
    """The Content-Digest of a body with this SHA-256."""
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def digest_in(header: str) -> bytes | None:
    """The SHA-256 in a Content-Digest; None in an empty one. Raises InvalidInput for any other form."""
    if not header:
        return None
    match = _DIGEST.fullmatch(header)
    if match is None:
        raise InvalidInput(
            "Content-Digest is not a single sha-256.", hint="Send it as sha-256=:<base64>: (RFC 9530)."
        )
    return base64.b64decode(match[1])


def check_body(header: str, digest: bytes | None) -> None:
    """Compare a body with its Content-Digest. digest: its SHA-256, None for an empty body.

    Raises BodyAltered if they differ, or if a body came without one; InvalidInput for another form.
    """
    promised = digest_in(header)
    if promised is None and digest is None:
        return
    empty = sha256(b"").digest()
    if not hmac.compare_digest(promised or empty, digest or empty):
        raise BodyAltered("The body is not the one that Content-Digest was made for.")
