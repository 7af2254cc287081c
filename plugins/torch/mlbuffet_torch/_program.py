"""The texts of an exported program that PyTorch runs as Python: those that it writes itself, and no others."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import sympy
from torch.fx.experimental.symbolic_shapes import SYMPY_INTERP
from torch.utils._sympy import functions

from mlbuffet_torch._not_trusted import NotTrusted

_NOT_IN_NAMES = re.compile(r"[\"'\\()=;#\x00-\x1f]")  # PyTorch writes names into Python code as they are
_NOT_IN_RULES = re.compile(r"[\\#\x00-\x1f]")
_WORDS = re.compile(r"[\w .-]*")
_SYNTAX = (
    *(ast.Expression, ast.Load, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.BoolOp, ast.boolop),
    *(ast.Compare, ast.cmpop, ast.IfExp, ast.Subscript, ast.Tuple, ast.keyword),
)
_OF_TENSORS = {"size", "stride", "storage_offset", "item", "dim", "ndim", "shape"}
_BUILT_IN = {"max", "min", "abs", "int", "float", "bool", "round", "pow", "L"}


def check_program(program: Any) -> None:
    """Raises `NotTrusted` where the JSON of a program has Python code beyond rules for sizes, or reads files."""
    for text, is_rule in _texts(program):
        if not (_is_rule(text) if is_rule else not _NOT_IN_NAMES.search(text)):
            raise NotTrusted(f"its program may hold Python code, {text[:80]!r}")
        if "from_file" in text:
            raise NotTrusted(f"its program opens files of this machine, by {text[:80]!r}", "files")


def _texts(value: Any, *, is_rule: bool = False, in_node: bool = False) -> Iterator[tuple[str, bool]]:
    """The texts in a JSON value that get into code, and whether each is a rule for sizes."""
    match value:
        case dict():
            for key, item in value.items():
                if _is_not_in_code(key, item, in_node=in_node):
                    continue
                yield from _texts(key, is_rule=is_rule)
                is_of_rules = key in ("expr_str", "guards_code")
                yield from _texts(item, is_rule=is_of_rules, in_node=in_node or key == "nodes")
        case list():
            for item in value:
                yield from _texts(item, is_rule=is_rule, in_node=in_node)
        case str() if not is_rule and value[:1] in ("[", "{", '"'):  # the structure of inputs is JSON too
            yield from _texts(_json(value))
        case str():
            yield value, is_rule


def _is_not_in_code(key: str, item: Any, *, in_node: bool) -> bool:
    """Whether an item is text that PyTorch only keeps or writes as a ``repr``; tensors may have such keys as names."""
    match key, item:
        case "metadata", dict():  # where a node came from
            return all(isinstance(text, str) for text in item.values())
        case ("out_spec", str()):
            return True
        case (("as_string" | "as_strings"), (str() | list())):
            return in_node and all(isinstance(text, str) for text in item)
    return False


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text[1:] + '"'  # it is refused


def _is_rule(text: str) -> bool:
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError:
        return False
    return not _NOT_IN_RULES.search(text) and all(map(_is_harmless, ast.walk(tree)))


def _is_harmless(node: ast.AST) -> bool:
    match node:
        case ast.Constant(str(text)):
            return bool(_WORDS.fullmatch(text))
        case ast.Constant(value):
            return value is None or isinstance(value, (bool, int, float))
        case ast.Attribute(ast.Name("math"), name):
            return not name.startswith("_")
        case ast.Attribute(_, name):
            return name in _OF_TENSORS
        case ast.Call(ast.Name(name)):
            return name in _BUILT_IN or name in SYMPY_INTERP or _is_symbolic(name)
        case ast.Call(function):
            return isinstance(function, ast.Attribute)
        case ast.Name(name):
            return not name.startswith("__")
    return isinstance(node, _SYNTAX)


def _is_symbolic(name: str) -> bool:
    found = getattr(functions, name, getattr(sympy, name, None))
    return isinstance(found, type) and issubclass(found, sympy.Basic)
