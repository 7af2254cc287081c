"""The tokens that open the models."""

from collections.abc import Sequence

from mlbuffet.server.bearer import check_bearer
from mlbuffet.server.settings import ServerSettings
from mlbuffet.token_file import value_of


class ModelTokens:
    """That for predictions, and that for changes, which may do more."""

    def __init__(self, settings: ServerSettings) -> None:
        self._tokens = [one for one in (settings.predict_token, settings.admin_token) if one is not None]

    def current(self) -> list[str]:
        """Those that count now."""
        return [value_of(token) for token in self._tokens]

    def check(self, authorization: Sequence[str]) -> None:
        """Raise `NotAuthenticated` where the headers ``Authorization`` of a request show none of them."""
        check_bearer(authorization, self.current(), "models")
