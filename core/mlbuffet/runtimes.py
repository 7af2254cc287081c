"""The installed runtimes, and the choice between them."""

import inspect
import logging
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache, lru_cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

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
from mlbuffet.load_turn import LoadTurn
from mlbuffet.options_type import option_names, options_of
from mlbuffet.pickles import pickle_risks
from mlbuffet.risks import Risk
from mlbuffet.runtime_choice import Preference, RuntimeChoice, Wanted, names_of
from mlbuffet.tensors import Tensors

_MADE_IF_TAKEN = "request"
"""The argument of ``predict`` that most plugins have no use for."""
_MAY_BE_LEFT_OUT = (_MADE_IF_TAKEN, "context")

logger = logging.getLogger(__name__)


class ProcessCounts(Protocol):
    """What is measured of the processes of a model."""

    @property
    def alive(self) -> int:
        """How many can be called."""
        ...

    @property
    def restarts(self) -> int:
        """How often one was started anew."""
        ...


class Runtime:
    """One registered runtime: a plugin under its name, and its hooks."""

    processes: ProcessCounts | None = None
    """Those in which it runs its model, where it has one, and some of its own."""

    def __init__(
        self,
        name: str,
        plugin: object,
        hook: Callable[[str], Callable[..., Any]],
        takes: Callable[[str, str], bool],
        entry_point: EntryPoint | None,
    ) -> None:
        metadata = entry_point.dist.metadata if entry_point and entry_point.dist else None  # is parsed at each access
        self.name = name
        self.plugin = plugin
        self.distribution: str | None = metadata["Name"] if metadata else None
        self.version: str | None = metadata["Version"] if metadata else None
        self.platform: str = getattr(plugin, "platform", name)
        self.takes_any_shape: bool = getattr(plugin, "takes_any_shape", False)
        self.output_shapes_may_differ: bool = getattr(plugin, "output_shapes_may_differ", False)
        concurrent: bool = getattr(plugin, "concurrent_loads", False)
        self.load_turn: Callable[[], AbstractContextManager[object]] = nullcontext if concurrent else LoadTurn().taken
        """Around the load of a model."""
        self.options_type: type | None = getattr(plugin, "options", None)
        """Its fields are the options; ``None`` where the plugin does not say which it has."""
        self.load_options: tuple[str, ...] | None = _option_names(name, self.options_type)
        """The names of its options, where it says them."""
        self.threads_option: str | None = _threads_option(name, plugin, self.load_options)
        """The name of the option that says how many threads compute a call; 0 or less: one for each core."""
        self.client_options: frozenset[str] = frozenset(getattr(plugin, "client_options", ()))
        """The names of the options that whoever uploads a model may give."""
        self.default_options: Mapping[str, Any] = {}
        """Options of every model that gives none of these names; a program may set them before it loads models."""
        self.hook = hook
        """Gives a hook by its name, as this plugin implements it, with the wrappers of others.

        It is called with all its arguments, but ``predict`` with no ``request`` where nobody takes it.
        """
        self.takes = takes
        """Whether anyone who implements or wraps a hook takes an argument of it."""

    @property
    def description(self) -> str:
        """What the runtime accepts: the first line of a docstring of the plugin."""
        text = inspect.getdoc(getattr(self.plugin, "accepts", None)) or inspect.getdoc(self.plugin) or ""
        return text.partition("\n")[0]

    def accepts(self, path: Path) -> bool:
        """Whether the runtime says that ``path`` is its artifact; a plugin that raises says no."""
        return self.refusal(path) is None

    def refusal(self, path: Path) -> str | None:
        """What it raises where it is asked whether it accepts ``path``, empty for a plain no; ``None`` for a yes."""
        accepted, failure = self._call("accepts", path)
        return None if accepted else failure

    def combined_options(self, options: Mapping[str, Any], client_options: Mapping[str, Any]) -> Any:
        """What ``load`` is given. Raises `InvalidOptions`, also for options of a client that a client may not give."""
        if refused := [name for name in client_options if name not in self.client_options]:
            raise InvalidOptions(f"an upload may not set {', '.join(map(repr, refused))}", sorted(self.client_options))
        given = {**self.default_options, **client_options, **options}
        if self.options_type is None:
            return given
        with self.naming_options(client_options):
            return options_of(self.options_type, given)

    @contextmanager
    def naming_options(self, client_options: Mapping[str, Any]) -> Iterator[None]:
        """Raises `InvalidOptions` with the names that there are, to a client that gave some with those for clients."""
        try:
            yield
        except InvalidOptions as error:
            valid = error.valid or self.load_options or ()
            known = [name for name in valid if name in self.client_options] if client_options else valid
            raise InvalidOptions(error.problem, known) from error

    def explain(self, path: Path) -> str | None:
        """Why ``path``, which is of the runtime's kind, cannot be served; ``None`` for other paths."""
        reason, _ = self._call("explain", path)
        return reason if isinstance(reason, str) else None

    def is_suspect(self, model: Any, signature: str, inputs: Tensors) -> bool:  # noqa: ARG002 see IsolatedRuntime
        """Whether a call of a handle is to run alone, because it may end the process that it runs in."""
        return False

    def end_of_warmup(self, model: Any) -> None:
        """A handle was loaded, and has answered its first calls."""

    def risks(self, path: Path, options: Any) -> list[Risk]:
        """What its artifact at ``path`` can do besides computing, with `combined_options`. Raises `LoadFailed`."""
        try:
            found = self.hook("risks")(path=path, options=options)
            return [*(found or ()), *pickle_risks(path, in_archives=found is None)]
        except MLBuffetError:
            raise
        except Exception as error:
            reason = "what it can do cannot be read from it; copy or save the model again"
            raise LoadFailed(reason, path=path, runtime=self.name, detail=reason_of(error)) from error

    def _call(self, hook: str, path: Path) -> tuple[Any, str]:
        """What the hook says, and what it raises instead."""
        try:
            return self.hook(hook)(path=path), ""
        except OSError as error:
            logger.debug("the runtime %r could not read '%s': %s", self.name, path, error)
        except Exception as error:
            logger.warning("the runtime %r failed in %s for '%s': %s", self.name, hook, path, reason_of(error))
            logger.debug("its traceback:", exc_info=error)
            return None, reason_of(error)
        return None, ""

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
        """Register the plugin of every new entry point of the group ``mlbuffet``, by name.

        One by one (`load_setuptools_entrypoints` stops at the first that fails): a plugin that cannot be imported or
        registered is noted in ``broken``.
        """
        for entry_point in sorted(entry_points(group=PROJECT), key=lambda one: one.name):
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

    def select(self, path: Path, runtime: Wanted = None) -> Runtime:
        """The runtime for ``path``: the only one that accepts it, or what ``runtime`` says.

        A name is that runtime, without asking it; of several names it is the first that accepts the path, and no other;
        a `Preference` decides where several accept. Raises `UnknownRuntime`, `NoRuntime`, `NotOneArtifact` or
        `AmbiguousRuntime`, or `LoadFailed` where none accepts the path and it is known why it cannot be served.
        """
        if isinstance(runtime, str):
            return self._named(runtime)
        return self._decided(path, runtime, {one.name: one.refusal(path) for one in self.candidates(runtime)})

    def choice(self, path: Path, runtime: Wanted = None) -> RuntimeChoice:
        """What each runtime says of ``path``, and which of them `select` gives."""
        answers = {one.name: one.refusal(path) for one in self}
        asked = {one.name: answers[one.name] for one in self.candidates(runtime)}
        chosen, error = None, None
        try:
            chosen = self._named(runtime) if isinstance(runtime, str) else self._decided(path, runtime, asked)
        except MLBuffetError as refusal:
            error = refusal
        refusing = dict.fromkeys(names_of(runtime), "it is not installed")
        refusing |= {name: f"it is broken: {reason_of(reason)}" for name, reason in self.broken.items()}
        for name, reason in answers.items():
            refusing[name] = f"it failed: {reason}" if reason else self[name].explain(path) or ""
        accepting = tuple(sorted(name for name, reason in answers.items() if reason is None))
        refusing = {name: refusing[name] for name in sorted(refusing) if name not in accepting}
        return RuntimeChoice(path, chosen.name if chosen else None, accepting, refusing, error)

    def candidates(self, runtime: Wanted) -> list[Runtime]:
        """The runtimes that may be taken, in the order of their names where ``runtime`` names some; else all."""
        if not runtime or isinstance(runtime, Preference):
            return list(self)
        return [self._runtimes[name] for name in names_of(runtime) if name in self._runtimes]

    def _named(self, name: str) -> Runtime:
        if name not in self._runtimes:
            raise UnknownRuntime(name, self._runtimes, self.broken)
        return self._runtimes[name]

    def _decided(
        self, path: Path, runtime: Sequence[str] | Preference | None, refusals: Mapping[str, str | None]
    ) -> Runtime:
        """The runtime that ``refusals`` leave, whose text is that of `Runtime.refusal`, by the names of those asked."""
        names = names_of(runtime)
        if not refusals and names:
            raise UnknownRuntime(names[0], self._runtimes, self.broken)
        accepting = [name for name, reason in refusals.items() if reason is None]
        for name in names:
            if name in accepting:
                return self._runtimes[name]
        match accepting:
            case [name]:
                chosen = self._runtimes[name]
                if several := self._several_in(path, chosen):
                    raise NotOneArtifact(path, several, self._runtimes, self.broken)
                return chosen
            case []:
                if isinstance(runtime, Preference):
                    if runtime.last_resort is not None:
                        return self._named(runtime.last_resort)
                    names = ()
                raise self._refusal(path, refusals, names)
            case several_names:
                raise AmbiguousRuntime(path, several_names)

    def _several_in(self, path: Path, chosen: Runtime) -> list[Path]:
        """The artifacts in a folder that ``chosen`` accepts for one of them, where another runtime accepts one too."""
        inside = _inside(path)
        if not any(chosen.accepts(child) for child in inside):
            return []
        artifacts = [child for child in inside if any(one.accepts(child) for one in self)]
        return [] if all(chosen.accepts(child) for child in artifacts) else artifacts

    def _refusal(self, path: Path, refusals: Mapping[str, str | None], named: Sequence[str]) -> MLBuffetError:
        """Why ``path``, which none of those asked accepts, cannot be loaded; they may be those that are ``named``."""
        failed = {name: reason for name, reason in refusals.items() if reason}
        no_runtime = partial(NoRuntime, path, refusals, self.broken, failed=failed, named=named)
        if reason := failed_download(path):
            return no_runtime(reason)
        others = [one for one in self if one.name not in refusals]
        if accepting := sorted(one.name for one in others if one.accepts(path)):
            return no_runtime(f"{' and '.join(accepting)} would, and may not be taken")
        for name in refusals:
            if reason := self[name].explain(path):
                return LoadFailed(reason, path=path, runtime=name)
        if inside := [child for child in _inside(path) if self._holds_artifact(child)]:
            return NotOneArtifact(path, inside, self._runtimes, self.broken)
        return no_runtime(known_problem(path))

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
            if implemented:
                hook, takes = partial(self._bind, instance), partial(self._takes, instance)
                self._runtimes[name] = Runtime(name, instance, hook, takes, entry_point)
        except Exception:
            self._manager.unregister(instance)
            raise

    def _check_hooks(self, plugin: object, name: str) -> None:
        """Before pluggy does it, whose messages do not name what is allowed."""
        hooks = _specified()
        for attribute in dir(plugin):
            if attribute.startswith("__"):
                continue
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
            if idle := [argument for argument in _optional_arguments(function) if argument in _MAY_BE_LEFT_OUT]:
                problem = f"its hook {hook!r} has a default for its argument {idle[0]!r}, which is never given then"
                raise InvalidHook(name, problem, "take it without a default, or leave it out")

    def _implemented(self, plugin: object) -> set[str]:
        return {
            caller.name
            for caller in self._manager.get_hookcallers(plugin) or []
            for implementation in caller.get_hookimpls()
            if implementation.plugin is plugin and not (implementation.wrapper or implementation.hookwrapper)
        }

    def _bind(self, plugin: object, hook: str) -> Callable[..., Any]:
        """The method of ``plugin`` itself where nothing wraps it: 0.1 us a call instead of 3.5-9 us through pluggy."""
        caller = self._caller(plugin, hook)
        absent = {_MADE_IF_TAKEN} if hook == "predict" and not self._takes(plugin, hook, _MADE_IF_TAKEN) else set()
        match caller.get_hookimpls():
            case [alone] if caller.spec and alone.plugin is plugin:
                taken, function = alone.argnames, alone.function
                if set(taken) == set(caller.spec.argnames) - absent:
                    return function
                return lambda **given: function(**{name: given[name] for name in taken})
        return partial(caller, **dict.fromkeys(absent)) if absent else caller

    def _takes(self, plugin: object, hook: str, argument: str) -> bool:
        return any(argument in one.argnames for one in self._caller(plugin, hook).get_hookimpls())

    def _caller(self, plugin: object, hook: str) -> pluggy.HookCaller:
        return self._manager.subset_hook_caller(hook, [other.plugin for other in self if other.plugin is not plugin])


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


