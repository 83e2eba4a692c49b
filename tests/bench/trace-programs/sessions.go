package main

import (
	"os"
	"strconv"
	"time"
)

type session struct {
	name string
	data []byte
	next *session
}

func main() {
	var churn [][]byte
	leak, _ := strconv.Atoi(os.Args[1])
	work, _ := strconv.Atoi(os.Args[2])
	sessions := map[string]*session{}
	for tick := 0; ; tick++ {
		for n := 0; n < leak; n++ {
			name := strconv.Itoa(tick) + "/" + strconv.Itoa(n)
			sessions[name] = &session{name: name, data: make([]byte, 1024)}
		}
		for n := 0; n < work; n++ {
			data := make([]byte, 16<<10)
			data[0] = byte(n)
			churn = append(churn, data)
		}
		if tick%5 == 4 {
			churn = nil
		}
		time.Sleep(time.Second)
	}
}
