package api_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// BenchmarkListsAndLookups measures each reading endpoint at a million rows, and checks that it uses an index. Postgres reports
// the plans of the statements that the service sends (auto_explain). To run it:
//
//	make bench T=./services/pin-admin/internal/api
func BenchmarkListsAndLookups(b *testing.B) {
	s, plans := newFullService(b, 1_000_000)
	for _, probe := range probes {
		b.Run(probe.name, func(b *testing.B) {
			for b.Loop() {
				plans.take()
				if a := s.ask("GET", probe.path, nil); a.Status != 200 {
					b.Fatalf("%d %s", a.Status, a.Body)
				}
			}
			plans.check(b, probe.readsAll)
		})
	}
}

func TestListsAndLookupsUseAnIndex(t *testing.T) {
	t.Parallel()
	s, plans := newFullService(t, 20_000)
	for _, probe := range probes {
		plans.take()
		s.Want(s.ask("GET", probe.path, nil), 200)
		plans.check(t, probe.readsAll)
	}
}

// someone is a customer, an instance and an identity in the middle of the tables.
const (
	someone  = "00000000-0000-0000-0000-000000007777"
	customer = "/v1/customers/" + someone
	instance = "/v1/instances/" + someone
)

// probes are the reading endpoints with their most expensive parameters. If readsAll is true, the total of the list must count
// every row.
var probes = []struct {
	name, path string
	readsAll   bool
}{
	{"customers", "/v1/customers", true},
	{"customers, by address", "/v1/customers?sort_by=email&sort_dir=asc", true},
	{"customers, by name", "/v1/customers?sort_by=display_name", true},
	{"customers, page 100", "/v1/customers?page=100&per_page=100", true},
	{"customers, rare search", "/v1/customers?search=son%207777", false},
	{"customers, search without a match", "/v1/customers?search=nobody", false},
	{"customers, broad search", "/v1/customers?search=example", true},
	{"customer", customer, false},
	{"customer's PIN", customer + "/pin", false},
	{"sessions", customer + "/sessions", false},
	{"identities", customer + "/identities", false},
	{"identities, by account", customer + "/identities?sort_by=external_id&search=7", false},
	{"identity", customer + "/identities/" + someone, false},
	{"lookup", "/v1/customers/lookup/identity?channel=sms&external_id=7777&instance_id=" + someone, false},
	{"instances", "/v1/instances", true},
	{"instances, by name", "/v1/instances?sort_by=name", true},
	{"instances, rare search", "/v1/instances?search=nt%207777", false},
	{"instance", instance, false},
	{"policy", instance + "/pin-policy", false},
	{"proxy keys", instance + "/proxy-keys", false},
	{"proxy keys, by name", instance + "/proxy-keys?sort_by=name&search=k", false},
	{"API keys", "/v1/api-keys", true},
	{"API keys, by name", "/v1/api-keys?sort_by=name&sort_dir=asc", true},
	{"API keys, rare search", "/v1/api-keys?search=ey%207777", false},
	{"approvals", "/v1/approvals", true},
	{"approvals, of a customer", "/v1/approvals?customer_id=" + someone, false},
	{"approvals, of an instance", "/v1/approvals?instance_id=" + someone, false},
	{"approvals, of a day long ago", "/v1/approvals?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z", true},
	{"approval", "/v1/approvals/" + someone, false},
	{"skills", instance + "/skills", false},
	{"skill", instance + "/skills/pay.7777", false},
	{"audit", "/v1/audit", false},
	{"audit, of a customer", "/v1/audit?customer_id=" + someone, false},
	{"audit, of an instance", "/v1/audit?instance_id=" + someone, false},
	{"audit, of an action", "/v1/audit?action=pin.set", false},
	{"audit, of an unknown action", "/v1/audit?action=pin.eaten", false},
	{"audit, of a day long ago", "/v1/audit?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z", false},
	{"audit, of an action long ago", "/v1/audit?action=pin.set&until=2020-01-02T00:00:00Z", false},
}

