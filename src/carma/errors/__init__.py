"""Every error CARMA raises on purpose, as one tree.

    CarmaError
    ├── InvalidInput            the caller's argument cannot be used as given
    │   ├── DomainError         a number outside the domain of a function
    │   ├── KeyMalformed        a text that is not a key
    │   ├── BodyAltered         a body that is not the one its digest was signed for
    │   ├── IdempotencyConflict the same Idempotency-Key with another body
    │   ├── InvalidFilter       a `where` filter that does not parse
    │   └── TooLarge            over a named bound
    ├── FragmentNotFound        no fragment has this id (or it was deleted)
    ├── VersionConflict         `if_version` does not match what is stored
    ├── MemoryNotFound          no memory at this path
    ├── MemoryExists            a target that must be empty is not
    ├── MemoryBusy              another process holds the turn to write
    │   └── JournalBusy         the same, for keys, data keys or accounts
    ├── MemoryClosed            the memory was closed (or the process forked)
    │   └── BecameEncrypted     another process has encrypted it meanwhile
    ├── ReadOnlyMemory          a write on a memory that cannot be written
    ├── FormatTooNew            written by a newer CARMA
    ├── NotAMemory              the path holds something else
    ├── EmbedderError           the embedder failed or answered nonsense
    │   └── EmbedderMismatch    another embedder filled this memory
    ├── StorageError            the disk refused
    │   ├── DiskFull            no space left
    │   ├── DurabilityError     a sync failed; the write may or may not exist
    │   └── NetworkFileSystem   locks and syncs cannot be relied on there
    ├── DreamFailed             a repair cycle ended with an error
    ├── MassDamage              so much is damaged that nothing may be dropped
    ├── ModelError              the language model failed or answered what cannot be used
    ├── MissingExtra            an optional package is not installed
    ├── ArchiveDamaged          an archive or export that cannot be read
    │   ├── SealedDamaged       a sealed file is not what was sealed
    │   └── SealedTruncated     a sealed file ends before its end
    ├── NotRemote               a verb that works on a memory of this machine only
    ├── ServerUnreachable       the server could not be asked
    │   └── AnswerLost          a change was sent, and its answer never came
    ├── InvalidAnswer           the server answered what is no answer of CARMA
    ├── RemoteProblem           the server reported a problem that this client does not know
    ├── KekMissing              secrets are wrapped, and the key-encryption key is not there
    ├── KekUnsafe               the key-encryption key lies where others can read or copy it
    ├── VaultKeyWrong           wrapped bytes that this key in this context does not open
    │   └── KekWrong            another key-encryption key wrapped them
    ├── OwnerNotFound           the vault has no data key of this owner
    ├── Shredded                the owner's data key was destroyed
    ├── VaultNeeded             the memory is encrypted, and no vault was given
    ├── VaultWrong              another data key encrypts this memory
    ├── NotEncrypted            a vault was given for a memory that is not encrypted
    ├── EncryptionUnfinished    turning it into an encrypted memory was interrupted
    ├── HealFirst               fragments are lost, and what is asked would end the search for them
    ├── IdentityWrong           a file was sealed for somebody else
    ├── TooManyRequests         over the rate of a key or of a source
    ├── Blocked                 the source, key or account is blocked for a while
    ├── AuditUnavailable        audit leaves cannot be stored, so nothing may change
    ├── AuditDamaged            the audit log, a checkpoint or a proof cannot be believed
    ├── WitnessRefused          a witness did not cosign a checkpoint
    ├── EventNotLogged          the audit log has no leaf of this event
    ├── Unauthorized            the request shows no key that opens anything
    │   ├── NewSession          there is no current session: open one with the nonce that comes along
    │   ├── ReplayedAttempt     an attempt key that was used before
    │   ├── StaleRequest        a true request that was dated too far from now
    │   ├── KeyRevoked          a true key that was revoked
    │   ├── KeyExpired          a true key whose time is over
    │   ├── RootKeyExposed      a root key was sent over the wire
    │   └── StaticKeyRefused    static keys are switched off, or the connection is in the clear
    ├── Forbidden               the key lacks the permission
    ├── KeyNotFound             no key has this name
    ├── RotationRefused         this key cannot be rotated now
    ├── StillRunning            a request with this Idempotency-Key is being carried out
    ├── KeyStoreDamaged         a record of the key store is whole and not what CARMA wrote
    ├── JournalDamaged          no copy of the keys, data keys or accounts can be read
    ├── RequestRefused          what came over HTTP is no request of this interface
    │   ├── NoSuchRoute         nothing is served at this path
    │   ├── MethodNotAllowed    something is served there, by other methods
    │   ├── NotAcceptable       the answer cannot be had in the form asked for
    │   ├── UnsupportedMedia    the body is of a kind that is not taken
    │   ├── RequestTooSlow      it did not come whole in time
    │   └── HeadersTooLarge     its headers are over the bound
    ├── NotReconstructed        nothing stands in the place of this fragment's text
    ├── DreamNotFound           no repair cycle has this number
    ├── AccountNotFound         no account has this id
    ├── AccountExists           an account has this name
    ├── BlockFull               every seat of the block is taken
    ├── CannotListen            the server cannot listen at this address
    ├── ServerBusy              too much is being asked of the server at once
    │   └── SeatUnavailable     this owner's memory cannot be opened now
    ├── RequestRepeated         a change with this Idempotency-Key was made, or is being made
    ├── NothingHeld             nothing is held about this owner
    ├── OnHold                  a hold forbids to erase what this owner has
    └── ErasureUnfinished       an erasure was begun and cannot go on now

Each class carries a stable `code`, an HTTP `status`, a command line `exit_code` and a default `hint` that
says what to do. `problem()` renders the one JSON shape of an error (RFC 9457, problem details).
"""

