"""Makes `chroma-VERSION/`: a folder as that version of Chroma leaves it, and what that version reads from it.

It ran once for the versions below. What it made is never edited or made again: a folder that an old Chroma wrote
must stay readable. A version that is added later gets a folder of its own.

    python -m tests.golden.make_chroma_folders FOLDER [VERSION ...]

Each version gets an environment of its own with `pip`. In it this file runs twice more: once to write the folder
(`folder.zip`: most of it is the zeros of an index's spare room), and once, on a copy and in a fresh process, to say
with that version's own client what the folder holds (`expected.json`; a vector as the hexadecimal bits of its float32
numbers, null where the client gives none).
So nothing but the standard library and `chromadb` may be imported here, and chromadb only where it is used.
"""

from __future__ import annotations

import argparse
import inspect
import json
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

# What a version needs beside itself to be installed and imported today.
OLD_PINS = ("numpy<2", "posthog<4", "setuptools<70")
VERSIONS = {
    "0.4.3": (*OLD_PINS, "pydantic<2"),
    "0.4.24": OLD_PINS,
    "0.5.23": OLD_PINS,
    "0.6.3": OLD_PINS,
    "1.0.20": ("posthog<6",),
    "1.4.1": ("posthog<6",),
    "1.5.9": (),
}
DIMENSION = 5
BATCH, SYNC = 6, 12  # rows that an index buffers, and rows after which it is written
INDEXED_ROWS, LOGGED_ROWS = 24, 9
IDS = (
    "plain", " ", "a'b\"c", "line\nbreak", "漢字🦜", "1", "01", "x" * 300, "%_;--", "null", "\u0301e", "ünï/cödé?&=#",
)  # fmt: skip
DOCUMENTS = ("", "plain text", '漢字 🦜\n\ttab "quoted"', None, "null")
SCALARS = {
    "int": (0, -1, 2**53 + 1, 2**63 - 1, -(2**63)),
    "float": (1 / 3, 3.0, 90.28571428571429, 1e300, 4.95e-7),
    "text": ("", "plain", "ünïcödé 🦜", 'quo"te\\', "1"),
    "flag": (True, False),
    "ключ.with[odd] chars": (1, 2.5, "three", True),
}
LISTS = {"tags": (["b", "a"], ["ü"]), "counts": ([3, 1, 2], [2**53 + 1]), "weights": ([0.1, 2.0],), "flags": ([True],)}


# Outside: environments


def main() -> None:
    """Make the folders, or be one of the two runs inside an environment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", choices=("write", "read"))
    parser.add_argument("--environments", type=Path, help="where to keep them; a temporary folder otherwise")
    parser.add_argument("folder", type=Path)
    parser.add_argument("versions", nargs="*")
    given = parser.parse_args()
    if given.step == "write":
        write(given.folder)
    elif given.step == "read":
        sys.stdout.write(json.dumps(read(given.folder), ensure_ascii=True, indent=1, sort_keys=True) + "\n")
    elif given.environments:
        make(given.folder, given.environments, given.versions or list(VERSIONS))
    else:
        with tempfile.TemporaryDirectory() as environments:
            make(given.folder, Path(environments), given.versions or list(VERSIONS))


def make(folder: Path, environments: Path, versions: list[str]) -> None:
    """One folder a version below `folder`; one that is there is left as it is."""
    for version in versions:
        place = folder / f"chroma-{version}"
        if place.exists():
            sys.stderr.write(f"{place} is there and stays as it is\n")
            continue
        python = environment(environments / version, version)
        with tempfile.TemporaryDirectory() as scratch:
            written = Path(scratch) / "written"
            run(python, "write", written)
            place.mkdir(parents=True)
            shutil.make_archive(str(place / "folder"), "zip", written)
            (place / "expected.json").write_text(run(python, "read", written))


def environment(place: Path, version: str) -> Path:
    """The Python of an environment with that version, which is made when it is not there."""
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", f"chromadb=={version}", *VERSIONS[version]], check=True)
    return python


def run(python: Path, step: str, folder: Path) -> str:
    """Run one step of this file in an environment; what it prints."""
    command = [python, __file__, "--step", step, folder.absolute()]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


# Inside: writing


def client(folder: Path, **where: str) -> Any:
    """This environment's own client."""
    import chromadb
    from chromadb.config import Settings

    return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False), **where)


