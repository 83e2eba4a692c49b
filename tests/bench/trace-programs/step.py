import time
rules = ["rule %d" % n for n in range(200000)]
for tick in range(1 << 40):
    if tick == 1500:
        rules += ["rule %d of the new version" % n for n in range(400000)]
    time.sleep(1)