from __future__ import annotations

from carma.errors.audit import (
    AuditDamaged,
    AuditUnavailable,
    ErasureUnfinished,
    EventNotLogged,
    NothingHeld,
    OnHold,
    WitnessRefused,
)
from carma.errors.base import (
    CarmaError,
    DomainError,
    InvalidFilter,
    InvalidInput,
    MissingExtra,
    TooLarge,
)
from carma.errors.healing import (
    DreamFailed,
    DreamNotFound,
    HealFirst,
    MassDamage,
    ModelError,
    NotReconstructed,
)
from carma.errors.keys import (
    Blocked,
    BodyAltered,
    Forbidden,
    IdempotencyConflict,
    JournalBusy,
    JournalDamaged,
    KeyExpired,
    KeyMalformed,
    KeyNotFound,
    KeyRevoked,
    KeyStoreDamaged,
    NewSession,
    ReplayedAttempt,
    RootKeyExposed,
    RotationRefused,
    StaleRequest,
    StaticKeyRefused,
    StillRunning,
    TooManyRequests,
    Unauthorized,
)
from carma.errors.memory import (
    ArchiveDamaged,
    DiskFull,
    DurabilityError,
    EmbedderError,
    EmbedderMismatch,
    FormatTooNew,
    FragmentNotFound,
    MemoryBusy,
    MemoryClosed,
    MemoryExists,
    MemoryNotFound,
    NetworkFileSystem,
    NotAMemory,
    ReadOnlyMemory,
    StorageError,
    VersionConflict,
)
from carma.errors.remote import (
    AnswerLost,
    InvalidAnswer,
    NotRemote,
    RemoteProblem,
    ServerUnreachable,
)
from carma.errors.serve import (
    AccountExists,
    AccountNotFound,
    BlockFull,
    CannotListen,
    HeadersTooLarge,
    MethodNotAllowed,
    NoSuchRoute,
    NotAcceptable,
    RequestRefused,
    RequestRepeated,
    RequestTooSlow,
    SeatUnavailable,
    ServerBusy,
    UnsupportedMedia,
)
from carma.errors.vault import (
    BecameEncrypted,
    EncryptionUnfinished,
    IdentityWrong,
    KekMissing,
    KekUnsafe,
    KekWrong,
    NotEncrypted,
    OwnerNotFound,
    SealedDamaged,
    SealedTruncated,
    Shredded,
    VaultKeyWrong,
    VaultNeeded,
    VaultWrong,
)

__all__ = [
    "AccountExists",
    "AccountNotFound",
    "AnswerLost",
    "ArchiveDamaged",
    "AuditDamaged",
    "AuditUnavailable",
    "BecameEncrypted",
    "BlockFull",
    "Blocked",
    "BodyAltered",
    "CannotListen",
    "CarmaError",
    "DiskFull",
    "DomainError",
    "DreamFailed",
    "DreamNotFound",
    "DurabilityError",
    "EmbedderError",
    "EmbedderMismatch",
    "EncryptionUnfinished",
    "ErasureUnfinished",
    "EventNotLogged",
    "Forbidden",
    "FormatTooNew",
    "FragmentNotFound",
    "HeadersTooLarge",
    "HealFirst",
    "IdempotencyConflict",
    "IdentityWrong",
    "InvalidAnswer",
    "InvalidFilter",
    "InvalidInput",
    "JournalBusy",
    "JournalDamaged",
    "KekMissing",
    "KekUnsafe",
    "KekWrong",
    "KeyExpired",
    "KeyMalformed",
    "KeyNotFound",
    "KeyRevoked",
    "KeyStoreDamaged",
    "MassDamage",
    "MemoryBusy",
    "MemoryClosed",
    "MemoryExists",
    "MemoryNotFound",
    "MethodNotAllowed",
    "MissingExtra",
    "ModelError",
    "NetworkFileSystem",
    "NewSession",
    "NoSuchRoute",
    "NotAMemory",
    "NotAcceptable",
    "NotEncrypted",
    "NotReconstructed",
    "NotRemote",
    "NothingHeld",
    "OnHold",
    "OwnerNotFound",
    "ReadOnlyMemory",
    "RemoteProblem",
    "ReplayedAttempt",
    "RequestRefused",
    "RequestRepeated",
    "RequestTooSlow",
    "RootKeyExposed",
    "RotationRefused",
    "SealedDamaged",
    "SealedTruncated",
    "SeatUnavailable",
    "ServerBusy",
    "ServerUnreachable",
    "Shredded",
    "StaleRequest",
    "StaticKeyRefused",
    "StillRunning",
    "StorageError",
    "TooLarge",
    "TooManyRequests",
    "Unauthorized",
    "UnsupportedMedia",
    "VaultKeyWrong",
    "VaultNeeded",
    "VaultWrong",
    "VersionConflict",
    "WitnessRefused",
]