def write(folder: Path) -> None:
    """The folder's content: three metrics in index and log, one all in the log, an empty one, a second database."""
    opened = client(folder)
    for number, space in enumerate(("cosine", "l2", "ip")):
        fill(create(opened, f"{space}-docs", space, indexed=True), random.Random(number), INDEXED_ROWS + LOGGED_ROWS)
    fill(create(opened, "logged", "cosine", indexed=False), random.Random(10), INDEXED_ROWS)
    create(opened, "never-filled", "ip", indexed=False)
    if "database" in inspect.signature(client_class()).parameters:
        admin(opened, folder).create_tenant("acme")
        admin(opened, folder).create_database("second", "acme")
        other = client(folder, tenant="acme", database="second")
        fill(create(other, "l2-docs", "l2", indexed=False), random.Random(20), len(IDS))
    close(opened)


def client_class() -> Any:
    """What makes a client: it tells whether this version knows tenants and databases."""
    import chromadb

    return chromadb.PersistentClient


def admin(opened: Any, folder: Path) -> Any:
    """The part of the client that makes tenants and databases."""
    import chromadb
    from chromadb.config import Settings

    found = getattr(opened, "_admin_client", None)
    settings = Settings(is_persistent=True, persist_directory=str(folder), anonymized_telemetry=False)
    return found or chromadb.AdminClient(settings)


def create(opened: Any, name: str, space: str, *, indexed: bool) -> Any:
    """A collection; its settings stand in its metadata until Chroma 0.6 and in its configuration since."""
    if has_settings():
        settings: dict[str, Any] = {"space": space, "max_neighbors": 4}
        settings |= {"batch_size": BATCH, "sync_threshold": SYNC} if indexed else {}
        return opened.create_collection(
            name, embedding_function=None, configuration={"hnsw": settings}, metadata={"owner": "golden", "live": True}
        )
    metadata: dict[str, Any] = {"hnsw:space": space, "hnsw:M": 4, "owner": "golden", "year": 2024, "ratio": 0.5}
    metadata |= {"hnsw:batch_size": BATCH, "hnsw:sync_threshold": SYNC} if indexed else {}
    return opened.create_collection(name, embedding_function=None, metadata=metadata)


def has_settings() -> bool:
    """Whether this version takes a collection's configuration as plain data (1.0 and later)."""
    return release() >= (1,)


def fill(collection: Any, chooser: random.Random, rows: int) -> None:
    """Records in batches of three, then every kind of change; the last ones stay in the log."""
    names = [*IDS, *(f"record-{number}" for number in range(len(IDS), rows))]
    for first in range(0, rows, 3):
        some = names[first : first + 3]
        collection.add(ids=some, embeddings=[vector(chooser) for _ in some], **texts(collection, chooser, some))
    collection.delete(ids=[names[1], names[-1]])
    collection.update(ids=[names[2], names[-2]], embeddings=[vector(chooser), vector(chooser)])
    collection.update(ids=[names[3], names[-3]], metadatas=[{"int": 7, "text": "changed"}] * 2)
    collection.update(ids=[names[4]], embeddings=[vector(chooser)], documents=["changed document"])
    merged = [names[5], names[-4], "upserted"]
    collection.upsert(ids=merged, embeddings=[vector(chooser) for _ in merged], metadatas=[{"merged": 1.5}] * 3)
    collection.delete(ids=[names[6]])
    collection.add(ids=[names[0]], embeddings=[vector(chooser)], documents=["ignored: the id is there"])


def vector(chooser: random.Random) -> list[float]:
    """Numbers that float32 holds exactly, -0.0 and subnormal ones among them."""
    numbers = [chooser.gauss(0, 3) for _ in range(DIMENSION)]
    if chooser.random() < 0.2:
        numbers[chooser.randrange(DIMENSION)] = chooser.choice([-0.0, 1e-42, 0.0])
    return list(struct.unpack(f"<{DIMENSION}f", struct.pack(f"<{DIMENSION}f", *numbers)))


