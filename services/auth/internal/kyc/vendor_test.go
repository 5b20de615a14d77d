package kyc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

const (
	someone = "5f0c6a4e-8d0b-4c60-9a5e-1f5b7a4c9d21"
	review  = `{"applicantId":"5cb56e8e0a975a35f333cb83","inspectionId":"5cb56e8e0a975a35f333cb84","correlationId":"req-a260b669","levelName":"basic-kyc-level",` +
		`"externalUserId":"` + someone + `","type":"%s","reviewResult":%s,"reviewStatus":"completed","createdAtMs":"2020-02-21 13:23:19.321"}`
	inquiry = `{"data":{"type":"event","id":"evt_XGuXo1Rj9Yr7Z3","attributes":{"name":"%s","payload":{"data":{"type":"inquiry","id":"inq_2CVZ4HyVg7qaboXz",` +
		`"attributes":{"status":"approved","reference-id":"` + someone + `","name-first":"Canary"}}},"created-at":"2021-05-14T16:00:25.032Z"}}}`
	run = `{"payload":{"resource_type":"workflow_run","action":"workflow_run.%s","object":{"id":"2f152409","status":"%s",%s"href":"https://api.onfido.com"},` +
		`"resource":{"id":"2f152409","customer_user_id":"` + someone + `","reasons":["selfie_mismatch","The person is Canary Jones"]}}}`
	decision = `{"status":"success","verification":{"id":"12df6045","code":9001,"person":{"firstName":"Canary"},"status":"%s","reasonCode":%s,` +
		`"vendorData":"` + someone + `","decisionTime":%s,"acceptanceTime":"2024-11-06T07:00:00.000Z"}}`
)

func TestWhatVendorsSay(t *testing.T) {
	t.Parallel()
	sumsubs := func(kind, result string) string { return fmt.Sprintf(review, kind, result) }
	runs := func(action, status, times string) string { return fmt.Sprintf(run, action, status, times) }
	for _, c := range []struct {
		vendor *vendor
		body   string
		want   Status // empty: nothing
		at     string
		labels []string
	}{
		{&sumsub, sumsubs("applicantCreated", `null`), Pending, "2020-02-21T13:23:19.321Z", nil},
		{&sumsub, sumsubs("applicantPending", `{}`), Pending, "2020-02-21T13:23:19.321Z", nil},
		{&sumsub, sumsubs("applicantPrechecked", `{}`), InReview, "2020-02-21T13:23:19.321Z", nil},
		{&sumsub, sumsubs("applicantOnHold", `{"reviewAnswer":"GREEN"}`), OnHold, "2020-02-21T13:23:19.321Z", nil},
		{&sumsub, sumsubs("applicantReset", `{}`), NotStarted, "2020-02-21T13:23:19.321Z", nil},
		{&sumsub, sumsubs("applicantReviewed", `{"reviewAnswer":"GREEN"}`), Approved, "2020-02-21T13:23:19.321Z", nil},
		{&sumsub, sumsubs("applicantReviewed", `{"reviewAnswer":"RED","reviewRejectType":"RETRY","rejectLabels":["DOCUMENT_PAGE_MISSING","BAD_SELFIE"]}`),
			Resubmission, "2020-02-21T13:23:19.321Z", []string{"DOCUMENT_PAGE_MISSING", "BAD_SELFIE"}},
		{&sumsub, sumsubs("applicantReviewed", `{"reviewAnswer":"RED","reviewRejectType":"FINAL","rejectLabels":["FORGERY","What a person wrote","a\u0000b"]}`),
			Rejected, "2020-02-21T13:23:19.321Z", []string{"FORGERY"}},
		{&sumsub, sumsubs("applicantReviewed", `{"reviewAnswer":"RED"}`), Rejected, "2020-02-21T13:23:19.321Z", nil},
		{&sumsub, sumsubs("applicantReviewed", `{"reviewAnswer":"green"}`), InReview, "2020-02-21T13:23:19.321Z", nil},
		{&sumsub, sumsubs("applicantReviewed", `null`), InReview, "2020-02-21T13:23:19.321Z", nil},
		{&sumsub, sumsubs("applicantActionReviewed", `{"reviewAnswer":"GREEN"}`), "", "", nil},
		{&sumsub, sumsubs("somethingNew", `"in another form"`), "", "", nil},

		{&persona, fmt.Sprintf(inquiry, "inquiry.started"), Pending, "2021-05-14T16:00:25.032Z", nil},
		{&persona, fmt.Sprintf(inquiry, "inquiry.completed"), InReview, "2021-05-14T16:00:25.032Z", nil},
		{&persona, fmt.Sprintf(inquiry, "inquiry.approved"), Approved, "2021-05-14T16:00:25.032Z", nil},
		{&persona, fmt.Sprintf(inquiry, "inquiry.declined"), Rejected, "2021-05-14T16:00:25.032Z", nil},
		{&persona, fmt.Sprintf(inquiry, "inquiry.expired"), Resubmission, "2021-05-14T16:00:25.032Z", nil},
		{&persona, fmt.Sprintf(inquiry, "verification.passed"), "", "", nil},

		{&onfido, runs("started", "processing", `"started_at_iso8601":"2019-10-28T14:55:09Z",`), Pending, "2019-10-28T14:55:09Z", []string{"selfie_mismatch"}},
		{&onfido, runs("completed", "approved", `"started_at_iso8601":"2019-10-28T14:55:09Z","completed_at_iso8601":"2019-10-28T15:00:39Z",`), Approved, "2019-10-28T15:00:39Z", []string{"selfie_mismatch"}},
		{&onfido, runs("completed", "declined", `"completed_at_iso8601":"2019-10-28T15:00:39Z",`), Rejected, "2019-10-28T15:00:39Z", []string{"selfie_mismatch"}},
		{&onfido, runs("completed", "somehow", `"completed_at_iso8601":"2019-10-28T15:00:39Z",`), InReview, "2019-10-28T15:00:39Z", []string{"selfie_mismatch"}},
		{&onfido, `{"payload":{"resource_type":"check","action":"check.completed","object":{"status":"complete"}}}`, "", "", nil},

		{&veriff, fmt.Sprintf(decision, "approved", `null`, `"2024-11-06T07:17:36.916Z"`), Approved, "2024-11-06T07:17:36.916Z", nil},
		{&veriff, fmt.Sprintf(decision, "declined", `106`, `"2024-11-06T07:17:36.916Z"`), Rejected, "2024-11-06T07:17:36.916Z", []string{"106"}},
		{&veriff, fmt.Sprintf(decision, "resubmission_requested", `201`, `"2024-11-06T07:17:36.916Z"`), Resubmission, "2024-11-06T07:17:36.916Z", []string{"201"}},
		{&veriff, fmt.Sprintf(decision, "abandoned", `null`, `null`), Resubmission, "2024-11-06T07:00:00Z", nil},
		{&veriff, fmt.Sprintf(decision, "review", `null`, `"2024-11-06T07:17:36.916Z"`), InReview, "2024-11-06T07:17:36.916Z", nil},
		{&veriff, `{"id":"12df6045","action":"submitted","code":7002,"vendorData":"` + someone + `"}`, "", "", nil},
	} {
		e, err := c.vendor.event([]byte(c.body))
		if c.want == "" {
			if err != errNothing {
				t.Errorf("%s: read %+v, %v", c.body, e, err)
			}
			continue
		}
		if err != nil || e.status != c.want || e.at.UTC().Format(time.RFC3339Nano) != c.at || e.user != uuid.MustParse(someone) || !slices.Equal(e.labels, c.labels) {
			t.Errorf("%s: read %+v, %v", c.body, e, err)
		}
		if strings.Contains(fmt.Sprintf("%+v", e), "Canary") {
			t.Errorf("%s: keeps who it is about", c.body)
		}
	}
}

