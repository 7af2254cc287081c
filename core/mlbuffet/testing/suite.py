"""The rules of a runtime plugin, each as a test."""

from mlbuffet.testing.answers import Answers
from mlbuffet.testing.calls import Calls
from mlbuffet.testing.lifetime import Lifetime
from mlbuffet.testing.loading import Loading
from mlbuffet.testing.recognition import Recognition
from mlbuffet.testing.scanning import Scanning
from mlbuffet.testing.surroundings import Surroundings


class RuntimeConformance(Surroundings, Lifetime, Loading, Calls, Answers, Scanning, Recognition):
    """Subclass it as ``Test...`` and define the fixtures ``plugin`` and ``artifact``; the tests are inherited.

    ``plugin`` is an instance of a class that is constructed without arguments, or a module; ``artifact`` an `Artifact`.
    The attributes of `Subject` suit most runtimes; a subclass that changes one says why.
    """
