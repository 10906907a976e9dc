"""An OpenAI-compatible endpoint: `POST {base}/chat/completions`, tried until it answers.

Time-outs, dropped connections, 408, 409, 425, 429, 5xx and replies that are no completion are tried
again: after the time that Retry-After names, during which no other call is sent either, else after
a wait that doubles, with jitter. The key is in a header of the requests and nowhere else.
"""

import asyncio
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from skinflow_jax.endpoint.journal import Answer, BudgetInUse, Journal
from skinflow_jax.endpoint.replies import completion, estimate, retry_after
from skinflow_jax.errors import InputError, one_line, printable, shortened

_AGAIN = frozenset({408, 409, 425, 429})
_OF_THE_CASE = frozenset({400, 413, 422})
_LARGEST_REPLY = 4 * 2**20
# So many requests in a row without an answer: it is not they that are at fault.
_FRUITLESS = 5
# So many in a row are refused for what they hold, and none is answered: it is the kind of request.
_ALL_REFUSED = 20
_SHORTEST_SECRET = 8  # shorter ones are dummies for servers that want any, and words of answers
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Patience:
    """How long an answer is waited for, in seconds, and how often it is asked for.

    `per_minute`: most requests a minute, tries included, evenly spaced; None for no limit.
    `timeout`: for a whole reply. `first_wait`, `longest_wait`: between tries. `longest_asked`: of
    Retry-After; where the endpoint asks for more, the command ends.
    """

    timeout: float = 120.0
    tries: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_asked: float = 600.0
    per_minute: int | None = None

    def wait(self, tried: int) -> float:
        """Seconds before the next try after `tried` failed ones, half of them by chance."""
        longest = min(self.longest_wait, self.first_wait * 2 ** (tried - 1))
        return longest * random.uniform(0.5, 1.0)


class Unanswered(Exception):
    """A request that this endpoint does not answer; others may be, so nothing ends here."""


class Refused(Unanswered):
    """A request that this endpoint refuses for what it holds: to ask again would not help."""


class _Failed(Exception):
    """One try without an answer: the kind that is counted, and how long to wait if it says so."""

    def __init__(self, kind: str, wait: float | None = None, said: str = ""):
        super().__init__(kind)
        self.kind, self.wait, self.said = kind, wait, said


