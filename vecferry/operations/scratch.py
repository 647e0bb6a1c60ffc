"""May it be written? A collection of our own is made beside the one that is meant, filled, read back and dropped."""

from __future__ import annotations

import secrets
from dataclasses import replace

import numpy as np
import pyarrow as pa

from vecferry import batch
from vecferry.address import Address, above
from vecferry.capabilities import Capabilities
from vecferry.contract import Reader, Target
from vecferry.errors import DataDiffer, VecferryError
from vecferry.model import CollectionSchema, IdKind, Metric, RecordId, VectorField
from vecferry.operations.checkup import Findings, Level
from vecferry.stores import registry

__all__ = ["write_check"]

_DIMENSION = 4


def write_check(findings: Findings, address: Address) -> None:
    """Make, fill, read back and drop a collection with a name that nobody has. Raises what the store raises.

    What could not be dropped again is named.
    """
    scratch = _beside(address)
    with registry.open_target(scratch) as target:
        try:
            record = _fill(target)
            target.close()
            with registry.open_target(scratch, Reader.PUBLIC) as reader:
                if reader.fetch(batch.ids_of(record)).num_rows != record.num_rows:
                    raise DataDiffer("a record that was written is not read back")
        except VecferryError:
            _drop(findings, target, scratch)
            raise
        _drop(findings, target, scratch)
    findings.add("write", Level.WELL, f"{scratch.name} was made, filled, read back and dropped")


def _beside(address: Address) -> Address:
    """Where a scratch collection goes; options that describe a file are those of the other one."""
    store = address if address.host and not address.raw_path.strip("/") else above(address)
    if registry.holds_files(address.scheme):
        store = replace(store, options={})
    return registry.address_in(store, f"vecferry_doctor_{secrets.token_hex(4)}")


def _fill(target: Target) -> pa.RecordBatch:
    found = target.capabilities()
    kind = min(found.id_kinds)
    field = VectorField("", dimension=_DIMENSION, metric=_metric(found))
    target.create(CollectionSchema("doctor", (field,), frozenset({kind})), {})
    vector = batch.dense_array(np.eye(1, _DIMENSION, dtype=np.float32))
    record = batch.make(
        [_id(kind).text],
        kind,
        vectors={"": vector},
        documents=[None],
        payloads=[b'{"made_by":"vecferry doctor"}'],
    )
    with target.bulk_load():
        target.write(record)
    return record


def _metric(found: Capabilities) -> Metric:
    metrics = found.vectors.metrics
    return Metric.COSINE if Metric.COSINE in metrics or not metrics else min(metrics)


def _id(kind: IdKind) -> RecordId:
    return RecordId(kind, "00000000-0000-0000-0000-000000000001" if kind is IdKind.UUID else "1")


def _drop(findings: Findings, target: Target, scratch: Address) -> None:
    try:
        target.drop()
    except VecferryError as error:
        findings.failed("write", error)
        findings.add("write", Level.WRONG, f"{scratch.name} may be left behind", "drop it by hand")
