package api_test

import (
	"fmt"
	"sync"
	"testing"
)

// TestTwoTabs: of two decisions at the same time, one counts, and the other is answered with the state.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	for name, pins := range map[string][2]string{"approve twice": {goodPIN, goodPIN}, "deny twice": {"", ""}, "approve and deny": {goodPIN, ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAsked(t)
			hash := a.viewHash()
			counted := map[string]int{}
			var mu sync.Mutex
			var running sync.WaitGroup
			for _, pin := range pins {
				running.Go(func() {
					decision := "approve"
					if pin == "" {
						decision = "deny"
					}
					got, err := a.Try(a.request("", hash, decision, pin))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err != nil:
						t.Error(err)
					case got.Status == 200:
						counted[got.JSON("status").(string)]++
					case got.Status != 409 || got.JSON("code") != "approval_approved" && got.JSON("code") != "approval_denied":
						t.Errorf("%d %s", got.Status, got.Body)
					}
				})
			}
			running.Wait()
			if len(counted) != 1 || counted[a.status()] != 1 {
				t.Errorf("counted %v, the status is %s", counted, a.status())
			}
		})
	}
}

// TestDecidesInParallel: the budget is exact for 100 decisions at one link with right and wrong PINs.
func TestDecidesInParallel(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	hash := a.viewHash()
	var running sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for i := range 100 {
		running.Go(func() {
			got, err := a.Try(a.request("", hash, "approve", []string{goodPIN, wrongPIN}[i%2]))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			status, _ := got.JSON("status").(string)
			answers[fmt.Sprint(got.Status, " ", status, got.Header.Get("X-Error-Code"))]++
		})
	}
	running.Wait()
	for answer := range answers {
		switch answer {
		case "200 approved", "200 pending", "200 denied", "409 approval_approved", "409 approval_denied", "503 approval_deciding", "503 not_charged":
		default:
			t.Errorf("an answer is %s", answer)
		}
	}
	attempts, tries := a.charged()
	var rows int
	a.people.Get(&rows, `select count(*) from attempts`)
	if attempts != tries || rows != tries || tries < 1 || tries > 2 {
		t.Errorf("%d charged, %d rows, %d tries; answers %v", attempts, rows, tries, answers)
	}
	if answers["200 approved"] > 1 || (answers["200 approved"] == 1) != (a.status() == "approved") {
		t.Errorf("answers %v, status %s", answers, a.status())
	}
}
