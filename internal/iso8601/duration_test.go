package iso8601_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/airlock-run/airlock/internal/iso8601"
)

const day = 24 * time.Hour

func TestParse(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"PT30M":                 30 * time.Minute,
		"P60D":                  60 * day,
		"P0Y0M0DT0H60M60S":      61 * time.Minute, // public samples of Microsoft.AVS
		"PT3600S":               time.Hour,
		"PT90M":                 90 * time.Minute,
		"P2W":                   14 * day,
		"P1Y2M1W3DT4H5M6S":      (365+60+7+3)*day + 4*time.Hour + 5*time.Minute + 6*time.Second,
		"PT0.5S":                500 * time.Millisecond,
		"PT1,25M":               75 * time.Second,
		"PT0.1H":                6 * time.Minute,
		"P0.5D":                 12 * time.Hour,
		"PT0S":                  0,
		"PT007M":                7 * time.Minute,
		"PT1.0000000019999999S": time.Second + time.Nanosecond,
		"-PT5M":                 -5 * time.Minute,
		"P106751D":              106751 * day,
	} {
		if got, err := iso8601.Parse(s); err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "P", "PT", "T1H", "1H", "P1", "PT1", "P1DT", "PTM", "P1H", "PT1D", "PT1S1M", "PT1M1M", "P1D1M", "P.5D",
		"P1.D", "PT0.5M3S", "P0.5DT1H", "pt5m", " PT5M", "PT5M ", "PT-5M", "+PT5M", "--PT5M", "PT5X", "PT٣M", "30",
		"00:30:00", "PT1e3S", "P300Y", "P99999999999999999999D", "PT9223372036854775807S", "P290YT290000000H",
		"PT" + strings.Repeat("0", 200) + "1S",
	} {
		if got, err := iso8601.Parse(s); err == nil {
			t.Errorf("Parse(%q) = %v; want an error", s, got)
		}
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0:                                  "PT0S",
		30 * time.Minute:                   "PT30M",
		time.Hour:                          "PT1H",
		60 * day:                           "P60D",
		day + time.Second:                  "P1DT1S",
		90*time.Minute + time.Millisecond:  "PT1H30M0.001S",
		250 * time.Millisecond:             "PT0.25S",
		-5 * time.Minute:                   "-PT5M",
		100 * time.Second:                  "PT1M40S",
		time.Duration(math.MinInt64):       "-P106751DT23H47M16.854775808S",
		time.Duration(math.MaxInt64):       "P106751DT23H47M16.854775807S",
		10*time.Hour + 100*time.Nanosecond: "PT10H0.0000001S",
	} {
		if got := iso8601.Format(d); got != want {
			t.Errorf("Format(%d) = %s; want %s", d, got, want)
		}
	}
}

// What Parse takes, Format writes in a form that means the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"PT30M", "P0Y0M0DT0H60M60S", "-P1W2DT0,5S", "P.5D", "PT9223372036854775807S"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := iso8601.Parse(s)
		if err != nil {
			return
		}
		if again, err := iso8601.Parse(iso8601.Format(d)); err != nil || again != d {
			t.Fatalf("%q is %d, written as %s, read again as %d (%v)", s, d, iso8601.Format(d), again, err)
		}
	})
}