class Endpoint:
    """Where answers come from; `async with` it.

    Args:
      base: address up to `/v1`.
      key: None sends none.
      key_name: environment variable that the key comes from, for messages.

    Attributes:
      successes: answers that were given, not those that were known.
      down: why nothing is asked any more, None while it is.
    """

    def __init__(self, base: str, key: str | None, key_name: str, patience: Patience | None = None):
        self._url, self._key, self._key_name = _checked(base), key, key_name
        self._patience = patience or Patience()
        self.successes, self.down = 0, None
        self._free_at = self._next_at = 0.0
        self._fruitless, self._refused = 0, 0
        self._secret = _written(key) if key and len(key) >= _SHORTEST_SECRET else None
        self._dearest = 0
        self._ended = asyncio.Event()
        self._asking: dict[str, asyncio.Lock] = {}
        if key is not None and not re.fullmatch(r"[!-~]+", key):
            raise InputError(f"environment variable {key_name}: is no key; set it to the bare key")
        try:
            self._client = httpx2.AsyncClient(
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=self._patience.timeout,
                limits=httpx2.Limits(max_connections=None),
                trust_env=self._url.host not in _LOCAL,  # of proxies
            )
        except (ImportError, ValueError, OSError) as error:  # not shown: it may hold a password
            raise InputError(
                f"a proxy or certificate of the environment cannot be used "
                f"({type(error).__name__}): look at HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE"
            ) from None

    @property
    def host(self) -> str:
        """Whom the requests go to."""
        return self._url.host

    @property
    def sends_key_in_clear(self) -> bool:
        """Whether others on the way can read the key."""
        return bool(self._key) and self._url.scheme == "http" and self._url.host not in _LOCAL

    async def __aenter__(self) -> "Endpoint":
        return self

    async def __aexit__(self, *exc_info) -> None:
        await self._client.aclose()

    async def ask(self, body: Mapping[str, Any], key: str, journal: Journal) -> Answer:
        """The answer to a request, from the journal or else by a call that it keeps.

        Raises Unanswered where the request is refused or fails at every try, and at once where
        the endpoint is down; BudgetSpent; InputError where the address or the key is refused.
        """
        async with self._asking.setdefault(key, asyncio.Lock()):  # two cases may ask the same
            return journal.answer(key) or await self._asked(body, key, journal)

    async def _asked(self, body: Mapping[str, Any], key: str, journal: Journal) -> Answer:
        failure = _Failed("")
        for tried in range(1, self._patience.tries + 1):
            await self._turn(journal)
            expected = await self._reserve(body, key, journal)
            try:
                answer = await self._call(body)
            except _Failed as error:
                failure = error
                # Of a call that was on its way nobody tells whether it is billed.
                journal.failed(key, error.kind, 0 if error.said else expected)
                self._call_ended()
                self._refuse(error)
                if tried < self._patience.tries:
                    await self._hold(error, tried)
                continue
            journal.answered(key, answer)
            self.successes, self._fruitless, self._refused = self.successes + 1, 0, 0
            self._dearest = max(self._dearest, answer.tokens)
            self._call_ended()
            return answer
        raise self._unanswered(failure)

    async def _turn(self, journal: Journal) -> None:
        """Wait for Retry-After, which may be moved meanwhile, and for a place among the minute's.

        Raises Unanswered where the endpoint is down, and BudgetSpent, which no wait would mend.
        """
        apart = 60 / self._patience.per_minute if self._patience.per_minute else 0.0
        mine = False
        while not mine:
            if self.down is not None:
                raise Unanswered(self.down)
            journal.check_calls()
            at = max(self._free_at, self._next_at, time.monotonic())
            self._next_at = at + apart
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            mine = at >= self._free_at and self.down is None

    def _unanswered(self, failure: _Failed) -> Unanswered:
        self._fruitless += 1
        if self._fruitless >= _FRUITLESS:
            self.down = f"{failure.kind}{failure.said}"
        return Unanswered(f"{failure.kind}{failure.said}")

    async def _reserve(self, body: Mapping[str, Any], key: str, journal: Journal) -> int:
        """Tokens that a call is expected to take, once the budget has them."""
        while True:
            expected = self._dearest or estimate(body)
            try:
                journal.sent(key, expected)
                return expected
            except BudgetInUse:
                await self._ended.wait()

    def _call_ended(self) -> None:
        """Wake those who wait for its part of the budget."""
        self._ended.set()
        self._ended = asyncio.Event()

    async def _hold(self, error: _Failed, tried: int) -> None:
        if error.wait is None:
            await asyncio.sleep(self._patience.wait(tried))
            return
        if error.wait > self._patience.longest_asked:
            self.down = f"{error.kind}: it asks to wait {error.wait:,.0f} s"
            raise Unanswered(self.down)
        # For all: whoever sends meanwhile is refused too.
        wait = max(error.wait, self._patience.wait(tried))
        self._free_at = max(self._free_at, time.monotonic() + wait)

    def _refuse(self, error: _Failed) -> None:
        """End what no further try can mend."""
        status = int(error.kind.removeprefix("HTTP ")) if error.kind.startswith("HTTP ") else 0
        if not status or status in _AGAIN or status >= 500:
            return
        if status in _OF_THE_CASE:
            self._refused += 1
            if self._refused >= _ALL_REFUSED and not self.successes:
                self.down = f"{error.kind}{error.said}"
            raise Refused(f"{error.kind}{error.said}")
        remedy = "--base-url and --model"
        if status == 402:
            remedy = "the account: it asks for payment"
        if status in (401, 403):
            remedy = f"the key in {self._key_name}"
        raise InputError(f"{self._url} refuses with {error.kind}{error.said}; check {remedy}")

    async def _call(self, body: Mapping[str, Any]) -> Answer:
        try:
            async with (
                asyncio.timeout(self._patience.timeout),
                self._client.stream("POST", self._url, json=dict(body)) as response,
            ):
                content = bytearray()
                async for part in response.aiter_bytes():
                    content.extend(part)
                    if len(content) > _LARGEST_REPLY:
                        raise _Failed("a reply without end")
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise _Failed("time-out") from error
        except (httpx2.ConnectError, httpx2.UnsupportedProtocol) as error:
            raise _Failed("no connection", said=f": {self._told(one_line(error))}") from error
        except httpx2.DecodingError as error:
            raise _Failed("a damaged reply") from error
        except httpx2.HTTPError as error:
            raise _Failed("half a reply") from error
        if response.status_code != 200:
            said = f": {self._told(content.decode(errors='replace'))}"
            wait = retry_after(response.headers) if response.status_code in (429, 503) else None
            raise _Failed(f"HTTP {response.status_code}", wait, said)
        try:
            answer = completion(bytes(content), estimate(body))
        except ValueError as error:
            raise _Failed("a reply that is no completion") from error
        return replace(answer, text=self._without_key(answer.text))

    def _told(self, text: str) -> str:
        """What an endpoint says, fit for a message: a server may repeat the key that it refuses."""
        plain = printable(" ".join(self._without_key(text).split()))
        return shortened(plain, 200)

    def _without_key(self, text: str) -> str:
        return self._secret.sub("[key]", text) if self._secret else text


def _written(key: str) -> re.Pattern[str]:
    """A key as it may stand in a text: plain, or as JSON and its like escape characters."""
    forms = (rf"\\?{re.escape(c)}|\\u(?i:{ord(c):04x})|%(?i:{ord(c):02x})" for c in key)
    return re.compile("".join(f"(?:{form})" for form in forms))


def _checked(base: str) -> httpx2.URL:
    try:
        url = httpx2.URL(base.rstrip("/") + "/chat/completions")
    except (httpx2.InvalidURL, TypeError):
        url = None
    wrong = url is None or not re.fullmatch(r"[\w.:-]+", url.host)
    if wrong or url.scheme not in ("http", "https"):
        raise InputError("--base-url must be like https://HOST/v1")
    if url.userinfo or url.query or url.fragment:  # not shown: it may be a key
        raise InputError(
            "--base-url must hold no password, key or query; name the key by --key-variable"
        )
    return url
