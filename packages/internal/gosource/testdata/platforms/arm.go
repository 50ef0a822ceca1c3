//go:build arm64

package main

const noun = "Arm"