def texts(collection: Any, chooser: random.Random, some: list[str]) -> dict[str, Any]:
    """Documents, metadata and uris for one `add`, as far as this version takes them."""
    given: dict[str, Any] = {"metadatas": [metadata(chooser) for _ in some]}
    if chooser.random() < 0.7:
        given["documents"] = [chooser.choice([text for text in DOCUMENTS if text is not None]) for _ in some]
    elif "uris" in inspect.signature(collection.add).parameters:
        given["uris"] = [f"file:///{text}" for text in ("a", "", "ü")[: len(some)]]
    if has_lists():
        given["metadatas"][0] |= {key: chooser.choice(values) for key, values in LISTS.items()}
    return given


def metadata(chooser: random.Random) -> dict[str, Any]:
    """One to all of the scalars: no version but the newest takes an empty metadata."""
    chosen = {key: chooser.choice(values) for key, values in SCALARS.items() if chooser.random() < 0.6}
    taken = {key: value for key, value in chosen.items() if has_bools() or not isinstance(value, bool)}
    return taken or {"int": 1}


def has_bools() -> bool:
    """Whether metadata may hold bools (0.4.6 and later)."""
    return release() >= (0, 4, 6)


def has_lists() -> bool:
    """Whether metadata may hold lists (1.5 and later)."""
    return release() >= (1, 5)


def release() -> tuple[int, ...]:
    """This environment's version."""
    import chromadb

    major, minor, patch = chromadb.__version__.split(".")  # the versions above have three numbers
    return int(major), int(minor), int(patch)


def close(opened: Any) -> None:
    """End the client where it can be ended; the process ends next anyway."""
    if hasattr(opened, "close"):
        opened.close()


# Inside: reading


def read(folder: Path) -> dict[str, Any]:
    """What this version says of the folder."""
    import chromadb

    opened = client(folder)
    found = [said(opened, collection, None) for collection in listed(opened)]
    if "database" in inspect.signature(chromadb.PersistentClient).parameters:
        other = client(folder, tenant="acme", database="second")
        found += [said(other, collection, ("acme", "second")) for collection in listed(other)]
    return {"version": chromadb.__version__, "collections": found}


def listed(opened: Any) -> list[Any]:
    """All collections; Chroma 0.6 lists their names alone."""
    names = sorted(str(item) if isinstance(item, str) else item.name for item in opened.list_collections())
    return [opened.get_collection(name, embedding_function=None) for name in names]


def said(opened: Any, collection: Any, where: tuple[str, str] | None) -> dict[str, Any]:
    """One collection: each record asked for alone, because 0.4.3 gives vectors in another order than ids."""
    tenant, database = where or ("default_tenant", "default_database")
    ids = collection.get(include=[])["ids"]
    return {
        "tenant": tenant,
        "database": database,
        "name": collection.name,
        "metadata": collection.metadata,
        "count": collection.count(),
        "records": [record(collection, text) for text in sorted(ids)],
        "nearest": nearest(collection) if ids else None,
    }


def record(collection: Any, text: str) -> dict[str, Any]:
    """One record as the client shows it."""
    include = ["embeddings", "documents", "metadatas"]
    include += ["uris"] if "uris" in inspect.signature(collection.add).parameters else []
    answer = collection.get(ids=[text], include=include)
    vectors = answer["embeddings"]
    return {
        "id": answer["ids"][0],
        "vector": bits(vectors[0]) if vectors is not None and len(vectors) else None,
        "document": answer["documents"][0],
        "metadata": answer["metadatas"][0],
        "uri": (answer.get("uris") or [None])[0],
    }


def bits(numbers: Any) -> str:
    """The bits of float32 numbers. Fails where the client gives what no float32 is."""
    listed_numbers = [float(number) for number in numbers]
    packed = struct.pack(f"<{len(listed_numbers)}f", *listed_numbers)
    assert list(struct.unpack(f"<{len(listed_numbers)}f", packed)) == listed_numbers
    return packed.hex()


def nearest(collection: Any) -> dict[str, Any]:
    """One answer of the index, from which its true metric can be told."""
    query = [0.5, 0.75, 1.0, 1.5, 2.0]
    answer = collection.query(query_embeddings=[query], n_results=1, include=["distances", "embeddings"])
    return {
        "query": query,
        "id": answer["ids"][0][0],
        "vector": bits(answer["embeddings"][0][0]),
        "distance": float(answer["distances"][0][0]),
    }


if __name__ == "__main__":
    main()
