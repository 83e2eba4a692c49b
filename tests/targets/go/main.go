// A Go program with known memory, and the runtime's own words about it. It keeps
// the protocol of the other targets: after its steps it says `ready name=bytes ...`
// and waits. `STEPS` names them, and each line that it reads may name more; the words
// of runtime.MemStats come last, and nothing is allocated after them.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
)

var (
	kept    [][]byte
	ballast []byte
	mapped  []byte
	park    = make(chan struct{})
)

// touched makes a slice whose pages are all written.
func touched(bytes int) []byte {
	slice := make([]byte, bytes)
	for i := 0; i < len(slice); i += 4096 {
		slice[i] = 1
	}
	return slice
}

var steps = map[string]func(){
	// 64 MiB of live objects.
	"steady": func() {
		for i := 0; i < 1024; i++ {
			kept = append(kept, touched(64<<10))
		}
	},
	// 2 GiB of short-lived objects beside some that live.
	"churn": func() {
		for i := 0; i < 200000; i++ {
			slice := make([]byte, 10<<10)
			if i%100 == 0 {
				kept = append(kept, slice)
			}
		}
	},
	// 1 GiB that is in use and never touched.
	"ballast":    func() { ballast = make([]byte, 1<<30) },
	"goroutines": func() { goroutines(20000) },
	// 400 MiB that are written and dropped, but for every sixteenth object.
	"drop": func() {
		for i := 0; i < 6400; i++ {
			kept = append(kept, touched(64<<10))
		}
		for i := range kept {
			if i%16 != 0 {
				kept[i] = nil
			}
		}
		runtime.GC()
	},
	// The same of 64 MiB.
	"shed": func() {
		var pieces [1024][]byte
		for i := range pieces {
			pieces[i] = touched(64 << 10)
		}
		for i := 0; i < len(pieces); i += 16 {
			kept = append(kept, pieces[i])
		}
		pieces = [1024][]byte{}
		runtime.GC()
	},
	"free": func() { debug.FreeOSMemory() },
	// 50 MiB that no figure of the runtime contains.
	"mmap": func() {
		area, err := syscall.Mmap(-1, 0, 50<<20, syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err != nil {
			panic(err)
		}
		for i := 0; i < len(area); i += 4096 {
			area[i] = 1
		}
		mapped = area
	},
	"cgo":  func() { foreign(50 << 20) },
	"free-c": func() { giveBack() },
}

func goroutines(count int) {
	ready := make(chan struct{})
	for i := 0; i < count; i++ {
		go func() {
			var room [1024]byte
			room[len(os.Args)%len(room)] = 1
			ready <- struct{}{}
			<-park
			runtime.KeepAlive(&room)
		}()
	}
	for i := 0; i < count; i++ {
		<-ready
	}
}

func main() {
	input := bufio.NewReader(os.Stdin)
	take(os.Getenv("STEPS"))
	words()
	for {
		line, err := input.ReadString('\n')
		if err != nil {
			return
		}
		take(line)
		words()
	}
}

func take(names string) {
	for _, name := range strings.Fields(names) {
		steps[name]()
	}
}

// words says what the runtime counts. What it allocates itself is in no hurry: the
// statistics are read when everything else is done, into memory that was there.
func words() {
	// Twice, so that what printing needs is there by the second time.
	for _, out := range []*os.File{quiet, os.Stdout} {
		runtime.ReadMemStats(&stats)
		buffer = buffer[:0]
		buffer = append(buffer, "ready"...)
		add("heap_alloc", stats.HeapAlloc)
		add("heap_idle", stats.HeapIdle)
		add("heap_in_use", stats.HeapInuse)
		add("heap_released", stats.HeapReleased)
		add("stack_in_use", stats.StackInuse)
		add("num_gc", uint64(stats.NumGC))
		add("pause_total", stats.PauseTotalNs)
		buffer = append(buffer, '\n')
		if _, err := out.Write(buffer); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

var (
	stats  runtime.MemStats
	buffer = make([]byte, 0, 1024)
	quiet  = func() *os.File {
		file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			panic(err)
		}
		return file
	}()
)

func add(name string, value uint64) {
	var digits [20]byte
	at := len(digits)
	for {
		at--
		digits[at] = byte('0' + value%10)
		value /= 10
		if value == 0 {
			break
		}
	}
	buffer = append(buffer, ' ')
	buffer = append(buffer, name...)
	buffer = append(buffer, '=')
	buffer = append(buffer, digits[at:]...)
}
