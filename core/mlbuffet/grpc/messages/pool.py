"""The classes of compiled messages, in a descriptor pool of their own.

Other packages register messages of the same names in protobuf's default pool (tritonclient, kserve), which takes no
name twice. And what is compiled is a description alone: generated Python code would need at least the version of
protobuf that it was generated for.
"""

from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass, GetMessageClassesForFiles

POOL = DescriptorPool()
"""The descriptors of all services, which the reflection service shows."""


def add_messages(name: str) -> dict[str, Any]:
    """The classes of the messages on the first level of ``name``.binpb, by name; `POOL` gets their descriptors."""
    described = FileDescriptorSet.FromString(files(__package__).joinpath(f"{name}.binpb").read_bytes())
    for file in described.file:
        POOL.AddSerializedFile(file.SerializeToString())
    classes = GetMessageClassesForFiles([file.name for file in described.file], POOL)
    for kind in classes.values():  # protobuf's implementation in Python gives a class no others
        for nested in kind.DESCRIPTOR.nested_types:
            setattr(kind, nested.name, classes.get(nested.full_name) or GetMessageClass(nested))
    own = described.file[-1]  # behind those that it imports
    return {message.name: classes[f"{own.package}.{message.name}"] for message in own.message_type}
