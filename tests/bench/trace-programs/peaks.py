import time
base, kept = ["text %d" % n for n in range(200000)], {}
for tick in range(1 << 40):
    if tick % 900 == 60:
        loaded = [{"number": n, "text": "row %d" % n} for n in range(150000)]
        kept = {n: row for n, row in enumerate(loaded) if n % 100 == 0}
        del loaded
    time.sleep(1)
