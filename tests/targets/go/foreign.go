//go:build !cgo
// +build !cgo

package main

func foreign(int) { panic("built without cgo") }

func giveBack() { panic("built without cgo") }
