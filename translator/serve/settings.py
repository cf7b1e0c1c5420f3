"""What a server allows, and how long and how much."""

from dataclasses import dataclass, field

MAX_TEXTS = 500  # in one request
MAX_ALTERNATIVES = 10
MAX_TERMS = 500
MAX_TERM_LENGTH = 200  # characters
MAX_DOCUMENTS = 8  # that are held in memory at a time


@dataclass(frozen=True)
class ServeSettings:
    """Limits and access. A rate of 0 is no limit; without keys everybody may ask."""

    max_characters: int = 10_000  # of all texts of a request
    max_file_bytes: int = 5_000_000
    queue: int = 256  # requests that wait for the model
    timeout: float = 60.0  # seconds a request may take, once it is read
    file_timeout: float = 900.0  # the same for documents
    read_timeout: float = 30.0  # seconds in which a request must have arrived
    rate_limit: int = 0  # requests a minute from one address, or with one key
    api_keys: frozenset[str] = field(default_factory=frozenset)
    behind_proxy: bool = False  # one on this machine, whose X-Forwarded-For is believed
    log_text: bool = False

    @property
    def max_body_bytes(self) -> int:
        """Of a request without a document: a character is at most 12 bytes (a pair in JSON)."""
        return 12 * self.max_characters + 20_000
