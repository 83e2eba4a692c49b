// A Go program that tells its memory by expvar and pprof. It keeps the protocol
// of the other targets: after each step it says `ready name=bytes ...` and waits.
// The collector is off, so that what is in use only grows.
package main

import (
	"bufio"
	_ "expvar"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"runtime/debug"
)

func main() {
	debug.SetGCPercent(-1)
	kept := make([][]byte, 1024)
	for i := range kept {
		kept[i] = make([]byte, 32<<10)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, nil)
	for input := bufio.NewReader(os.Stdin); err == nil; _, err = input.ReadString('\n') {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		fmt.Printf("ready port=%d heap_in_use=%d stack_in_use=%d released=%d cycles=%d\n",
			listener.Addr().(*net.TCPAddr).Port,
			stats.HeapInuse, stats.StackInuse, stats.HeapReleased, stats.NumGC)
	}
	runtime.KeepAlive(kept)
}
