import sys, time, random
leak, work = int(sys.argv[1]), int(sys.argv[2])
seen, cache = [], {}
for tick in range(1 << 40):
    for n in range(leak):
        seen.append({"tick": tick, "number": n, "text": "request %d of %d" % (n, tick)})
    for n in range(work):
        cache[random.randrange(5000)] = [random.random() for _ in range(random.randrange(20))]
    time.sleep(1)
