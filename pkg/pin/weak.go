package pin

import (
	"strconv"
	"strings"
	"time"
)

// Check returns ErrWeak if a PIN is too easy to guess to be set.
func Check(p PIN) error {
	if weak(p.Reveal()) {
		return ErrWeak
	}
	return nil
}

// weak reports whether an attacker would try a PIN early. About a tenth of the PINs of a length are weak: 9.9 % with 4 digits,
// 8.1 % with 5 and 9.4 % with 6, less with more (go test ./pkg/pin -run ShareOfWeakPINs -v). To refuse more PINs would annoy people
// and protect little, because the guess budget allows at most 50 guesses.
//
// Rules for every length: fewer than three different digits; equal steps between the digits (1234, 9012, 8642); a repeated block
// (123123); each digit repeated (112233, 111222333); a common choice. With 4 digits: a year. The other rules are for longer PINs,
// where an attacker expects the same ideas with a variation.
func weak(d string) bool {
	if different(d) < 3 || unequalSteps(d) == 0 || periodic(d) || digitsRepeated(d) || common[d] {
		return true
	}
	if len(d) == 4 {
		return year(d)
	}
	return unequalSteps(d) == 1 || palindrome(d) || pairsInSteps(d) || similarHalves(d) || keypadWalk(d) || easyBlocks(d) ||
		mostlyOneDigit(d) || date(d)
}

// different returns how many different digits a PIN has.
func different(d string) (n int) {
	var seen [10]bool
	for i := range len(d) {
		if !seen[d[i]-'0'] {
			seen[d[i]-'0'] = true
			n++
		}
	}
	return n
}

// step returns the step from the digit that is back places before the digit i, to the digit i: 0 to 9. The digit after 9 is 0.
func step(d string, i, back int) int { return (int(d[i]) - int(d[i-back]) + 10) % 10 }

// small reports whether a step is at most limit, up or down.
func small(step, limit int) bool { return (step+limit)%10 <= 2*limit }

// unequalSteps returns how many steps between neighbouring digits differ from the most frequent step. It is 0 for 123456 and 1
// for 123450 and 112345.
func unequalSteps(d string) int {
	var count [10]int
	most := 0
	for i := 1; i < len(d); i++ {
		s := step(d, i, 1)
		count[s]++
		most = max(most, count[s])
	}
	return len(d) - 1 - most
}

// periodic reports whether a PIN begins with a block that is repeated until the end: 123123, 12312312.
func periodic(d string) bool {
	for size := 1; size <= len(d)/2; size++ {
		if d[size:] == d[:len(d)-size] {
			return true
		}
	}
	return false
}

// digitsRepeated reports whether each digit is repeated equally often: 112233, 111222333.
func digitsRepeated(d string) bool {
	for size := 2; size <= len(d); size++ {
		if len(d)%size == 0 && all(d, size, func(block string) bool { return strings.Count(block, block[:1]) == size }) {
			return true
		}
	}
	return false
}

// all reports whether a rule is true for each block of size digits. The last block may be shorter.
func all(d string, size int, rule func(block string) bool) bool {
	for ; len(d) > size; d = d[size:] {
		if !rule(d[:size]) {
			return false
		}
	}
	return rule(d)
}

func year(d string) bool { return d[:2] == "19" || d[:2] == "20" }

func palindrome(d string) bool {
	for i := range len(d) / 2 {
		if d[i] != d[len(d)-1-i] {
			return false
		}
	}
	return true
}

// pairsInSteps reports whether the first digits of all pairs have equal steps, and the second digits too: 121314, 010203, 102030,
// 192837. A step is at most 2.
func pairsInSteps(d string) bool {
	for i := 2; i < len(d); i++ {
		if s := step(d, i, 2); !small(s, 2) || s != step(d, 2+i%2, 2) {
			return false
		}
	}
	return true
}

