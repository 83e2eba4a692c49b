// A program with four workers that each fill a heap, of which two have ended. It tells
// what V8 says of the heaps that are left, in the protocol of target.h. Run it with
// --expose-gc.
const fs = require("fs");
const v8 = require("v8");
const { Worker, isMainThread, parentPort } = require("worker_threads");

const kept = [];
for (let i = 0; i < 100000; i++) {
  kept.push({ number: i, text: "text " + i, list: [i, i + 0.5] });
}

const OLD = ["old_space", "large_object_space", "map_space", "trusted_space"];
function used() {
  gc();
  const of = (spaces) => spaces.reduce((sum, space) => sum + space.space_used_size, 0);
  const all = v8.getHeapSpaceStatistics();
  const old = of(all.filter((space) => OLD.includes(space.space_name)));
  const code = of(all.filter((space) => /code|read_only/.test(space.space_name)));
  return { old, used: of(all) - code };
}

async function main() {
  const sum = used();
  for (let i = 0; i < 4; i++) {
    const worker = new Worker(__filename);
    const said = await new Promise((resolve) => worker.once("message", resolve));
    if (i % 2) {
      await worker.terminate();
    } else {
      sum.old += said.old;
      sum.used += said.used;
    }
  }
  fs.writeSync(1, `ready old=${sum.old} used=${sum.used}\n`);
  fs.readSync(0, Buffer.alloc(16));
  process.exit();
}

if (isMainThread) {
  main();
} else {
  parentPort.postMessage(used());
  // Waits for ever, with all that it has kept.
  parentPort.on("message", () => kept.length);
}
