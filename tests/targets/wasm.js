// The memory of a WebAssembly program, which no space of V8's heap counts. It tells what it
// holds in the protocol of target.h.
const fs = require("fs");

const page = 65536;
const pages = 1000;
const memory = new WebAssembly.Memory({ initial: 16, maximum: 8192 });
memory.grow(pages - 16);
new Uint8Array(memory.buffer).fill(1);
fs.writeSync(1, `ready wasm=${pages * page}\n`);
fs.readSync(0, Buffer.alloc(16));
fs.writeSync(1, `${memory.buffer.byteLength}\n`);
