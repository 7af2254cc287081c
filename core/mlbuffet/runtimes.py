"""The installed runtimes, and the choice between them."""

import inspect
import logging
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from threading import RLock
from typing import Any

import pluggy

from mlbuffet.artifact import visible
from mlbuffet.contents import failed_download, known_problem
from mlbuffet.errors import (
    AmbiguousRuntime,
    DuplicateRuntime,
    IncompleteRuntime,
    InvalidHook,
    InvalidOptions,
    LoadFailed,
    MLBuffetError,
    NoRuntime,
    NotOneArtifact,
    UnknownRuntime,
    reason_of,
)
from mlbuffet.hookspecs import PROJECT, OptionalHooks, RuntimePlugin

logger = logging.getLogger(__name__)


class Runtime:
    """One registered runtime: a plugin under its name, and its hooks."""

    def __init__(
        self, name: str, plugin: object, hook: Callable[[str], Callable[..., Any]], entry_point: EntryPoint | None
    ) -> None:
        distribution = entry_point.dist if entry_point else None
        self.name = name
        self.plugin = plugin
        self.distribution: str | None = distribution.name if distribution else None
        self.version: str | None = distribution.version if distribution else None
        self.platform: str = getattr(plugin, "platform", name)
        self.takes_any_shape: bool = getattr(plugin, "takes_any_shape", False)
        concurrent: bool = getattr(plugin, "concurrent_loads", False)
        self.load_lock: AbstractContextManager[object] = nullcontext() if concurrent else RLock()
        """Held while a model is loaded. A load may load another model of the runtime."""
        self.load_options: frozenset[str] = frozenset(getattr(plugin, "load_options", ()))
        """The names of its options, where it says them."""
        self.client_options: frozenset[str] = frozenset(getattr(plugin, "client_options", ()))
        """The names of the options that whoever uploads a model may give."""
        self.default_options: Mapping[str, Any] = {}
        """Options of every model that gives none of these names; a program may set them before it loads models."""
        self.hook = hook
        """Gives a hook by its name, as this plugin implements it, with the wrappers of others."""

    @property
    def description(self) -> str:
        """What the runtime accepts: the first line of a docstring of the plugin."""
        text = inspect.getdoc(getattr(self.plugin, "accepts", None)) or inspect.getdoc(self.plugin) or ""
        return text.partition("\n")[0]

    def accepts(self, path: Path) -> bool:
        """Whether the runtime says that ``path`` is its artifact; a plugin that raises says no."""
        return bool(self._call("accepts", path))

    def combined_options(self, options: Mapping[str, Any], client_options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a load. Raises `InvalidOptions` for those of a client that a client may not give."""
        if refused := [name for name in client_options if name not in self.client_options]:
            raise InvalidOptions(f"an upload may not set {', '.join(map(repr, refused))}", sorted(self.client_options))
        return {**self.default_options, **client_options, **options}

    def explain(self, path: Path) -> str | None:
        """Why ``path``, which is of the runtime's kind, cannot be served; ``None`` for other paths."""
        reason = self._call("explain", path)
        return reason if isinstance(reason, str) else None

    def _call(self, hook: str, path: Path) -> Any:
        try:
            return self.hook(hook)(path=path)
        except Exception as error:
            logger.warning("the runtime %r failed in %s for '%s': %s", self.name, hook, path, reason_of(error))
            logger.debug("its traceback:", exc_info=error)
            return None

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Runtime {self.name!r} of {self.distribution or 'this program'}>"


class Runtimes:
    """The runtimes of a program: those installed as packages, and those it registers itself.

    ``broken`` holds, by name, why an installed plugin could not be registered.
    """

    def __init__(self) -> None:
        self.broken: dict[str, Exception] = {}
        self._runtimes: dict[str, Runtime] = {}
        self._discovered: set[EntryPoint] = set()
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(RuntimePlugin)
        self._manager.add_hookspecs(OptionalHooks)

    def discover(self) -> None:
        """Register the plugin of every new entry point of the group ``mlbuffet``.

        One by one (`load_setuptools_entrypoints` stops at the first that fails): a plugin that cannot be imported or
        registered is noted in ``broken``.
        """
        for entry_point in entry_points(group=PROJECT):
            if entry_point in self._discovered:
                continue
            self._discovered.add(entry_point)
            try:
                self._register(entry_point.load(), entry_point.name, entry_point)
            except (Exception, SystemExit) as error:
                reason = error if isinstance(error, Exception) else ImportError("the plugin exits when it is imported")
                self.broken[entry_point.name] = reason
                logger.info("the plugin %r is broken", entry_point.name, exc_info=reason)

    def register(self, plugin: object, *, name: str) -> None:
        """Add a plugin: an instance, a class without constructor arguments, or a module.

        A plugin with hook wrappers alone becomes no runtime; it wraps every runtime's hooks from then on. Raises
        `DuplicateRuntime`, `IncompleteRuntime`, or `InvalidHook`.
        """
        self._register(plugin, name, None)

    def select(self, path: Path, runtime: str | None = None) -> Runtime:
        """The runtime for ``path``: the one named, without asking it, else the only one that accepts the path.

        Raises `UnknownRuntime`, `NoRuntime`, `NotOneArtifact` or `AmbiguousRuntime`, or `LoadFailed` where none accepts
        the path and it is known what it is and why it cannot be served.
        """
        if runtime is not None:
            if runtime not in self._runtimes:
                raise UnknownRuntime(runtime, self._runtimes, self.broken)
            return self._runtimes[runtime]
        match [candidate for candidate in self if candidate.accepts(path)]:
            case [chosen]:
                if several := self._several_in(path, chosen):
                    raise NotOneArtifact(path, several, self._runtimes, self.broken)
                return chosen
            case []:
                raise self._refusal(path)
            case several:
                raise AmbiguousRuntime(path, map(str, several))

    def _several_in(self, path: Path, chosen: Runtime) -> list[Path]:
        """The artifacts in a folder that ``chosen`` accepts for one of them, where another runtime accepts one too."""
        inside = _inside(path)
        if not any(chosen.accepts(child) for child in inside):
            return []
        artifacts = [child for child in inside if any(one.accepts(child) for one in self)]
        return [] if all(chosen.accepts(child) for child in artifacts) else artifacts

    def _refusal(self, path: Path) -> MLBuffetError:
        """Why ``path``, which no runtime accepts, cannot be loaded."""
        if reason := failed_download(path):
            return NoRuntime(path, self._runtimes, self.broken, reason)
        for candidate in self:
            if reason := candidate.explain(path):
                return LoadFailed(reason, path=path, runtime=candidate.name)
        if inside := [child for child in _inside(path) if self._holds_artifact(child)]:
            return NotOneArtifact(path, inside, self._runtimes, self.broken)
        return NoRuntime(path, self._runtimes, self.broken, known_problem(path))

    def _holds_artifact(self, path: Path, depth: int = 2) -> bool:
        """Whether ``path`` is an artifact, or a folder with one in it: a folder of versions, or of models."""
        if any(one.accepts(path) or one.explain(path) for one in self):
            return True
        return bool(depth) and any(self._holds_artifact(child, depth - 1) for child in _inside(path))

    def __getitem__(self, name: str) -> Runtime:
        return self._runtimes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._runtimes

    def __iter__(self) -> Iterator[Runtime]:
        return iter(self._runtimes.values())

    def __len__(self) -> int:
        return len(self._runtimes)

    def _register(self, plugin: object, name: str, entry_point: EntryPoint | None) -> None:
        if self._manager.has_plugin(name):
            raise DuplicateRuntime(name)
        instance = plugin() if isinstance(plugin, type) else plugin
        self._check_hooks(instance, name)
        self._manager.register(instance, name)
        try:
            implemented = self._implemented(instance)
            missing = [hook for hook in ("accepts", "load", "signature", "predict") if hook not in implemented]
            if missing and (implemented or not self._manager.get_hookcallers(instance)):
                raise IncompleteRuntime(name, missing)
        except Exception:
            self._manager.unregister(instance)
            raise
        if implemented:
            self._runtimes[name] = Runtime(name, instance, lambda hook: self._bind(instance, hook), entry_point)

    def _check_hooks(self, plugin: object, name: str) -> None:
        """Before pluggy does it, whose messages do not name what is allowed."""
        specified = {**vars(RuntimePlugin), **vars(OptionalHooks)}
        hooks = {hook: _arguments(function) for hook, function in specified.items() if not hook.startswith("_")}
        for attribute in dir(plugin):
            implementation = self._manager.parse_hookimpl_opts(plugin, attribute)
            if implementation is None or implementation["optionalhook"]:
                continue
            hook = implementation["specname"] or attribute
            function = getattr(plugin, attribute)
            if hook not in hooks:
                raise InvalidHook(name, f"there is no hook {hook!r}", f"the hooks are {', '.join(hooks)}")
            if inspect.iscoroutinefunction(function):
                raise InvalidHook(name, f"its hook {hook!r} is a coroutine function", "write it as def, not async def")
            if unknown := [argument for argument in _arguments(function) if argument not in hooks[hook]]:
                instead = f"the arguments are {', '.join(hooks[hook])}, by these names"
                raise InvalidHook(name, f"its hook {hook!r} has the argument {unknown[0]!r}", instead)

    def _implemented(self, plugin: object) -> set[str]:
        return {
            caller.name
            for caller in self._manager.get_hookcallers(plugin) or []
            for implementation in caller.get_hookimpls()
            if implementation.plugin is plugin and not (implementation.wrapper or implementation.hookwrapper)
        }

    def _bind(self, plugin: object, hook: str) -> Callable[..., Any]:
        """The method of ``plugin`` itself where nothing wraps it: 0.1 us a call instead of 3.5-9 us through pluggy."""
        others = [other.plugin for other in self if other.plugin is not plugin]
        caller = self._manager.subset_hook_caller(hook, others)
        match caller.get_hookimpls():
            case [alone] if caller.spec and alone.plugin is plugin:
                taken, function = alone.argnames, alone.function
                if set(taken) == set(caller.spec.argnames):
                    return function
                return lambda **given: function(**{name: given[name] for name in taken})
        return caller


def installed_runtimes() -> Runtimes:
    """The runtimes that are installed as packages; the result is shared, and must not be changed.

    They are looked for once a process, and again after the installed distributions changed or while one is broken,
    because its author may be mending it.
    """
    found = _found_in(_installation())
    if found.broken:
        _found_in.cache_clear()
    return found


@lru_cache(maxsize=1)
def _found_in(installation: tuple[tuple[str, int], ...]) -> Runtimes:  # noqa: ARG001 the key of the cache
    found = Runtimes()
    found.discover()
    return found


def _installation() -> tuple[tuple[str, int], ...]:
    """The times at which the places of ``sys.path`` were changed, by which importlib.metadata keeps its cache too."""
    times = []
    for place in sys.path:
        with suppress(OSError, ValueError):
            times.append((place, Path(place).stat().st_mtime_ns))
    return tuple(times)


def _inside(path: Path) -> list[Path]:
    """The content of a folder that may be read."""
    with suppress(OSError):
        return visible(path) if path.is_dir() else []
    return []


def address_of(plugin: object) -> str:
    """The plugin as the object of an entry point: ``module`` or ``module:Class``."""
    if isinstance(plugin, types.ModuleType):
        return plugin.__name__
    kind = plugin if isinstance(plugin, type) else type(plugin)
    return f"{kind.__module__}:{kind.__qualname__}"


def _arguments(function: Callable[..., Any]) -> list[str]:
    """The names of the required arguments, without ``self``."""
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.default is one.empty and one.name != "self"]
