"""A collection's settings and payload indexes as the engine wants them."""

from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models as m

from .configuration import dense_vectors
from .errors import invalid, not_built

# The engine refuses a shard without any vector, the server does not: such a shard gets one that nobody can name.
NO_VECTOR = "loopback: no vector"

DISTANCES = {
    m.Distance.COSINE: edge.Distance.Cosine,
    m.Distance.DOT: edge.Distance.Dot,
    m.Distance.EUCLID: edge.Distance.Euclid,
    m.Distance.MANHATTAN: edge.Distance.Manhattan,
}
DATATYPES = {
    m.Datatype.FLOAT32: edge.VectorStorageDatatype.Float32,
    m.Datatype.FLOAT16: edge.VectorStorageDatatype.Float16,
    m.Datatype.UINT8: edge.VectorStorageDatatype.Uint8,
}
INDEX_TYPES = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "geo": edge.PayloadSchemaType.Geo,
    "text": edge.PayloadSchemaType.Text,
    "bool": edge.PayloadSchemaType.Bool,
    "datetime": edge.PayloadSchemaType.Datetime,
    "uuid": edge.PayloadSchemaType.Uuid,
}
TOKENIZERS = {
    m.TokenizerType.PREFIX: edge.TokenizerType.Prefix,
    m.TokenizerType.WHITESPACE: edge.TokenizerType.Whitespace,
    m.TokenizerType.WORD: edge.TokenizerType.Word,
    m.TokenizerType.MULTILINGUAL: edge.TokenizerType.Multilingual,
}


def engine_config(params: m.CollectionParams) -> edge.EdgeConfig:
    """What decides how records are stored and compared; HNSW and quantization are only echoed, no index is built."""
    dense = {name: dense_params(vector) for name, vector in dense_vectors(params.vectors).items()}
    sparse = {name: sparse_params(vector) for name, vector in (params.sparse_vectors or {}).items()}
    if not dense and not sparse:
        sparse = {NO_VECTOR: edge.EdgeSparseVectorParams()}
    return edge.EdgeConfig(vectors=dense, sparse_vectors=sparse)


def dense_params(params: m.VectorParams) -> edge.EdgeVectorParams:
    multi = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim) if params.multivector_config else None
    return edge.EdgeVectorParams(
        size=params.size,
        distance=DISTANCES[params.distance],
        multivector_config=multi,
        datatype=engine_datatype(params.datatype),
    )


def sparse_params(params: m.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    return edge.EdgeSparseVectorParams(
        modifier=edge.Modifier.Idf if params.modifier == m.Modifier.IDF else None,
        datatype=engine_datatype(params.index.datatype if params.index else None),
    )


def engine_datatype(datatype: m.Datatype | None) -> Any:
    if datatype is None:
        return None
    if datatype not in DATATYPES:
        raise not_built(f"datatype {datatype.value}")
    return DATATYPES[datatype]


def index_type(schema: Any) -> str:
    """`integer`, `keyword`, ... of a bare type or of parameters."""
    return str((schema if isinstance(schema, m.PayloadSchemaType) else schema.type).value)


def engine_index(schema: Any) -> Any:
    """The parameters that change what a filter finds; placement and tenancy are only echoed."""
    if isinstance(schema, m.IntegerIndexParams):
        if schema.lookup is False and schema.range is False:
            text = "Validation error: the 'lookup' and 'range' capabilities can't be both disabled [{}]"
            raise invalid("field_index_params.index_params.lookup", "field_schema.lookup", text)
        return edge.IntegerIndexParams(lookup=schema.lookup, range=schema.range)
    if isinstance(schema, m.TextIndexParams):
        return engine_text_index(schema)
    return INDEX_TYPES[index_type(schema)]


def engine_text_index(schema: m.TextIndexParams) -> edge.TextIndexParams:
    if schema.tokenizer is not None and schema.tokenizer not in TOKENIZERS:
        raise not_built(f"tokenizer {schema.tokenizer.value}")
    return edge.TextIndexParams(
        tokenizer=None if schema.tokenizer is None else TOKENIZERS[schema.tokenizer],
        min_token_len=schema.min_token_len,
        max_token_len=schema.max_token_len,
        lowercase=schema.lowercase,
        phrase_matching=schema.phrase_matching,
    )
