"""Films of made-up people, as the tests of tracks have them."""

from tests.tracks.conftest import _walkers, film_run

__all__ = ["_walkers", "film_run"]
