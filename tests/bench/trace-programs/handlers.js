const [leak, work] = process.argv.slice(2).map(Number);
const handlers = [], cache = new Map();
let tick = 0;
setInterval(() => {
  tick++;
  for (let n = 0; n < leak; n++) {
    const request = { tick, n, text: `request ${n} of ${tick}` };
    handlers.push(() => request);
  }
  for (let n = 0; n < work; n++) {
    cache.set(Math.floor(Math.random() * 5000), Array.from({ length: 20 }, (_, i) => ({ i, tick })));
  }
}, 1000);
