package redact

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/airlock-run/airlock/internal/domain"
)

// password is as random and as long as those that password managers make.
func password(r *rand.Rand) string {
	b := make([]byte, 20)
	for i := range b {
		b[i] = byte('!' + r.IntN('~'-'!'+1))
	}
	return string(b)
}

func passwords(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	var all []string
	for range n {
		all = append(all, password(r))
	}
	return all
}

// logLines is what scripts write: 256 lines, as many as a chunk has.
func logLines() (lines [][]byte, size int64) {
	for i := range 256 {
		line := fmt.Sprintf("2026-03-04T05:06:07.%03dZ INFO esx-%02d.example.com: VM web-%04d moved to datastore ds-%d, %d MiB in %d s",
			i, i%16, i*37, i%5, i*131, i%61)
		lines = append(lines, []byte(line))
		size += int64(len(line))
	}
	return lines, size
}

func BenchmarkRedactor(b *testing.B) {
	lines, size := logLines()
	for _, n := range []int{0, 1, 10, 100} {
		values := passwords(n)
		b.Run(fmt.Sprintf("secrets=%d", n), func(b *testing.B) {
			r := setOf(b, values...).NewRedactor()
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for i, line := range lines {
					r.Push(Record{Stream: domain.Streams[i%4], Text: line})
				}
				if len(r.Flush(Release)) != len(lines) {
					b.Fatal("lines are missing")
				}
			}
		})
	}
}

// BenchmarkContains is the baseline: the plain values only, each record by itself.
func BenchmarkContains(b *testing.B) {
	lines, size := logLines()
	for _, n := range []int{1, 10, 100} {
		values := passwords(n)
		b.Run(fmt.Sprintf("secrets=%d", n), func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				for _, line := range lines {
					for _, v := range values {
						if bytes.Contains(line, []byte(v)) {
							b.Fatal("a value is in the text")
						}
					}
				}
			}
		})
	}
}

// BenchmarkHostile has text and values that a search would go through again and again.
func BenchmarkHostile(b *testing.B) {
	const size = 1 << 20
	a := strings.Repeat("a", 20_000)
	for name, test := range map[string]struct{ value, text string }{
		"all masked":  {"aaaa", strings.Repeat("a", size)},
		"never ends":  {a + "b", strings.Repeat("a", size)},
		"nearly ends": {a + "b", strings.Repeat(a+"c", size/len(a))},
	} {
		b.Run(name, func(b *testing.B) {
			s := setOf(b, test.value)
			s.automaton()
			b.SetBytes(int64(len(test.text)))
			for b.Loop() {
				s.String(test.text)
			}
		})
	}
}

// BenchmarkBuild says what a value costs: in time, in bytes of memory and nodes a byte of the value.
func BenchmarkBuild(b *testing.B) {
	pem := "-----BEGIN PRIVATE KEY-----\n" + wrap(strings.Repeat("MIIEvQIBADANBgkq/khiG9w0+", 64), 64) + "\n-----END PRIVATE KEY-----\n"
	for name, values := range map[string][]string{
		"passwords=1": passwords(1), "passwords=100": passwords(100), "pem": {pem},
		"worst": {"é/" + strings.Repeat("<", MaxBytes/64)},
	} {
		b.Run(name, func(b *testing.B) {
			s := setOf(b, values...)
			var a *automaton
			for b.Loop() {
				a = newAutomaton(s.values, nil)
			}
			nodes := float64(len(a.nodes))
			b.ReportMetric(nodes/float64(s.bytes), "nodes/B")
			b.ReportMetric(nodes*float64(unsafe.Sizeof(node{}))/float64(len(values)), "B/value")
			b.ReportMetric(float64(unsafe.Sizeof(node{})), "B/node")
		})
	}
}