// similarHalves reports whether the second half of a PIN is the next or the previous number (123124), or has each digit of the
// first half plus or minus 1 (123234).
func similarHalves(d string) bool {
	half := len(d) / 2
	if len(d)%2 != 0 {
		return false
	}
	first, _ := strconv.Atoi(d[:half])
	second, _ := strconv.Atoi(d[half:])
	if first-second == 1 || second-first == 1 {
		return true
	}
	for i := half; i < len(d); i++ {
		if s := step(d, i, half); !small(s, 1) || s != step(d, half, half) {
			return false
		}
	}
	return true
}

// neighbours has, for each key of a keypad, the keys above, below and beside it.
var neighbours = [10]string{"8", "24", "135", "26", "157", "2468", "359", "48", "0579", "68"}

// keypadWalk reports whether each digit is beside the digit before on a keypad: 147896, 258085.
func keypadWalk(d string) bool {
	for i := 1; i < len(d); i++ {
		if !strings.Contains(neighbours[d[i-1]-'0'], d[i:i+1]) {
			return false
		}
	}
	return true
}

// easyBlocks reports whether a PIN consists of easy blocks: of three digits with equal steps of at most 2 or in one line of a
// keypad (123789, 147258, 000123), or of four digits that are weak alone (12342580).
func easyBlocks(d string) bool {
	const lines = "147 258 369 159 580 741 852 963 951 085"
	return len(d)%3 == 0 && all(d, 3, func(b string) bool {
		return unequalSteps(b) == 0 && small(step(b, 1, 1), 2) || strings.Contains(lines, b)
	}) ||
		len(d)%4 == 0 && all(d, 4, weak)
}

// mostlyOneDigit reports whether more than half of the digits of a PIN with at least 6 digits are the same: 000001, 777077.
func mostlyOneDigit(d string) bool {
	for digit := range 10 {
		if len(d) >= 6 && 2*strings.Count(d, strconv.Itoa(digit)) > len(d) {
			return true
		}
	}
	return false
}

// The forms of dates with two digits and with four digits of the year.
var (
	shortDates = []string{"020106", "010206", "060102"}
	longDates  = []string{"02012006", "01022006", "20060102", "012006", "200601"}
)

// date reports whether a PIN of 6 or 8 digits is a date, or a month with its year, from 1950 to 2029: most dates in the life
// of a person. The day, the month or the year may be first.
func date(d string) bool {
	for _, form := range shortDates {
		if t, err := time.Parse(form, d); err == nil && (t.Year()%100 < 30 || t.Year()%100 >= 50) {
			return true
		}
	}
	for _, form := range longDates {
		if t, err := time.Parse(form, d); err == nil && 1950 <= t.Year() && t.Year() < 2030 {
			return true
		}
	}
	return false
}

// common contains common choices that no rule covers: patterns on the keypad, words spelled on the keypad, well-known numbers.
var common = map[string]bool{}

func init() {
	for _, p := range strings.Fields(`
		0852 2580 8520 0258 5802 1590 1593 3571 3570 1596 1597 7531 3579 9513 7539 1739 1379 1397 3179 9731 7913 7931
		1236 3214 1478 8741 7896 6987 9874 4789 1254 1452 4563 6541 1475 3698 8963 7410 0147 1470 3690 0963 9630 0369
		5683 1004 1010 1314 2486 1313 1342 1324 1243 4231 1423 1432 2413 3412 2143 2341 3421
		1225 1224 1231 0101 0704 1031 0911 1701 1776 1812 1066 1492 3141 2718 6174 4242 0420 8008 5150 6942
		1230 1209 9080 1020 2030 1024 2048 4096 8192 3000 5000 9000 7007 0070 1337
		12358 31415 27182 14142 16180 65536 12580 02580
		246810 112358 314159 271828 141421 161803 173205 299792 662607 131072 520131 520134 1314520 5201314
		5201314 3141592 2718281 1123581 31415926 27182818 11235813 20002000 16777216`) {
		common[p] = true
	}
}
