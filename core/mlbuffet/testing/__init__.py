"""The rules that every runtime plugin keeps, as tests to inherit.

Needs ``pip install 'mlbuffet[testing]'``. A plugin's own tests say what to load and what must come out of it::

    class TestLinear(RuntimeConformance):
        @pytest.fixture
        def plugin(self) -> LinearRuntime:
            return LinearRuntime()

        @pytest.fixture
        def artifact(self, tmp_path: Path) -> Artifact:
            path = tmp_path / "double.npz"
            np.savez(path, weights=np.array([[2.0]]), bias=np.array([0.0]))
            return Artifact(path, inputs={"x": np.array([[1.0], [3.0]])}, outputs={"y": np.array([[2.0], [6.0]])})
"""

from mlbuffet.testing.samples import Artifact
from mlbuffet.testing.suite import RuntimeConformance

__all__ = ["Artifact", "RuntimeConformance"]
