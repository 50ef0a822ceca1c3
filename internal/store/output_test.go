package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
)

// lines are records from the seq on.
func lines(seq int64, stream domain.Stream, texts ...string) (recs []domain.Record) {
	for i, text := range texts {
		recs = append(recs, domain.Record{Seq: seq + int64(i), Time: morning.Add(time.Duration(seq) * time.Millisecond), Stream: stream, Text: text})
	}
	return recs
}

// mixed are n records over the four streams; each says its own seq.
func mixed(from, n int64) (recs []domain.Record) {
	for seq := from; seq < from+n; seq++ {
		stream := domain.Streams[seq%4]
		if seq%100 == 0 {
			stream = domain.Error
		}
		recs = append(recs, lines(seq, stream, fmt.Sprintf("line %d of %s", seq, stream))...)
	}
	return recs
}

// write appends the records in chunks.
func (f *fixture) append(c domain.Claim, recs []domain.Record, size int) {
	f.t.Helper()
	for part := range slices.Chunk(recs, size) {
		ok(f.t, f.Append(f.t.Context(), c.Execution.ID, c.Fence, part))
	}
}

func (f *fixture) all(id string) []domain.Record {
	f.t.Helper()
	return must[[]domain.Record](f.t)(f.Records(f.t.Context(), id, 0, 1<<30, 1<<30))
}

func TestRecordsComeBackInOrder(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, claim := t.Context(), f.running(f.putCloud(1), "x")
		id := claim.Execution.ID
		same(t, "before the first", len(f.all(id)), 0)
		recs := mixed(1, 2500)
		recs[7].Text, recs[8].Text, recs[9].Text = "", "nul \x00 ünd ✓\n", strings.Repeat("x", domain.MaxRecord)
		f.append(claim, recs[:500], 7)
		f.append(claim, recs[500:], 2000)
		f.reopen()
		same(t, "all", f.all(id), recs)

		for _, limit := range []int{1, 10, 333} {
			var got []domain.Record
			for {
				after := int64(len(got))
				page := must[[]domain.Record](t)(f.Records(ctx, id, after, limit, 5000))
				if len(page) == 0 {
					break
				}
				size := 0
				for _, r := range page {
					size += len(r.Text)
				}
				if len(page) > limit || size > 5000 && len(page) > 1 {
					t.Fatalf("%d records with %d bytes", len(page), size)
				}
				got = append(got, page...)
			}
			if !slices.Equal(got, recs) {
				t.Fatalf("in pages of %d: %s", limit, cmp.Diff(recs, got))
			}
		}
		_, err := f.Records(ctx, newID(), 0, 10, 10)
		want(t, err, errors.ResourceNotFound)
	})
}

func TestAppendRefusesGapsAndOverlaps(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, claim := t.Context(), f.running(f.putCloud(1), "x")
		id := claim.Execution.ID
		ok(t, f.Append(ctx, id, claim.Fence, nil))
		want(t, f.Append(ctx, id, claim.Fence, lines(2, domain.Output, "a")), errors.Conflict)
		want(t, f.Append(ctx, id, claim.Fence, lines(0, domain.Output, "a")), errors.Conflict)
		ok(t, f.Append(ctx, id, claim.Fence, lines(1, domain.Output, "a", "b")))
		for _, from := range []int64{1, 2, 4} {
			want(t, f.Append(ctx, id, claim.Fence, lines(from, domain.Output, "c", "d")), errors.Conflict)
		}
		gap := lines(3, domain.Output, "c", "d", "e")
		gap[2].Seq = 6
		want(t, f.Append(ctx, id, claim.Fence, gap), errors.Conflict)
		for _, bad := range []domain.Record{{Seq: 3}, {Seq: 3, Stream: 5}, {Seq: 3, Stream: 1, Text: strings.Repeat("x", domain.MaxRecord+1)}} {
			if f.Append(ctx, id, claim.Fence, []domain.Record{bad}) == nil {
				t.Fatal("stored a bad record")
			}
		}
		same(t, "what is stored", f.all(id), lines(1, domain.Output, "a", "b"))
		f.finish(claim, domain.Outcome{State: domain.Succeeded})
		want(t, f.Append(ctx, id, claim.Fence, lines(3, domain.Output, "late")), errors.ExecutorLost)
	})
}

