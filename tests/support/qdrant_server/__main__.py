"""Run the server as a process: `python -m tests.support.qdrant_server --folder D --grpc-port P --rest-port Q`."""

import argparse
import signal
import threading
from pathlib import Path

from .server import QdrantServer


def main() -> None:
    parser = argparse.ArgumentParser(description="A Qdrant server for tests on 127.0.0.1.")
    parser.add_argument("--folder", type=Path, required=True, help="where the collections live")
    parser.add_argument("--grpc-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--rest-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--api-key", help="demand this key")
    arguments = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with QdrantServer(
        arguments.folder, arguments.api_key, grpc_port=arguments.grpc_port, rest_port=arguments.rest_port
    ) as server:
        print(f"ready grpc={server.grpc_port} rest={server.rest_port}", flush=True)  # noqa: T201 - scripts wait for it
        ended.wait()


if __name__ == "__main__":
    main()
