package syntax

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// number reads a number as PowerShell 7 writes them; nil, without having moved, if what begins here is none or goes on.
func (p *parser) number() *Node {
	s := p.rest()
	s = s[:min(len(s), 400)]
	digits, base := numberDigits(s)
	if digits == 0 {
		return nil
	}
	end := digits
	suffix := ""
	for _, t := range []string{"us", "ul", "uy", "u", "s", "l", "y", "n", "d"} {
		if rest := s[end:]; len(rest) >= len(t) && strings.EqualFold(rest[:len(t)], t) {
			suffix = t
			end += len(t)
			break
		}
	}
	multiplier := 0
	if len(s) >= end+2 && s[end+1]|0x20 == 'b' {
		if i := strings.IndexByte("kmgtp", s[end]|0x20); i >= 0 {
			multiplier = i + 1
			end += 2
		}
	}
	if !endsNumber(s[end:]) {
		return nil
	}
	n := &Node{Kind: Number, Pos: p.pos, End: p.pos + end, Text: s[:end], Value: numberValue(s[:digits], base, suffix, multiplier)}
	p.pos = n.End
	return n
}

func numberDigits(s string) (length, base int) {
	in := func(from int, set string) int {
		i := from
		for i < len(s) && strings.IndexByte(set, s[i]) >= 0 {
			i++
		}
		return i
	}
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		if i := in(2, "0123456789abcdefABCDEF"); i > 2 {
			return i, 16
		}
		return 0, 0
	}
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'b' {
		if i := in(2, "01"); i > 2 {
			return i, 2
		}
		return 0, 0
	}
	const decimal = "0123456789"
	i := in(0, decimal)
	if i < len(s) && s[i] == '.' && !strings.HasPrefix(s[i:], "..") {
		if j := in(i+1, decimal); j > i+1 || i > 0 && endsNumber(s[j:]) || i > 0 && j < len(s) && s[j] >= 'a' {
			if i == 0 && j == 1 {
				return 0, 0
			}
			i = j
		}
	}
	if i == 0 {
		return 0, 0
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		j := i + 1
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		if k := in(j, decimal); k > j {
			i = k
		}
	}
	return i, 10
}

// endsNumber says whether a number ends before s.
func endsNumber(s string) bool {
	return ends(s) || strings.IndexByte("!%*+-/=>].?:#'\"`", s[0]) >= 0 || dashLen(s) > 0
}

// numberValue is an int64 or a float64; nil for what is neither.
func numberValue(digits string, base int, suffix string, multiplier int) any {
	scale := math.Pow(1024, float64(multiplier))
	if base == 10 && strings.ContainsAny(digits, ".eE") || suffix == "d" {
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil && !math.IsInf(f, 0) || base != 10 {
			return nil
		}
		return f * scale
	}
	if base != 10 {
		digits = digits[2:]
	}
	i, ok := new(big.Int).SetString(digits, base)
	if !ok {
		return nil
	}
	i.Lsh(i, uint(10*multiplier))
	if base == 16 && suffix == "" && multiplier == 0 { // 0xFFFFFFFF is -1
		if len(digits) == 8 && i.BitLen() == 32 {
			return int64(int32(uint32(i.Uint64())))
		}
		if len(digits) == 16 && i.BitLen() == 64 {
			return int64(i.Uint64())
		}
	}
	if i.IsInt64() {
		return i.Int64()
	}
	f, _ := new(big.Float).SetInt(i).Float64()
	return f
}

func negative(v any) any {
	switch v := v.(type) {
	case int64:
		return -v
	case float64:
		return -v
	}
	return nil
}
