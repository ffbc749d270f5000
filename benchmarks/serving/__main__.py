"""python -m benchmarks.serving: 200 clients at once, wrong requests, a file that is replaced, and
SIGTERM in the middle. All on the loopback interface; it writes results/serving/load-cpu.json."""

import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page import insert
from benchmarks.serving.client import Connection, Process
from quickstudy.files import write_atomically
from quickstudy.runs.evidence import provenance

RESULTS, PAGE = Path("results/serving/load-cpu.json"), Path("docs/serving.md")
CLIENTS, REQUESTS = 200, 10_000
MALFORMED = 500
CLASSES, EXAMPLES = 20, 5
PREDICT = "/v1/models/bench/predict"


async def prepare(server: Process) -> tuple[list[bytes], dict[str, Any]]:
    """Make the model of 20 classes. Gives requests with one picture each, and how long a request
    takes on a server that is idle."""
    one = Connection(server.port)
    path = f"/v1/characters?count={CLASSES}&drawings={2 * EXAMPLES}&seed=1"
    found = json.loads((await one.ask("GET", path))[1])["characters"]
    classes = {c["name"]: c["pictures"][:EXAMPLES] for c in found}
    bodies = [
        json.dumps({"inputs": [picture]}).encode() for c in found for picture in c["pictures"]
    ]
    began = time.perf_counter()
    asked = json.dumps({"classes": classes, "learner": "characters"}).encode()
    status, content = await one.ask("PUT", "/v1/models/bench", asked)
    assert status == 201, content
    seconds: dict[str, Any] = {"adapt": time.perf_counter() - began}
    examples = [{"class": name, "input": x} for name, some in classes.items() for x in some]
    learn = {"learners": ["characters"], "examples": examples}
    learn["queries"] = [found[0]["pictures"][-1]]
    seconds["first predict"] = await timed(one, PREDICT, bodies[0])
    seconds["first learn"] = await timed(one, "/v1/learn", json.dumps(learn).encode())
    for word, path, body in (
        ("predict", PREDICT, bodies[0]),
        ("learn", "/v1/learn", json.dumps(learn).encode()),
    ):
        several = [await timed(one, path, body) for _ in range(50)]
        seconds[word] = {"median": float(np.median(several)), "fastest": min(several)}
    return bodies, seconds


async def timed(one: Connection, path: str, body: bytes) -> float:
    """Seconds of a request that is answered."""
    began = time.perf_counter()
    status, content = await one.ask("POST", path, body)
    assert status == 200, content
    return time.perf_counter() - began


