package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/audit"
	"github.com/airlock-run/airlock/internal/domain"
)

// appendSync is the median of some appends of 4 KiB with fsync: what durability costs on this disk now. The other
// figures are given as multiples of it too, because machines differ and are shared.
func appendSync(b *testing.B) time.Duration {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	ok(b, err)
	defer f.Close()
	block := make([]byte, 4096)
	var took []time.Duration
	for range 101 {
		began := time.Now()
		_, err := f.Write(block)
		ok(b, err)
		ok(b, f.Sync())
		took = append(took, time.Since(began))
	}
	return median(took)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkSubmitToClaim is the time from a submission to its claim, both durable, by an executor that is woken.
func BenchmarkSubmitToClaim(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			sync := appendSync(b)
			f := newFixture(b, e, Config{})
			c := f.putCloud(1)
			var took []time.Duration
			claims := make(chan domain.Claim)
			go func() {
				for range f.Work() {
					got, err := f.Claim(b.Context(), "node", 1)
					if err != nil {
						return
					}
					for _, claim := range got {
						claims <- claim
					}
				}
			}()
			for n := 0; b.Loop(); n++ {
				began := time.Now()
				f.submit(c, fmt.Sprint(n))
				claim := <-claims
				took = append(took, time.Since(began))
				f.finish(claim, domain.Outcome{State: domain.Succeeded})
			}
			p50 := median(took)
			b.ReportMetric(float64(p50.Microseconds())/1000, "ms-p50")
			b.ReportMetric(float64(p50)/float64(sync), "append+fsync")
		})
	}
}

