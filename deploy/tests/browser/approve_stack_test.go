package browser

import (
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// person is a customer with an identity on the demo's instance.
type person struct {
	t        *testing.T
	customer string
	email    string
}

func newPerson(t *testing.T) person {
	t.Helper()
	email := strings.ToLower(rand.Text()) + "@example.net"
	customer := create(t, "/v1/customers", object{"email": email, "display_name": "Ada Lovelace"})
	create(t, "/v1/customers/"+customer+"/identities", object{"instance_id": stack.InstanceID, "channel": "web_chat", "external_id": rand.Text()})
	return person{t, customer, email}
}

// agent sends a request of the demo's agent to pin-internal.
func agent(t *testing.T, method, path string, body any, want int) object {
	t.Helper()
	status, answer := request(t, method, stack.PinInternalURL+"/internal/v1/instances/"+stack.InstanceID+path, body, "Authorization: Bearer "+stack.ProxyKey)
	if status != want {
		t.Fatalf("%s %s: %d %v, want %d", method, path, status, answer, want)
	}
	return answer
}

// asks asks the person to approve sending an amount, and returns the approval.
func (s person) asks(amount string) object {
	s.t.Helper()
	return agent(s.t, "POST", "/approvals", object{"customer_id": s.customer, "skill": "payments.transfer",
		"note": "You asked me to pay the invoice.", "arguments": object{"amount": amount, "currency": "EUR", "to": object{"name": "Charles Babbage", "iban": "DE89370400440532013000"}}}, http.StatusCreated)
}

// enrols follows an enrolment link in the page and chooses a PIN.
func (s person) enrols(p *page, pin, phrase string) {
	s.t.Helper()
	status, issued := request(s.t, "POST", stack.PinAdminURL+"/v1/customers/"+s.customer+"/pin/enrolment", nil, "X-Api-Key: "+stack.APIKey)
	if status != http.StatusCreated {
		s.t.Fatalf("%d %v", status, issued)
	}
	p.do(chromedp.Navigate(issued["url"].(string)))
	p.chooseTwice(pin, pin)
	p.fill("Your phrase (optional)", phrase)
	p.press("Set the PIN")
	p.outcome("Your PIN is set")
}

func newPhone(t *testing.T) *page {
	t.Helper()
	p := newPage(t)
	p.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
	return p
}

// From the enrolment link to a receipt, in a phone-sized browser. From the link to "Approved" the person needs three taps and the PIN.
func TestPersonApprovesOnAPhone(t *testing.T) {
	s, p := newPerson(t), newPhone(t)
	s.enrols(p, "83174629", "seven blue elephants")
	s.wantMail("pin_set", "an enrolment link")
	asked := s.asks("250.00")
	p.do(chromedp.Navigate(asked["url"].(string))) // the first tap
	p.do(chromedp.Evaluate[chromedp.Void](`globalThis.taps = 1; addEventListener('click', (event) => { if (event.isTrusted && !event.target.closest('.key')) taps++; }, true)`))
	p.show()
	for _, text := range []string{"Demo agent asks you to approve", "Send money", "Send 250.00 EUR to Charles Babbage", "DE89370400440532013000", "Ada Lovelace", "seven blue elephants", "You asked me to pay the invoice."} {
		p.see(text)
	}
	p.screenshot("stack-asked")
	p.digits("asked", "83174629")
	p.press("Approve")
	p.outcome("Approved")
	if taps := value[int](p, `taps`); taps != 3 {
		t.Errorf("%d taps besides the PIN, want 3", taps)
	}
	id := asked["id"].(string)
	if got := agent(t, "GET", "/approvals/"+id, nil, http.StatusOK); got["status"] != "approved" {
		t.Errorf("the approval is %v", got["status"])
	}
	p.do(chromedp.Reload())
	p.outcome("Approved")
	receipt := agent(t, "POST", "/approvals/"+id+"/use", object{"use_id": strings.Repeat("u", 22)}, http.StatusOK)
	if receipt["receipt"] == nil {
		t.Errorf("the use gave %v", receipt)
	}
	p.do(chromedp.Reload())
	p.outcome("Already used")
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, sent := range p.requests {
		if url, _, _ := strings.Cut(sent, "#"); strings.Contains(url, "cap_") || strings.Contains(url, "cen_") || !strings.Contains(url, stack.PinAdminURL) {
			t.Errorf("the page sent %s", sent)
		}
	}
}

// A wrong PIN says what is left. The second ends the link. Another browser does not know the phrase.
func TestTwoWrongPINsEndTheLink(t *testing.T) {
	s, known, other := newPerson(t), newPhone(t), newPhone(t)
	s.enrols(known, "83174629", "seven blue elephants")
	asked := s.asks("1.00")
	other.do(chromedp.Navigate(asked["url"].(string)))
	other.show()
	other.see("This browser cannot show your phrase")
	if value[bool](other, `document.body.innerText.includes('elephants')`) {
		t.Error("an unknown browser shows the phrase")
	}
	other.digits("asked", "83174620")
	other.press("Approve")
	other.see("This PIN is wrong: 1 try is left at this link. After 4 more wrong PINs your PIN is locked.")
	known.do(chromedp.Navigate(asked["url"].(string)))
	known.show()
	known.see("seven blue elephants")
	other.digits("asked", "83174621")
	other.press("Approve")
	other.outcome("Denied after two wrong PINs")
	known.digits("asked", "83174629") // the right PIN, in the second tab, is too late
	known.press("Approve")
	known.outcome("Denied after two wrong PINs")
	if got := agent(t, "GET", "/approvals/"+asked["id"].(string), nil, http.StatusOK); got["status"] != "denied" || got["reason"] != "wrong_pin" {
		t.Errorf("the approval is %v", got)
	}
}

// Two tabs of one browser: the first decision counts. A person denies without a PIN.
func TestFirstDecisionOfTwoTabsCounts(t *testing.T) {
	s, first, second := newPerson(t), newPhone(t), newPhone(t)
	s.enrols(first, "83174629", "seven blue elephants")
	asked := s.asks("2.00")
	for _, p := range []*page{first, second} {
		p.do(chromedp.Navigate(asked["url"].(string)))
		p.show()
		p.see("Send 2.00 EUR")
	}
	second.press("Deny")
	second.outcome("Denied")
	first.digits("asked", "83174629")
	first.press("Approve")
	first.outcome("Denied")
	if got := agent(t, "GET", "/approvals/"+asked["id"].(string), nil, http.StatusOK); got["status"] != "denied" || got["reason"] != "person" {
		t.Errorf("the approval is %v", got)
	}
}

// The PIN is removed after the agent asked: the page says how to get a PIN. It goes on after an enrolment.
func TestPersonWithoutAPINGetsOne(t *testing.T) {
	s, p := newPerson(t), newPhone(t)
	s.enrols(p, "83174629", "seven blue elephants")
	asked := s.asks("3.00")
	if status, _ := request(t, "DELETE", stack.PinAdminURL+"/v1/customers/"+s.customer+"/pin", nil, "X-Api-Key: "+stack.APIKey); status != http.StatusNoContent {
		t.Fatal(status)
	}
	p.do(chromedp.Navigate(asked["url"].(string)))
	p.show()
	p.see("You have no PIN yet")
	s.enrols(p, "91827346", "eight green mice")
	p.do(chromedp.Evaluate[chromedp.Void](`history.go(-1)`)) // the link of the approval is the entry before the enrolment link
	p.see("eight green mice")
	p.digits("asked", "91827346")
	p.press("Approve")
	p.outcome("Approved")
}

// wantMail waits for a mail to the person that contains a text.
func (s person) wantMail(kind, text string) {
	s.t.Helper()
	for end := time.Now().Add(waitTimeout); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(stack.MailDir, "*.eml"))
		must(s.t, err)
		for _, file := range files {
			mail, err := os.ReadFile(file)
			must(s.t, err)
			if strings.Contains(string(mail), "To: <"+s.email+">") && strings.Contains(string(mail), text) {
				return
			}
		}
	}
	s.t.Fatalf("no mail %s arrived that names %s", kind, text)
}
