// Buffers outside of the JavaScript heap: held, then dropped and collected. In the protocol of
// target.h. Run it with --expose-gc.
const fs = require("fs");

const answer = Buffer.alloc(16);
function tell() {
  gc();
  const { external, arrayBuffers } = process.memoryUsage();
  fs.writeSync(1, `ready external=${external} arrayBuffers=${arrayBuffers}\n`);
  fs.readSync(0, answer);
}

async function main() {
  let kept = [];
  tell();
  for (let i = 0; i < 384; i++) {
    kept.push(Buffer.alloc(256 << 10, 1));
  }
  tell();
  kept = [];
  // They are freed beside the program, after a collection.
  for (let i = 0; i < 1000 && process.memoryUsage().external > 8 << 20; i++) {
    gc();
    await new Promise(setImmediate);
  }
  tell();
}

main();