func TestEventsHaveTheVendorsIDOrTheirOwnHash(t *testing.T) {
	t.Parallel()
	id := func(v *vendor, body string) string {
		t.Helper()
		e, err := v.event([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return e.id
	}
	approved := fmt.Sprintf(inquiry, "inquiry.approved")
	if got := id(&persona, approved); got != "evt_XGuXo1Rj9Yr7Z3" {
		t.Errorf("Persona: %s", got)
	}
	for _, odd := range []string{"", "evt\\u0000", "sha256:0", strings.Repeat("x", 300)} {
		if got := id(&persona, strings.Replace(approved, "evt_XGuXo1Rj9Yr7Z3", odd, 1)); !strings.HasPrefix(got, "sha256:") || len(got) != 71 {
			t.Errorf("Persona, %q: %s", odd, got)
		}
	}
	// Several of Sumsub's events have one correlationId, and all of one person one applicantId.
	pending, reviewed := fmt.Sprintf(review, "applicantPending", "{}"), fmt.Sprintf(review, "applicantReviewed", `{"reviewAnswer":"GREEN"}`)
	if id(&sumsub, pending) == id(&sumsub, reviewed) {
		t.Error("Sumsub: two events are one")
	}
}

func TestEventsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	green := fmt.Sprintf(review, "applicantReviewed", `{"reviewAnswer":"GREEN"}`)
	for name, body := range map[string]string{
		"empty": "", "text": "hello", "half": green[:len(green)/2], "two": green + green, "no time": strings.Replace(green, "createdAtMs", "createdAt", 1),
		"a time as a number":       strings.Replace(green, `"2020-02-21 13:23:19.321"`, "1582291399321", 1),
		"another form of time":     strings.Replace(green, "2020-02-21 13", "2020-02-21T13", 1),
		"the 30th of February":     strings.Replace(green, "02-21", "02-30", 1),
		"who as a number":          strings.Replace(green, `"`+someone+`"`, "7", 1),
		"the year 0":               strings.Replace(green, "2020", "0000", 1),
		"labels that are no list":  strings.Replace(green, `"GREEN"`, `"GREEN","rejectLabels":"x"`, 1),
		"a result that is no more": strings.Replace(green, `{"reviewAnswer":"GREEN"}`, `"GREEN"`, 1),
	} {
		if e, err := sumsub.event([]byte(body)); err != ErrForm {
			t.Errorf("%s: read %+v, %v", name, e, err)
		}
	}
	for name, body := range map[string]string{
		"nothing in it": "{}", "null": "null", "a list": "[]", "a type of another type": `{"type":1}`,
		"nobody":       strings.Replace(green, "externalUserId", "externalId", 1),
		"who is no id": strings.Replace(green, someone, "canary@example.test", 1),
	} {
		if e, err := sumsub.event([]byte(body)); err != errNothing {
			t.Errorf("%s: read %+v, %v", name, e, err)
		}
	}
}
