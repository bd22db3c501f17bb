"""What a request can be, and the routes we ship. The owner maps each decision to a route."""

from enum import StrEnum


class Decision(StrEnum):
    """What a request needs; its value is the word that stands in configuration, log and record.

    The classifier decides the first four. META is a frontend's own housekeeping, found by its markers.
    """

    SIMPLE = "SIMPLE"
    MODERATE = "MODERATE"
    COMPLEX = "COMPLEX"
    ENRICH = "ENRICH"
    META = "META"


CLASSIFIED = (Decision.SIMPLE, Decision.MODERATE, Decision.COMPLEX, Decision.ENRICH)
PINNED = "PINNED"  # stands where a decision would, when the client named the route or the provider itself
# Routes of config.yaml. XAI is what the cloud's was called before, and stays its alias.
PRIMARY, META, ENRICH, CLOUD, XAI = "primary", "meta", "enrich", "cloud", "xai"
