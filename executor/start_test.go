package executor_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/airlock-run/airlock/executor/internal/sandbox"
	_ "github.com/airlock-run/airlock/sessions/simcloud" // weighs this executable, which is also the stage, as much as Airlock
)

// BenchmarkStart compares the start of a program in an isolated room with a bare fork and exec of the same one, taken
// turn by turn, and names the parts of it. What is reported are medians in milliseconds; sandboxed/bare is the ratio
// that has to stay below 8. A start ends with the first byte that the program writes.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	exe := filepath.Join(dir, "package", "hello")
	build := exec.Command("go", "build", "-o", exe, "github.com/airlock-run/airlock/executor/internal/sandboxtest/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	s, err := sandbox.NewIsolated(sandbox.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	samples := map[string][]time.Duration{}
	for i := range b.N {
		samples["bare"] = append(samples["bare"], bareStart(b, exe))
		for name, d := range roomStart(b, s, filepath.Join(dir, fmt.Sprint(i)), exe) {
			samples[name] = append(samples[name], d)
		}
	}
	median := map[string]float64{}
	for name, all := range samples {
		slices.Sort(all)
		median[name] = float64(all[len(all)/2]) / float64(time.Millisecond)
		b.ReportMetric(median[name], name+"-ms")
	}
	b.ReportMetric(median["sandboxed"]/median["bare"], "sandboxed/bare")
	b.ReportMetric(0, "ns/op")
}

func bareStart(b *testing.B, exe string) time.Duration {
	began := time.Now()
	out, in, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	p, err := os.StartProcess(exe, []string{exe}, &os.ProcAttr{Files: []*os.File{nil, in, in}})
	in.Close()
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = p.Kill()
		_, _ = p.Wait()
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

// roomStart starts the program in a room of its own, with two listeners, and returns what took how long.
func roomStart(b *testing.B, s sandbox.Sandbox, dir, exe string) map[string]time.Duration {
	for _, name := range []string{sandbox.Home, sandbox.Tmp} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	parts := map[string]time.Duration{}
	began := time.Now()
	last := began
	part := func(name string, err error) {
		if err != nil {
			b.Fatal(err)
		}
		now := time.Now()
		parts[name], last = now.Sub(last), now
	}
	r, err := s.Open(b.Context(), sandbox.Place{Dir: dir, Package: filepath.Dir(exe)})
	part("open", err)
	_, err = r.Listen("vc.example.test", 443)
	if err == nil {
		_, err = r.Listen("VC", 22)
	}
	part("listen", err)
	out, in, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	p, err := r.Start(sandbox.Command{Path: exe, Stdout: in, Stderr: in})
	in.Close()
	part("start", err)
	_, err = out.Read(make([]byte, 1))
	part("program", err)
	parts["sandboxed"] = last.Sub(began)
	p.Kill()
	p.Wait()
	err = r.Close()
	part("close", err)
	return parts
}
