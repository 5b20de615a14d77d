package action

import (
	"strconv"
	"strings"

	"github.com/gowebpki/jcs"
)

// exactNumber returns the canonical form of a JSON number: the shortest form of its float64. The number is exact if the canonical form
// has the decimal value that was written. Negative zero is not exact, because its canonical form is 0.
func exactNumber(written string) (canonical string, exact bool) {
	value, err := strconv.ParseFloat(written, 64)
	if err != nil {
		return "", false // too great for a float64
	}
	if canonical, err = jcs.NumberToJSON(value); err != nil {
		return "", false
	}
	a, ok := parseDecimal(written)
	b, _ := parseDecimal(canonical)
	return canonical, ok && a == b
}

// decimal is the number 0.digits × 10^exponent. Digits neither start nor end with 0, so equal numbers have equal fields. Zero has
// no digits and the exponent 0.
type decimal struct {
	negative bool
	digits   string
	exponent int64
}

// parseDecimal reads a JSON number. It is not ok if the exponent does not fit into 32 bits.
func parseDecimal(number string) (d decimal, ok bool) {
	number, d.negative = strings.CutPrefix(number, "-")
	mantissa, power := number, ""
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		mantissa, power = number[:i], number[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := whole + fraction
	d.digits = strings.TrimLeft(all, "0")
	leading := len(all) - len(d.digits)
	d.digits = strings.TrimRight(d.digits, "0")
	if d.digits == "" {
		return d, true
	}
	shift := int64(0)
	if power != "" {
		var err error
		if shift, err = strconv.ParseInt(power, 10, 32); err != nil {
			return decimal{}, false
		}
	}
	d.exponent = int64(len(whole)-leading) + shift
	return d, true
}
