package kyc

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// recordedUser is the user of the recorded events.
const recordedUser = "5f0c6a4e-8d0b-4c60-9a5e-1f5b7a4c9d21"

// signedAt is the time of the recorded signatures.
var signedAt = time.Unix(1700000000, 0)

type signatureCase struct {
	name, secret string
	header       http.Header
	body         string
	now          time.Time
	want         bool
}

func checkSignatures(t *testing.T, v vendor, cases []signatureCase) {
	t.Parallel()
	for _, c := range cases {
		if got := v.verify(c.secret, c.header, []byte(c.body), c.now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// header returns a header with these values.
func header(name string, values ...string) http.Header {
	h := http.Header{}
	for _, value := range values {
		h.Add(name, value)
	}
	return h
}

type eventCase struct {
	body string
	// want is empty for an event that is ignored.
	want   Status
	at     string
	labels []string
}

// checkEvents also checks that no event contains the name Canary, which the bodies contain.
func checkEvents(t *testing.T, v vendor, cases []eventCase) {
	t.Parallel()
	for _, c := range cases {
		e, err := v.event([]byte(c.body), "")
		if c.want == "" {
			if err != errIgnored {
				t.Errorf("%s: read %+v, %v", c.body, e, err)
			}
			continue
		}
		if err != nil || e.status != c.want || e.at.UTC().Format(time.RFC3339Nano) != c.at || e.user != uuid.MustParse(recordedUser) || !slices.Equal(e.labels, c.labels) {
			t.Errorf("%s: read %+v, %v", c.body, e, err)
		}
		if strings.Contains(fmt.Sprintf("%+v", e), "Canary") {
			t.Errorf("%s: the event contains the person's name", c.body)
		}
	}
}

func (v vendor) eventIDOf(t *testing.T, body string) string {
	t.Helper()
	e, err := v.event([]byte(body), "")
	if err != nil {
		t.Fatal(err)
	}
	return e.id
}

func TestMalformedEventsAreRefused(t *testing.T) {
	t.Parallel()
	green, v := sumsubGreen, Sumsub{}.vendor()
	for name, body := range map[string]string{
		"empty": "", "text": "hello", "half": green[:len(green)/2], "two": green + green, "no time": strings.Replace(green, "createdAtMs", "createdAt", 1),
		"a number as time":           strings.Replace(green, `"2020-02-21 13:23:19.321"`, "1582291399321", 1),
		"another layout of time":     strings.Replace(green, "2020-02-21 13", "2020-02-21T13", 1),
		"the 30th of February":       strings.Replace(green, "02-21", "02-30", 1),
		"a number as user":           strings.Replace(green, `"`+recordedUser+`"`, "7", 1),
		"the year 0":                 strings.Replace(green, "2020", "0000", 1),
		"labels that are not a list": strings.Replace(green, `"GREEN"`, `"GREEN","rejectLabels":"x"`, 1),
		"a text as sandbox mode":     with(green, `"sandboxMode":"true"`),
		"a number as applicant type": with(green, `"applicantType":1`),
		"a result as text":           strings.Replace(green, `{"reviewAnswer":"GREEN"}`, `"GREEN"`, 1),
	} {
		if e, err := v.event([]byte(body), ""); err != ErrForm {
			t.Errorf("%s: read %+v, %v", name, e, err)
		}
	}
}

func TestEventsWithoutAStatusOrAUserAreIgnored(t *testing.T) {
	t.Parallel()
	v := Sumsub{}.vendor()
	for name, body := range map[string]string{
		"an empty object": "{}", "null": "null", "a list": "[]", "a number as type": `{"type":1}`,
		"no user":              strings.Replace(sumsubGreen, "externalUserId", "externalId", 1),
		"a user without an id": strings.Replace(sumsubGreen, recordedUser, "canary@example.test", 1),
	} {
		if e, err := v.event([]byte(body), ""); err != errIgnored {
			t.Errorf("%s: read %+v, %v", name, e, err)
		}
	}
}
