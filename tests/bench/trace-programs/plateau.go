package main

import "time"

func main() {
	base := make([][]byte, 0)
	for n := 0; n < 30<<10; n++ {
		base = append(base, make([]byte, 1024))
	}
	for tick := 0; ; tick++ {
		peak := [][]byte{}
		if tick%600 < 10 {
			for n := 0; n < 150<<10; n++ {
				peak = append(peak, make([]byte, 1024))
			}
		}
		time.Sleep(time.Second)
		base[tick%len(base)] = make([]byte, 1024)
		if len(peak) > 0 {
			peak[0] = base[0]
		}
	}
}
