//go:build cgo
// +build cgo

package main

/*
#include <stdlib.h>
#include <string.h>
*/
import "C"

var held []*C.char

// foreign holds memory of the C library.
func foreign(bytes int) {
	const piece = 64 << 10
	for i := 0; i < bytes; i += piece {
		area := C.malloc(piece)
		C.memset(area, 1, piece)
		held = append(held, (*C.char)(area))
	}
}