async def load(server: Process, bodies: list[bytes], clients: int, requests: int) -> dict[str, Any]:
    """Many clients at once, each with one request after the other."""
    seconds, statuses, memory, left = [], [], [], iter(range(requests))

    async def client() -> None:
        one = Connection(server.port)
        for number in left:
            began = time.perf_counter()
            status, _ = await one.ask("POST", PREDICT, bodies[number % len(bodies)])
            seconds.append(time.perf_counter() - began)
            statuses.append(status)
            if number % 100 == 0:
                memory.append(server.resident())
        one.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    whole = time.perf_counter() - began
    return {
        "clients": clients,
        "requests": requests,
        "answered": statuses.count(200),
        "statuses": {str(s): statuses.count(s) for s in sorted(set(statuses))},
        "seconds": whole,
        "requests a second": requests / whole,
        "median": float(np.median(seconds)),
        "99th percentile": float(np.quantile(seconds, 0.99)),
        "slowest": max(seconds),
        "resident MB": {
            "after a tenth": memory[len(memory) // 10],
            "at the end": memory[-1],
            "most": max(memory),
        },
    }


def malformed(body: bytes, chance: random.Random) -> tuple[bytes, str]:
    """A request that is wrong somewhere."""
    at = chance.randrange(len(body))
    noise = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
    ways = [
        body[:at],
        body[:at] + noise + body[at:],
        noise * chance.randrange(1, 1000),
        b"[" * chance.randrange(1, 100_000),
        json.dumps({"inputs": [noise.hex()]}).encode(),
        json.dumps({"inputs": chance.choice([None, 3, {}, [[]], [None], ["AAAA"]])}).encode(),
        b"--b\r\n" + noise + b"\r\n\r\n" + body[:at] + b"\r\n--b" + chance.choice([b"", b"--"]),
    ]
    kinds = ["application/json", "multipart/form-data; boundary=b", "text/plain"]
    return chance.choice(ways), chance.choice([*kinds, kinds[0], kinds[1]])


async def wrong_requests(server: Process, body: bytes) -> dict[str, Any]:
    """What the server says of wrong requests."""
    chance, statuses = random.Random(0), []
    addresses = [
        *[("POST", PREDICT), ("PUT", "/v1/models/other"), ("POST", "/v1/learn")],
        ("POST", "/v1/models/bench/classes"),
    ]
    one = Connection(server.port)
    for _ in range(MALFORMED):
        content, kind = malformed(body, chance)
        status, _ = await one.ask(*chance.choice(addresses), content, kind)
        statuses.append(status)
    return {
        "requests": MALFORMED,
        "statuses": {str(s): statuses.count(s) for s in sorted(set(statuses))},
        "of the server's fault": sum(s >= 500 for s in statuses),
        "traceback": server.traceback,
    }


async def replaced(server: Process, file: Path, other: Path, bodies: list[bytes]) -> dict[str, Any]:
    """Replace the file of the model under load: by a damaged one, and by another."""
    classes, failed, stop = [], [], asyncio.Event()

    async def client(number: int) -> None:
        one = Connection(server.port)
        while not stop.is_set():
            status, content = await one.ask("POST", PREDICT, bodies[number])
            if status != 200:
                failed.append(status)
            else:
                said = json.loads(content)["predictions"][0]["probabilities"]
                classes.append(len(said))
        one.close()

    running = [asyncio.create_task(client(i)) for i in range(20)]
    await asyncio.sleep(0.5)
    write_atomically(file, file.read_bytes()[:-1000])
    while not server.events("refused"):
        await asyncio.sleep(0.1)
    kept_on = set(classes)
    write_atomically(file, other.read_bytes())
    began = time.perf_counter()
    while not server.events("replaced"):
        await asyncio.sleep(0.1)
    seconds = time.perf_counter() - began
    await asyncio.sleep(1)
    stop.set()
    await asyncio.gather(*running)
    return {
        "answered": len(classes),
        "failed": len(failed),
        "a damaged file was refused": kept_on == {CLASSES},
        "classes before and after": sorted(set(classes), reverse=True),
        "seconds until the new one answered": seconds,
    }


async def ending(server: Process, bodies: list[bytes]) -> dict[str, Any]:
    """SIGTERM while many wait."""

    async def client(number: int) -> int | None:
        try:
            one = Connection(server.port)
            return (await one.ask("POST", PREDICT, bodies[number % len(bodies)]))[0]
        except (OSError, asyncio.IncompleteReadError):
            return None

    before = len(server.lines)
    running = [asyncio.create_task(client(i)) for i in range(CLIENTS)]
    while not any(PREDICT in line for line in server.lines[before:]):  # until one is answered
        await asyncio.sleep(0.005)
    server.tell_to_end()
    found = await asyncio.gather(*running)
    return {
        "clients": CLIENTS,
        "answered": found.count(200),
        "refused": sum(s is not None and s != 200 for s in found),
        "found no server, or one that was gone": found.count(None),
        "exit status": server.end(),
        "traceback": server.traceback,
    }


def bare(file: Path) -> dict[str, Any]:
    """The model alone, in this process: one input at a time, and 32."""
    from quickstudy.serving import adapted_file
    from quickstudy.serving.server.padded import compare

    one = adapted_file.load(file)
    found: dict[str, Any] = {}
    for count in (1, 32):
        x = np.zeros((count, *one.problem.shape), np.float32)
        several = []
        for _ in range(100):
            began = time.perf_counter()
            compare(one.predictor, one.seen, x, len(one.names), len(one.examples))
            several.append(time.perf_counter() - began)
        found[f"{count} at a time"] = float(np.median(several))
    return found


def markdown(found: dict[str, Any]) -> str:
    """The table, with what it was measured on."""
    under, idle, machine = found["load"], found["idle"], found["machine"]

    def ms(seconds: float) -> str:
        return f"{1000 * seconds:.1f} ms"

    memory = under["resident MB"]
    rows = [
        ("the model alone, one input", ms(found["bare"]["1 at a time"])),
        ("`predict`, 20 classes, one client", ms(idle["predict"]["median"])),
        ("the first `predict` of the server", ms(idle["first predict"])),
        ("`learn`, 20 classes of 5 examples, one client", ms(idle["learn"]["median"])),
        (f"`predict`, {CLIENTS} clients at once, median", ms(under["median"])),
        (f"`predict`, {CLIENTS} clients at once, 99th percentile", ms(under["99th percentile"])),
        ("requests a second", f"{under['requests a second']:.0f}"),
        ("answered", f"{under['answered']:,} of {under['requests']:,}"),
        (
            "memory after 1,000 requests, at the end",
            f"{memory['after a tenth']:.0f} MB, {memory['at the end']:.0f} MB",
        ),
        ("from the command to the first answer", f"{found['seconds to ready']:.1f} s"),
    ]
    return "\n".join(
        [
            "| | |",
            "|---|---:|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
            f"`{found['command']}` · commit {found['commit']} · {machine['processor']}, "
            f"{machine['cores']} cores, which the clients share, load {found['load before']:.1f} "
            "when it began.",
        ]
    )


def main() -> int:
    """Measure, write down, render."""
    before, folder = os.getloadavg()[0], Path(tempfile.mkdtemp(prefix="serving"))
    first = Process(["--keep", str(folder / "kept")])
    bodies, idle = asyncio.run(prepare(first))
    asyncio.run(Connection(first.port).ask("GET", "/health"))
    kept, file, other = folder / "kept/bench.qs", folder / "bench.qs", folder / "other.qs"
    shutil.copy(kept, file)
    name = json.loads(asyncio.run(Connection(first.port).ask("GET", "/v1/models/bench"))[1])
    label = name["classes"][0]["name"].replace("/", "%2F")
    path = f"/v1/models/bench/classes/{label}"
    status, content = asyncio.run(Connection(first.port).ask("DELETE", path))
    assert status == 200, content
    shutil.copy(kept, other)
    ended = asyncio.run(ending(first, bodies))
    second = Process([str(file)])
    found: dict[str, Any] = {
        "command": "python -m benchmarks.serving",
        **provenance(),
        "load before": before,
        "seconds to ready": second.seconds_to_ready,
        "idle": idle,
        "load": asyncio.run(load(second, bodies, CLIENTS, REQUESTS)),
        "malformed": asyncio.run(wrong_requests(second, bodies[0])),
        "replaced": asyncio.run(replaced(second, file, other, bodies)),
        "SIGTERM": ended,
    }
    health = json.loads(asyncio.run(Connection(second.port).ask("GET", "/health"))[1])
    found["compiled after it was ready, the replaced model's among them"] = health["compiled"]
    second.tell_to_end()
    found["exit status"] = second.end()
    found["bare"] = bare(other)
    shutil.rmtree(folder)
    write_atomically(RESULTS, json.dumps(found, indent=2).encode() + b"\n")
    insert(markdown(found), PAGE, "serving")
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