// newFullService returns a pin-admin whose tables have n rows each, and the plans of its statements.
func newFullService(t testing.TB, n int) (*service, *plans) {
	t.Helper()
	database := storetest.Postgres(t)
	owner := database.Open(t, "")
	if _, err := owner.Exec(`load 'auto_explain'`); err != nil {
		t.Skip("this Postgres has no auto_explain")
	}
	const id = `('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid`
	const since = `timestamptz '2020-01-01' + n * interval '1 minute'`
	tx, err := owner.Beginx()
	must(t, err)
	tx.MustExec(`set local session_replication_role = replica`) // skips the foreign keys, which these rows satisfy
	for _, rows := range []string{
		`customers (id, email, display_name, created_at) select ` + id + `, 'person' || n || '@example.com', 'Person ' || n, ` + since,
		`instances (id, name, created_at) select ` + id + `, 'Agent ' || n, ` + since,
		`identities (id, customer_id, instance_id, channel, external_id) select ` + id + `, ` + id + `, ` + id + `, 'sms', n::text`,
		`pin_holders (holder_id, customer_id, verifier, generation, pin_set_at) select ` + id + `, ` + id + `, '', ` + id + `, ` + since,
		`proxy_keys (instance_id, name, prefix, key_hash) select ` + id + `, 'Key ' || n, '', sha256(n::text::bytea)`,
		`api_keys (name, prefix, key_hash, scopes, created_at) select 'Key ' || n, '', sha256(n::text::bytea), '{read}', ` + since,
		`skills (instance_id, skill, mode) select ` + id + `, 'pay.' || n, 'approval'`,
		`approvals (id, instance_id, customer_id, proxy_key_id, kind, skill, arguments, action_hash, nonce, key_id, link_hash, status, created_at, expires_at)
			select ` + id + `, ` + id + `, ` + id + `, ` + id + `, 'action', 'pay.' || n, '{}', sha256(n::text::bytea), sha256(n::text::bytea), 'one', sha256(n::text::bytea),
			'expired', ` + since + `, ` + since,
		`audit (at, actor_kind, action, customer_id, instance_id, request_id, address)
			select ` + since + `, 'operator', (array['pin.set', 'pin.locked', 'policy.changed'])[1 + n % 3], ` + id + `, ` + id + `, '', ''`,
	} {
		tx.MustExec(`insert into `+rows+` from generate_series(1, $1) n`, n)
	}
	must(t, tx.Commit())
	owner.MustExec(`select prune_audit(null)`) // makes a partition for each month
	owner.MustExec(`vacuum analyze`)

	address, err := url.Parse(database.URLAs(schema.RolePinAdmin))
	must(t, err)
	query := address.Query()
	query.Set("options", query.Get("options")+" -c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0 -c auto_explain.log_level=notice")
	address.RawQuery = query.Encode()
	connector, err := pq.NewConnector(address.String())
	must(t, err)
	p := &plans{}
	db := sqlx.NewDb(sql.OpenDB(pq.ConnectorWithNoticeHandler(connector, p.note)), "postgres")
	t.Cleanup(func() { db.Close() })
	return serve(t, database, db, storetest.RedisClient(t, storetest.Redis(t))), p
}

// plans contains the plans of the statements since the last call of take.
type plans struct {
	mu    sync.Mutex
	texts []string
}

func (p *plans) note(n *pq.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.texts = append(p.texts, n.Message)
}

func (p *plans) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	texts := p.texts
	p.texts = nil
	return texts
}

// wholeTable finds a table that is read from beginning to end. A partition without rows costs nothing.
var wholeTable = regexp.MustCompile(`Seq Scan on (\w+).*\(cost=0\.00\.\.(0\.[1-9]|0\.0[1-9]|[1-9])`)

// background finds the statements that the service sends by itself: it makes a receipt key when it starts, and deletes old rows.
var background = regexp.MustCompile(`receipt_keys|delete from`)

// check fails if a statement of a request reads a whole table, except to count its rows.
func (p *plans) check(t testing.TB, readsAll bool) {
	t.Helper()
	texts := p.take()
	if len(texts) < 2 { // of the authentication and of the endpoint
		t.Fatalf("only %d plans were reported: %q", len(texts), texts)
	}
	for _, plan := range texts {
		table := wholeTable.FindString(plan)
		if table == "" || background.MatchString(plan) || readsAll && strings.Contains(plan, "select count(*)") {
			continue
		}
		t.Error(fmt.Sprint(table, " in:\n", plan))
	}
}
