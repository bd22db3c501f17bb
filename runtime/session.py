"""How a server of this machine is asked."""

import requests


def local_session() -> requests.Session:
    """A session that no proxy of the environment comes between."""
    session = requests.Session()
    session.trust_env = False
    return session