func TestTail(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, claim := t.Context(), f.running(f.putCloud(1), "x")
		id := claim.Execution.ID
		recs := mixed(1, 3000)
		f.append(claim, recs, 64)
		for _, stream := range domain.Streams {
			var mine []domain.Record
			for _, r := range recs {
				if r.Stream == stream {
					mine = append(mine, r)
				}
			}
			for _, n := range []int{0, 1, 100, len(mine), len(mine) + 1} {
				got, omitted, err := f.Tail(ctx, id, stream, n, 1<<20)
				ok(t, err)
				from := max(len(mine)-n, 0)
				same(t, fmt.Sprint("omitted of ", stream), omitted, int64(from))
				if !slices.Equal(got, mine[from:]) {
					t.Fatalf("last %d of %s: %s", n, stream, cmp.Diff(mine[from:], got))
				}
			}
			bytes := len(mine[len(mine)-1].Text) + len(mine[len(mine)-2].Text)
			got, omitted, err := f.Tail(ctx, id, stream, 1000, bytes)
			ok(t, err)
			same(t, "two lines of bytes", got, mine[len(mine)-2:])
			same(t, "omitted", omitted, int64(len(mine)-2))
			got, _, err = f.Tail(ctx, id, stream, 1000, bytes-1)
			ok(t, err)
			same(t, "one byte less", got, mine[len(mine)-1:])
		}
		_, _, err := f.Tail(ctx, id, 0, 1, 1)
		if err == nil {
			t.Fatal("tail of no stream")
		}
	})
}

func TestRewriteReachesBackAcrossChunks(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, claim := t.Context(), f.running(f.putCloud(1), "x")
		id := claim.Execution.ID
		recs := mixed(1, 1000)
		recs[99].Text, recs[500].Text, recs[999].Text = "hunter", "hunter2", "the end hunter"
		f.append(claim, recs, 10)
		changed, stop := f.Watch(id)
		defer stop()

		var seen []domain.Record
		var held *domain.Record // "hunter" is one with what comes 401 records later
		ok(t, f.Rewrite(ctx, id, claim.Fence, func(part []domain.Record) (out []domain.Record, any bool) {
			if len(part) > 10 {
				t.Errorf("%d records at once", len(part))
			}
			seen = append(seen, part...)
			if len(part) == 0 && held != nil {
				held.Text = "the end [redacted]"
				return []domain.Record{*held}, true
			}
			for _, r := range part {
				switch r.Text {
				case "hunter", "the end hunter":
					held = &r
				case "hunter2":
					held.Text, r.Text = "[redacted]", strings.Repeat("[redacted]", 1000)
					return []domain.Record{*held, r}, true
				}
			}
			return nil, false
		}))
		woken(t, changed, true)
		same(t, "seen once, in order", seen, recs)
		recs[99].Text, recs[500].Text, recs[999].Text = "[redacted]", strings.Repeat("[redacted]", 1000), "the end [redacted]"
		same(t, "stored", f.all(id), recs)
		ok(t, f.Append(ctx, id, claim.Fence, lines(1001, domain.Output, "more")))

		ok(t, f.Rewrite(ctx, id, claim.Fence, func([]domain.Record) ([]domain.Record, bool) { return nil, false }))
		for _, bad := range []domain.Record{{Seq: 2000, Stream: domain.Output}, {Seq: 1001, Stream: domain.Error}} {
			if f.Rewrite(ctx, id, claim.Fence, func([]domain.Record) ([]domain.Record, bool) { return []domain.Record{bad}, true }) == nil {
				t.Errorf("put %v in the place of another", bad)
			}
		}
		same(t, "still", f.all(id)[:1000], recs)
	})
}

func FuzzChunk(f *testing.F) {
	good, err := pack(mixed(1, 5))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(int64(1), int64(5), good[0].data)
	f.Add(int64(1), int64(1), []byte{1, 0, 200, 'a'})
	f.Fuzz(func(t *testing.T, first, last int64, data []byte) {
		if first < 1 || last < first || last-first > 1<<20 {
			return
		}
		recs, err := chunk{first: first, last: last, data: data}.records()
		if err != nil {
			return
		}
		again := chunk{first: first}
		for _, r := range recs {
			again.add(r)
		}
		back, err := again.records()
		if err != nil || !slices.Equal(recs, back) {
			t.Fatalf("%v: %s", err, cmp.Diff(recs, back))
		}
	})
}
