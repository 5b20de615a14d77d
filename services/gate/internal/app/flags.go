package app

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// variable is the annotation of a flag with the name of its environment variable.
const variable = "variable"

// flags adds settings to a command. Each setting is a flag and an environment variable. The flag wins.
type flags struct {
	set *pflag.FlagSet
	env environment
}

// value is a flag's value. set returns an error that says what the value must be, and does not repeat it.
type value struct {
	kind  string
	shown string // the default, for the help
	set   func(string) error
}

func (v *value) String() string        { return v.shown }
func (v *value) Set(text string) error { return v.set(text) }
func (v *value) Type() string          { return v.kind }

func (f flags) add(flag, name, kind, shown, usage string, set func(string) error) {
	if name != "" {
		usage += " (" + name + ")"
	}
	added := f.set.VarPF(&value{kind, shown, set}, flag, "", usage)
	if name != "" {
		added.Annotations = map[string][]string{variable: {name}}
	}
}

func (f flags) text(target *string, flag, name, kind, usage string) {
	f.add(flag, name, kind, *target, usage, func(text string) error {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return errors.New("must not contain control characters")
		}
		*target = text
		return nil
	})
}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (f flags) id(target *string, flag, name, usage string) {
	f.add(flag, name, "id", *target, usage, func(text string) error {
		if !uuid.MatchString(text) {
			return errors.New("must be an id such as 7d9c1b52-6c1c-4f0e-8a53-5d1c2f3b4a01")
		}
		*target = text
		return nil
	})
}

func (f flags) url(target **url.URL, flag, name, usage string) {
	f.add(flag, name, "url", "", usage, func(text string) error { return parseURL(target, text, false) })
}

// endpoint is a URL that can have a query.
func (f flags) endpoint(target **url.URL, flag, name, usage string) {
	f.add(flag, name, "url", "", usage, func(text string) error { return parseURL(target, text, true) })
}

func parseURL(target **url.URL, text string, query bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("must be an http or https URL without a user and without a fragment")
	}
	if u.RawQuery != "" && !query {
		return errors.New("must be a URL without a query")
	}
	*target = u
	return nil
}

func (f flags) duration(target *time.Duration, least, most time.Duration, flag, name, usage string) {
	f.add(flag, name, "duration", short(*target), usage, func(text string) error {
		d, err := time.ParseDuration(text)
		if err != nil || d < least || d > most {
			return fmt.Errorf("must be a duration from %s to %s, such as 50s", short(least), short(most))
		}
		*target = d
		return nil
	})
}

// short returns a duration without units that are zero.
func short(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
	return d.String()
}

const kibibyte, mebibyte = 1 << 10, 1 << 20

func (f flags) size(target *int, least, most int, flag, name, usage string) {
	f.add(flag, name, "size", sizeText(*target), usage, func(text string) error {
		digits, unit := text, 1
		if number, ok := strings.CutSuffix(text, "MiB"); ok {
			digits, unit = number, mebibyte
		} else if number, ok := strings.CutSuffix(text, "KiB"); ok {
			digits, unit = number, kibibyte
		}
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil || int(n) > most/unit || int(n)*unit < least {
			return fmt.Errorf("must be %s to %s, in bytes or with the unit KiB or MiB", sizeText(least), sizeText(most))
		}
		*target = int(n) * unit
		return nil
	})
}

func sizeText(n int) string {
	if n%mebibyte == 0 {
		return strconv.Itoa(n/mebibyte) + "MiB"
	}
	return strconv.Itoa(n/kibibyte) + "KiB"
}

func (f flags) choice(target *string, choices []string, flag, name, usage string) {
	f.add(flag, name, strings.Join(choices, "|"), *target, usage, func(text string) error {
		if !slices.Contains(choices, text) {
			return errors.New("must be " + strings.Join(choices[:len(choices)-1], ", ") + " or " + choices[len(choices)-1])
		}
		*target = text
		return nil
	})
}

func (f flags) address(target *string, flag, name, usage string) {
	f.add(flag, name, "host:port", *target, usage, func(text string) error {
		_, port, err := net.SplitHostPort(text)
		if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || n == 0 && port != "0" {
			return errors.New("must be an address such as 127.0.0.1:8090")
		}
		*target = text
		return nil
	})
}

var (
	hostPattern   = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)(:[0-9]{1,5})?$`)
	originPattern = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[^/?#@*\s]+/?$|^null$`)
)

// list can be repeated, and each value can contain several elements, separated by commas. Each element must match the pattern.
func (f flags) list(target *[]string, pattern *regexp.Regexp, example, flag, name, kind, usage string) {
	f.add(flag, name, kind, "", usage, func(text string) error {
		for _, element := range strings.Split(text, ",") {
			if element = strings.TrimSpace(element); !pattern.MatchString(element) {
				return errors.New("must be a list, separated by commas, of elements such as " + example)
			}
			*target = append(*target, element)
		}
		return nil
	})
}

// fill sets the flags that are not given from the environment. The error is a usageError.
func (f flags) fill() (err error) {
	f.set.VisitAll(func(flag *pflag.Flag) {
		names := flag.Annotations[variable]
		if flag.Changed || len(names) == 0 || f.env(names[0]) == "" || err != nil {
			return
		}
		if problem := flag.Value.Set(f.env(names[0])); problem != nil {
			err = usageError{fmt.Errorf("%s %w", names[0], problem)}
		}
	})
	return err
}
