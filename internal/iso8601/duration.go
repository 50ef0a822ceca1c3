// Package iso8601 reads and writes durations as ISO 8601 has them: PT30M, P60D, P0Y0M0DT0H60M60S.
//
// ARM's clients send components above their usual range, all of them at once, and zeros among them; all that is read.
// A duration here is a length of time, so the calendar's units have fixed lengths: a day is 24 hours, a week 7 days, a
// month 30 days, a year 365 days.
package iso8601

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
	"time"
)

const (
	day   = 24 * time.Hour
	week  = 7 * day
	month = 30 * day
	year  = 365 * day
)

type unit struct {
	letter byte
	length time.Duration
}

// In the order in which a duration has them. ISO 8601 has weeks by themselves; among days they mean the same.
var (
	dateUnits = []unit{{'Y', year}, {'M', month}, {'W', week}, {'D', day}}
	timeUnits = []unit{{'H', time.Hour}, {'M', time.Minute}, {'S', time.Second}}
)

// maxLength of a text that is looked at.
const maxLength = 100

// Parse reads a duration. Each unit comes at most once, in order, with digits before it; the last one may have a
// fraction after a '.' or a ',', of which what is below a nanosecond is cut off. A '-' in front makes it negative, as
// XML Schema has it. The error is a clause for a user; it quotes s, cut short.
func Parse(s string) (time.Duration, error) {
	if len(s) > maxLength {
		return 0, fmt.Errorf("%q… is not an ISO 8601 duration: it is longer than %d characters", s[:20], maxLength)
	}
	rest, negative := strings.CutPrefix(s, "-")
	rest, ok := strings.CutPrefix(rest, "P")
	date, clock, hasClock := strings.Cut(rest, "T")
	if !ok || date+clock == "" || hasClock && clock == "" {
		return 0, malformed(s)
	}
	var total time.Duration
	var fraction bool
	for _, part := range []struct {
		text  string
		units []unit
	}{{date, dateUnits}, {clock, timeUnits}} {
		for part.text != "" {
			if fraction {
				return 0, malformed(s)
			}
			d, more, units, isFraction, err := component(part.text, part.units)
			if err != nil {
				return 0, fmt.Errorf("%w: %q", err, s)
			}
			if total > math.MaxInt64-d {
				return 0, fmt.Errorf("%w: %q", errTooLong, s)
			}
			total += d
			part.text, part.units, fraction = more, units, isFraction
		}
	}
	if negative {
		total = -total
	}
	return total, nil
}

var (
	errMalformed = fmt.Errorf("this is not an ISO 8601 duration such as PT30M or P60D")
	errTooLong   = fmt.Errorf("this duration is longer than 292 years")
)

func malformed(s string) error { return fmt.Errorf("%w: %q", errMalformed, s) }

// component reads one number and its unit from the front of s. It returns what follows them in s, and the units that
// may still follow.
func component(s string, units []unit) (d time.Duration, rest string, after []unit, fraction bool, err error) {
	whole, s := digits(s)
	var decimals string
	if s != "" && (s[0] == '.' || s[0] == ',') {
		decimals, s = digits(s[1:])
		fraction = true
	}
	if whole == "" || s == "" || fraction && decimals == "" {
		return 0, "", nil, false, errMalformed
	}
	for i, u := range units {
		if u.letter != s[0] {
			continue
		}
		d, err = length(whole, decimals, u.length)
		return d, s[1:], units[i+1:], fraction, err
	}
	return 0, "", nil, false, errMalformed
}

func digits(s string) (front, rest string) {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return s[:n], s[n:]
}

func length(whole, decimals string, unit time.Duration) (time.Duration, error) {
	var n uint64
	for _, c := range []byte(whole) {
		if n > math.MaxInt64/10 {
			return 0, errTooLong
		}
		n = n*10 + uint64(c-'0')
	}
	high, low := bits.Mul64(n, uint64(unit))
	if high != 0 || low > math.MaxInt64 {
		return 0, errTooLong
	}
	part, scale := uint64(0), uint64(1)
	for _, c := range []byte(decimals[:min(len(decimals), 18)]) { // 18 decimals of a year are far below a nanosecond
		part, scale = part*10+uint64(c-'0'), scale*10
	}
	high, fraction := bits.Mul64(part, uint64(unit))
	fraction, _ = bits.Div64(high, fraction, scale)
	if low += fraction; low > math.MaxInt64 {
		return 0, errTooLong
	}
	return time.Duration(low), nil
}

// Format writes d in days, hours, minutes and seconds, without those that are zero: P60D, PT1H30M, PT0.25S, PT0S.
// Parse gives the same d back.
func Format(d time.Duration) string {
	if d == 0 {
		return "PT0S"
	}
	var b strings.Builder
	n := uint64(d)
	if d < 0 {
		b.WriteByte('-')
		n = -n
	}
	b.WriteByte('P')
	if days := n / uint64(day); days > 0 {
		fmt.Fprintf(&b, "%dD", days)
	}
	if n %= uint64(day); n == 0 {
		return b.String()
	}
	b.WriteByte('T')
	for _, u := range timeUnits[:2] {
		if count := n / uint64(u.length); count > 0 {
			fmt.Fprintf(&b, "%d%c", count, u.letter)
		}
		n %= uint64(u.length)
	}
	if n > 0 {
		seconds := fmt.Sprintf("%d.%09d", n/uint64(time.Second), n%uint64(time.Second))
		b.WriteString(strings.TrimRight(strings.TrimRight(seconds, "0"), "."))
		b.WriteByte('S')
	}
	return b.String()
}
