import pytest
from scripted_server import serving


@pytest.fixture
def server():
    """An endpoint on localhost whose `script` a test may set."""
    with serving() as found:
        yield found
