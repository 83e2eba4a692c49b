import time
state = ["state %d" % n for n in range(100000)]
with open("log", "wb") as log:
    for tick in range(1 << 40):
        log.write(b"x" * (100 << 10))
        log.flush()
        if tick % 60 == 59:
            with open("log", "rb") as again:
                again.seek(-(1 << 20), 2)
                again.read()
        time.sleep(1)
