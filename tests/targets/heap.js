// A JavaScript heap of known size: filled, then nine of ten objects dropped and
// collected. It tells what V8 says of itself, in the protocol of target.h. Run it
// with --expose-gc.
const fs = require("fs");
const v8 = require("v8");

function say() {
  const words = ["ready"];
  for (const space of v8.getHeapSpaceStatistics()) {
    words.push(`${space.space_name}.size=${space.space_size}`);
    words.push(`${space.space_name}.used=${space.space_used_size}`);
  }
  const memory = process.memoryUsage();
  for (const name of ["heapTotal", "heapUsed", "external", "arrayBuffers"]) {
    words.push(`${name}=${memory[name]}`);
  }
  fs.writeSync(1, words.join(" ") + "\n");
}

const answer = Buffer.alloc(16);
function tell() {
  gc();
  do {
    say();
  } while (fs.readSync(0, answer) > 0 && answer[0] === "a".charCodeAt(0));
}

let kept = [];
for (let i = 0; i < 300000; i++) {
  kept.push({ number: i, text: "text " + i, list: [i, i + 0.5] });
}
tell();
kept = kept.filter((_, i) => i % 10 === 0);
tell();