// BenchmarkJobs is whole lives of executions that do nothing, over 1000 private clouds with 16 clients and workers.
func BenchmarkJobs(b *testing.B) {
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			fsync := appendSync(b)
			f := newFixture(b, e, Config{})
			for n := range 1000 {
				f.putCloud(n)
			}
			const side = 16
			b.ResetTimer()
			began := time.Now()
			var all sync.WaitGroup
			for client := range side {
				all.Go(func() {
					for n := client; n < b.N; n += side {
						if _, _, err := f.Submit(b.Context(), execution(cloudID(n%1000), fmt.Sprint(n))); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			jobs := make(chan domain.Claim)
			for range side {
				all.Go(func() {
					for c := range jobs {
						if err := f.Finish(b.Context(), c.Execution.ID, c.Fence, domain.Outcome{State: domain.Succeeded}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for done := 0; done < b.N; {
				claims := must[[]domain.Claim](b)(f.Claim(b.Context(), "node", side))
				for _, c := range claims {
					jobs <- c
				}
				if done += len(claims); len(claims) == 0 && done < b.N {
					<-f.Work()
				}
			}
			close(jobs)
			all.Wait()
			each := time.Since(began) / time.Duration(b.N)
			b.ReportMetric(1/each.Seconds(), "jobs/s")
			b.ReportMetric(float64(each)/float64(fsync), "append+fsync")
		})
	}
}

// BenchmarkAppend is lines of 80 bytes, 256 a chunk, beside a file that gets the same bytes and as many fsyncs.
func BenchmarkAppend(b *testing.B) {
	const size = 256
	text := strings.Repeat("x", 80)
	perSecond := func(b *testing.B, began time.Time) {
		b.ReportMetric(float64(b.N*size)/time.Since(began).Seconds(), "lines/s")
	}
	b.Run("file", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "log"))
		ok(b, err)
		defer f.Close()
		block := []byte(strings.Repeat(text+"\n", size))
		began := time.Now()
		for range b.N {
			_, err := f.Write(block)
			ok(b, err)
			ok(b, f.Sync())
		}
		perSecond(b, began)
	})
	for _, e := range engines {
		b.Run(e.name, func(b *testing.B) {
			f := newFixture(b, e, Config{})
			claim := f.running(f.putCloud(1), "x")
			recs := make([]domain.Record, size)
			b.ResetTimer()
			began := time.Now()
			for n := range b.N {
				for i := range recs {
					recs[i] = domain.Record{Seq: int64(n*size + i + 1), Time: morning, Stream: domain.Streams[i%4], Text: text}
				}
				ok(b, f.Append(b.Context(), claim.Execution.ID, claim.Fence, recs))
			}
			perSecond(b, began)
		})
	}
}

// BenchmarkTail reads the end of many lines: of a stream that has most of them, and of one whose only lines came
// first. It reports the resident memory as well, which does not grow with the lines.
func BenchmarkTail(b *testing.B) {
	for _, e := range engines {
		for _, size := range []int{100_000, 1_000_000} {
			f := newFixture(b, e, Config{})
			claim := f.running(f.putCloud(1), "x")
			ok(b, f.Append(b.Context(), claim.Execution.ID, claim.Fence, lines(1, domain.Error, "a", "b")))
			recs := make([]domain.Record, 1000)
			for n := range size / len(recs) {
				for i := range recs {
					recs[i] = domain.Record{Seq: int64(n*len(recs) + i + 3), Time: morning, Stream: domain.Output, Text: strings.Repeat("x", 80)}
				}
				f.append(claim, recs, 250)
			}
			for _, stream := range []domain.Stream{domain.Output, domain.Error} {
				b.Run(fmt.Sprintf("%s/%d/%s", e.name, size, stream), func(b *testing.B) {
					for b.Loop() {
						_, _, err := f.Tail(b.Context(), claim.Execution.ID, stream, 1000, 256<<10)
						ok(b, err)
					}
					b.ReportMetric(residentMiB(b), "MiB-resident")
				})
			}
		}
	}
}

func residentMiB(b *testing.B) float64 {
	statm, err := os.ReadFile("/proc/self/statm")
	ok(b, err)
	var total, resident int
	_, err = fmt.Sscan(string(statm), &total, &resident)
	ok(b, err)
	return float64(resident*os.Getpagesize()) / (1 << 20)
}

// BenchmarkAssignmentsOf is what authorisation adds to each request, of 10,000 assignments: for somebody without
// groups, and in 200 groups, the most that Microsoft Entra ID puts into a token.
func BenchmarkAssignmentsOf(b *testing.B) {
	f := newFixture(b, engines[0], Config{})
	var group errgroup.Group
	for n := range 10_000 {
		group.Go(func() error {
			_, _, err := f.PutAssignment(b.Context(), assignment("/subscriptions/s", user(n)))
			return err
		})
	}
	ok(b, group.Wait())
	for _, principals := range []int{1, 200} {
		b.Run(fmt.Sprint(principals), func(b *testing.B) {
			all := make([]domain.Principal, principals)
			for n := range all {
				all[n] = user(9999 + n) // all but the first have none
			}
			for b.Loop() {
				if found, err := f.AssignmentsOf(b.Context(), all); err != nil || len(found) != 1 {
					b.Fatal(len(found), err)
				}
			}
		})
	}
}

// BenchmarkAudit is what an execution's audit costs that is as long as it can be: stored in batches, then read in pages.
func BenchmarkAudit(b *testing.B) {
	const batch, all = 256, 14_000 / 256 * 256
	f := newFixture(b, engines[0], Config{})
	var stored, read time.Duration
	n := 0
	for ; b.Loop(); n++ {
		c := f.running(f.putCloud(n), "x")
		began := time.Now()
		for from := int64(1); from <= all; from += batch {
			f.appendAudit(c, calls(from, batch)...)
		}
		stored += time.Since(began)
		began = time.Now()
		for after := int64(0); after < all; {
			page := must[[]audit.Event](b)(f.Audit(b.Context(), c.Execution.ID, after, 500))
			after += int64(len(page))
		}
		read += time.Since(began)
	}
	b.ReportMetric(float64(n)*all/stored.Seconds(), "stored/s")
	b.ReportMetric(float64(n)*all/read.Seconds(), "read/s")
}
