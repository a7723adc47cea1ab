"""Who may sign: the account of the command line, and temporary keys that a test issues."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ossfs_resume.emulator import signature, signature_v1
from ossfs_resume.emulator.refusal import Refusal
from ossfs_resume.emulator.request import Request
from ossfs_resume.emulator.signature import Account

_FIELDS = frozenset(("access_key_id", "access_key_secret", "security_token", "expires_at"))


class Accounts:
    """The accounts in force; the first one is for ever."""

    def __init__(self, account: Account) -> None:
        self._first = account
        self._issued: dict[str, Account] = {}

    def issue(self, documents: Sequence[object]) -> None:
        """Accept these keys beside the first account, and no others. Raises ValueError.

        Each is an object of access_key_id, access_key_secret, security_token and perhaps
        expires_at in Unix seconds, upon which it is refused as expired.
        """
        accounts = [self._read(document) for document in documents]
        self._issued = {account.access_key_id: account for account in accounts}

    def verify(self, request: Request, now: float) -> None:
        """Raise `Refusal` unless one of the accounts signed ``request``."""
        old_key_id = signature_v1.key_id(request)
        key_id = signature.key_id(request) if old_key_id is None else old_key_id
        account = self._issued.get(key_id, self._first)
        if account.expires_at is not None and now >= account.expires_at:
            message = "The security token you provided has expired."
            raise Refusal(403, "SecurityTokenExpired", message, "0002-00000903")
        if old_key_id is not None and account.allows_v1:
            signature_v1.verify(request, account, now)
        else:
            signature.verify(request, account, now)

    def _read(self, document: object) -> Account:
        if not isinstance(document, Mapping) or not document.keys() <= _FIELDS:
            raise ValueError(f"an object of {', '.join(sorted(_FIELDS))} is wanted")
        if not document.keys() >= {"access_key_id", "access_key_secret"}:
            raise ValueError("access_key_id and access_key_secret are wanted")
        return replace(self._first, **document)
