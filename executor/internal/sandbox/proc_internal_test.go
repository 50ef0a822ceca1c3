package sandbox

import "testing"

func TestParseStat(t *testing.T) {
	const tail = " S 10 20 30 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4711 1000 50"
	for name, line := range map[string]string{
		"plain":  "7 (sleep)" + tail,
		"spaces": "7 (a b c)" + tail,
		"parens": "7 (x) S 1 1 1 0)" + tail,
	} {
		p, ok := parseStat(7, []byte(line))
		if !ok || p.session != 30 || p.start != 4711 || p.state != 'S' || p.threads != 1 {
			t.Errorf("%s: %+v, %v", name, p, ok)
		}
	}
	for _, line := range []string{"", "7 (sleep", "7 (sleep)", "7 (sleep) S 1 2", "7 (sleep) S 10 20 x 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4711"} {
		if p, ok := parseStat(7, []byte(line)); ok {
			t.Errorf("%q was read as %+v", line, p)
		}
	}
}
