//go:build cgo
// +build cgo

package main

/*
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
*/
import "C"

import "unsafe"

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

// giveBack frees it, and has the C library give it back to the kernel.
func giveBack() {
	for _, area := range held {
		C.free(unsafe.Pointer(area))
	}
	held = nil
	C.malloc_trim(0)
}
