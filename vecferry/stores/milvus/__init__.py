"""Milvus: a folder of milvus-lite in this process (`local`), servers and Zilliz Cloud (`server`)."""
