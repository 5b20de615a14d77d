package pin

import (
	"errors"
	"fmt"
	"testing"
)

func TestWeakPINs(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name string
		pins []string
		want bool
	}{
		{"the contract's valid PINs", []string{"1235", "9875", "1012", "1123", "4378"}, false},
		{"the contract's invalid PINs", []string{"1234", "9012", "0987", "6543", "1122", "1111"}, true},
		{"strong PINs", []string{"8317", "40291", "402917", "839174", "5270391", "83174629", "527036184", "9182734650", "71940385264", "830174926513"}, false},
		{"runs in both directions, also over 9 and 0", []string{"7890", "234567", "210987654", "123456789012"}, true},
		{"fewer than three different digits", []string{"1212", "7077", "900009", "550505505"}, true},
		{"equal steps", []string{"2468", "1357", "8642", "1470", "13579", "086420"}, true},
		{"repeated blocks", []string{"123123", "45674567", "902902902", "12312312", "7397397"}, true},
		{"repeated digits", []string{"112233", "77889900", "445566", "111222333"}, true},
		{"years", []string{"1900", "1987", "2026", "2099"}, true},
		{"not years", []string{"1873", "2138"}, false},
		{"common choices", []string{"2580", "1397", "5683", "314159", "246810", "112358", "5201314"}, true},
		// From here on, longer PINs only.
		{"one step of a run differs", []string{"123450", "123457", "112345", "654320", "012344", "12340", "135790", "1234567891"}, true},
		{"two steps of a run differ", []string{"123508", "129456"}, false},
		{"the same from both ends", []string{"123321", "90509", "12344321", "1234554321"}, true},
		{"pairs in steps", []string{"121314", "010203", "102030", "111213", "192837", "102938", "131211", "142536", "01020304", "1029384756"}, true},
		{"pairs in large steps", []string{"194673", "154793"}, false},
		{"similar halves", []string{"123124", "199200", "123234", "456345", "20012002"}, true},
		{"halves that differ more", []string{"417419", "417428"}, false},
		{"walks on the keypad", []string{"147896", "258085", "123698", "874123", "36987412"}, true},
		{"lines of the keypad", []string{"147258", "159753", "159357", "789456", "963852", "123654", "147258369"}, true},
		{"easy blocks of three", []string{"000123", "123000", "567890", "135246", "111789", "123789456"}, true},
		{"easy blocks of four", []string{"12342580", "19871234", "123498761111"}, true},
		{"mostly one digit", []string{"000001", "777077", "100001", "111123", "7177727"}, true},
		{"half of the digits are equal", []string{"171791", "17773920"}, false},
		{"dates: day, month, year", []string{"311299", "010190", "290204", "25122019", "31121999"}, true},
		{"dates: month, day, year", []string{"123199", "070485", "02291988", "12252019"}, true},
		{"dates: year, month, day", []string{"991231", "850704", "19991231", "20260131"}, true},
		{"months", []string{"051987", "198705", "198703", "122025"}, true},
		{"no such day or month", []string{"321287", "310485", "290285", "991331", "31041985", "19871340", "198713"}, false},
		{"years long ago and far ahead", []string{"311239", "170448", "23041832", "21870423", "187305"}, false},
	} {
		t.Run(rule.name, func(t *testing.T) {
			for _, digits := range rule.pins {
				if got := weak(digits); got != rule.want {
					t.Errorf("weak(%s) = %v, want %v", digits, got, rule.want)
				}
			}
		})
	}
	if err := Check(must(Parse("123450"))); !errors.Is(err, ErrWeak) {
		t.Errorf("Check: %v", err)
	}
}

// The most frequent PINs of 6 digits in published statistics of leaked PINs and passwords are weak.
func TestFrequentPINsAreWeak(t *testing.T) {
	t.Parallel()
	for _, digits := range []string{"123456", "654321", "111111", "000000", "123123", "666666", "121212", "112233", "789456", "159753",
		"123321", "222222", "696969", "131313", "101010", "777777", "123654", "555555", "147258", "999999", "888888", "333333", "444444",
		"456789", "987654", "147852", "252525", "159357", "420420", "741852", "789789", "456456", "246810", "102030", "520520", "321321",
		"232323", "789123", "456123", "963852", "258456", "909090", "142536", "010203", "151515", "212121", "321654", "100000", "123789"} {
		if !weak(digits) {
			t.Errorf("%s is not weak", digits)
		}
	}
}

// Run with -v to see the shares. With 6 digits, the test looks at each seventh PIN, so that it stays fast with -race; all PINs give
// 9.43 %.
func TestShareOfWeakPINs(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct{ digits, all, every int }{{4, 10_000, 1}, {5, 100_000, 1}, {6, 1_000_000, 7}} {
		refused, seen := 0, 0
		for n := 0; n < rule.all; n += rule.every {
			seen++
			if weak(fmt.Sprintf("%0*d", rule.digits, n)) {
				refused++
			}
		}
		share := 100 * float64(refused) / float64(seen)
		t.Logf("%d digits: %.2f %% are weak", rule.digits, share)
		if share < 7 || share > 11 {
			t.Errorf("%d digits: %.2f %% are weak, want about a tenth", rule.digits, share)
		}
	}
}
