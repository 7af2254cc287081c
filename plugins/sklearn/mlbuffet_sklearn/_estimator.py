"""The estimator in a .skops file."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import skops.io
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from skops.io.exceptions import UntrustedTypesFoundException

from mlbuffet.errors import LoadFailed


def load_estimator(path: Path, trusted: Collection[str]) -> Any:
    """The fitted estimator in ``path``, made of types that skops trusts and those ``trusted``. Raises `LoadFailed`."""
    try:
        estimator = skops.io.load(path, trusted=list(trusted))
        check_is_fitted(estimator)
        for part in parts(estimator, set()):
            if "n_jobs" in vars(part):
                part.n_jobs = None  # the number was for the machine of the training, and may mean processes
    except UntrustedTypesFoundException:
        raise _untrusted(untrusted_types(path, trusted)) from None
    except ModuleNotFoundError as error:
        raise LoadFailed(f"it needs the module {error.name!r}, which is not installed") from error
    except NotFittedError:
        raise LoadFailed("it is not fitted; fit it before it is saved") from None
    except Exception as error:
        raise LoadFailed(
            "it holds no estimator that can be made here; it may come from other versions of scikit-learn or skops: "
            "install those, or save it with these",
            detail=str(error),
        ) from error
    return estimator


def untrusted_types(path: Path, trusted: Collection[str]) -> list[str]:
    """The types and functions in ``path`` that neither skops trusts nor are ``trusted``."""
    return sorted(set(skops.io.get_untrusted_types(file=path)).difference(trusted))


def parts(value: Any, seen: set[int]) -> Iterator[BaseEstimator]:
    """The estimators in ``value``, itself among them, each once."""
    if isinstance(value, BaseEstimator | list | tuple | dict) and id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, BaseEstimator):
            yield value
            value = vars(value)
        for inner in value.values() if isinstance(value, dict) else value:
            yield from parts(inner, seen)


def _untrusted(types: list[str]) -> LoadFailed:
    listed = ", ".join(f'"{name}"' for name in types)
    return LoadFailed(
        f"it holds types and functions that are not trusted: {listed}; where you know who made the file, name them in "
        f"its options: trusted = [{listed}]"
    )