def _option_names(name: str, kind: type | None) -> tuple[str, ...] | None:
    try:
        return None if kind is None else option_names(kind)
    except (TypeError, NameError) as error:
        problem = f"its attribute 'options' cannot be read: {error}"
        instead = "make it a msgspec.Struct or a dataclass, whose fields are the options"
        raise InvalidHook(name, problem, instead) from error


def _threads_option(name: str, plugin: object, options: Sequence[str] | None) -> str | None:
    option: str | None = getattr(plugin, "threads_option", None)
    if option is None or option in (options or ()):
        return option
    raise InvalidHook(name, f"its threads_option {option!r} is none of its options", "name a field of 'options'")


@cache
def _specified() -> Mapping[str, Sequence[str]]:
    """The arguments of each hook."""
    specified = {**vars(RuntimePlugin), **vars(OptionalHooks)}
    return {hook: _arguments(function) for hook, function in specified.items() if not hook.startswith("_")}


def _arguments(function: Callable[..., Any]) -> list[str]:
    """The names of the required arguments, without ``self``."""
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.default is one.empty and one.name != "self"]


def _optional_arguments(function: Callable[..., Any]) -> list[str]:
    """The names of the arguments with a default, which pluggy does not give."""
    return [one.name for one in inspect.signature(function).parameters.values() if one.default is not one.empty]
