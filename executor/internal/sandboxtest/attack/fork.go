package main

// forkBy calls the kernel by a number that makes a process. It returns the kernel's answer.
func forkBy(number, first, second uintptr) int

// forkBy80 does the same through the i386 interface.
func forkBy80(number, first uintptr) int
