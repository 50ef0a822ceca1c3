//go:build amd64

package main

const noun = "Amd"
