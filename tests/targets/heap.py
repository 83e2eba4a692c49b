"""A Python heap of known size: filled, then whole stretches of objects dropped, then
nine of ten of the others. It tells what CPython says of itself, in the protocol of
target.h. Built-in modules only."""

import os
import sys

# What the interpreter prints in `sys._debugmallocstats`, by the start of the line.
LINES = {
    "# bytes in allocated blocks": "blocks",
    "# bytes in available blocks": "available",
    "# bytes lost to pool headers": "headers",
    "# bytes lost to quantization": "quantization",
    "# bytes lost to arena alignment": "alignment",
}


NOWHERE = os.open(os.devnull, os.O_WRONLY)


def statistics():
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    sys._debugmallocstats()
    os.dup2(NOWHERE, 2)
    text = b""
    while part := os.read(reader, 65536):
        text += part
    os.close(reader)
    said = {}
    for line in text.decode().splitlines():
        if " unused pools * " in line:
            said["unused"] = line.split("=")[1]
        if line.split("=")[0].strip() in LINES:
            name, value = line.split("=")
            said[LINES[name.strip()]] = value
    return {name: int(value.replace(",", "")) for name, value in said.items()}


def say():
    words = [f"{name}={value}" for name, value in statistics().items()]
    # Without the buffers of sys.stdout and sys.stdin, which come and grow.
    os.write(1, " ".join(["ready", *words, "\n"]).encode())


def tell():
    # The interpreter keeps what it made for what runs often.
    for _ in range(20):
        statistics()
    say()
    while os.read(0, 16) == b"again\n":
        say()


kept = [{"a": i, "b": str(i) * 3, "c": (i, i + 1.0)} for i in range(200_000)]
tell()
kept = [one for i, one in enumerate(kept) if i // 997 % 5 == 0 or i // 3001 % 7 == 0]
tell()
kept = [one for i, one in enumerate(kept) if i % 10 == 0]
tell()
while True:
    # Arenas come and go while somebody reads.
    more = [(i, str(i), [i]) for i in range(100_000)]
    del more
