"""Qdrant's own message classes with the hot fields declared as bytes.

On the wire a packed `repeated float`, a nested message and a `bytes` field look alike, so a class whose
vector is `bytes` reads the same answer without making a Python float of every number. The classes are
made from the descriptors that ship with qdrant_client, in a pool of their own: the client's are untouched.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from qdrant_client.grpc import points_pb2

__all__ = ["GetResponse", "ListValue", "PointId", "ScrollResponse", "Struct", "VectorsOutput"]

_Field = descriptor_pb2.FieldDescriptorProto

# One run of packed numbers: the field becomes a single bytes value.
_PACKED = {
    ("DenseVector", "data"),
    ("SparseIndices", "data"),
    ("SparseVector", "indices"),
    ("SparseVector", "values"),
    ("VectorOutput", "data"),
}
# A message (or a map, which is a repeated message): the field keeps its label and holds raw messages.
_RAW = {
    ("ListValue", "values"),
    ("RetrievedPoint", "id"),
    ("RetrievedPoint", "payload"),
    ("RetrievedPoint", "vectors"),
    ("Struct", "fields"),
}
_WITHOUT_MAP_ENTRIES = {owner for owner, name in _RAW if name in {"payload", "fields"}}


def _rewrite(file: descriptor_pb2.FileDescriptorProto) -> None:
    for message in file.message_type:
        for field in message.field:
            place = (message.name, field.name)
            if place in _PACKED:
                field.label = _Field.LABEL_OPTIONAL
                field.ClearField("options")
            if place in _PACKED | _RAW:
                field.type = _Field.TYPE_BYTES
                field.ClearField("type_name")
        if message.name in _WITHOUT_MAP_ENTRIES:
            del message.nested_type[:]


def _add(pool: descriptor_pool.DescriptorPool, descriptor: Any, added: set[str]) -> None:
    if descriptor.name in added:
        return
    added.add(descriptor.name)
    for dependency in descriptor.dependencies:
        _add(pool, dependency, added)
    file = descriptor_pb2.FileDescriptorProto()
    descriptor.CopyToProto(file)
    _rewrite(file)
    pool.Add(file)


_pool = descriptor_pool.DescriptorPool()
_add(_pool, points_pb2.DESCRIPTOR, set())


def _message_class(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"qdrant.{name}"))


GetResponse = _message_class("GetResponse")
ListValue = _message_class("ListValue")
PointId = _message_class("PointId")
ScrollResponse = _message_class("ScrollResponse")
Struct = _message_class("Struct")
VectorsOutput = _message_class("VectorsOutput")
