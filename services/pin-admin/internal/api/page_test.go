package api_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// lists creates four items with the names alpha to delta in every list except the list of sessions. It returns the path of
// each list and the field that contains the name.
func (s *service) lists() map[string]string {
	s.t.Helper()
	instance := s.people.Instance()
	identities := "/v1/customers/" + s.people.Customer().String() + "/identities"
	proxyKeys := "/v1/instances/" + instance.String() + "/proxy-keys"
	for _, name := range []string{"alpha", "bravo", "Charlie", "delta"} {
		s.add(identities, object{"instance_id": instance, "channel": "sms", "external_id": "the " + name, "display_name": name})
		s.add(proxyKeys, object{"name": name})
		s.add("/v1/api-keys", object{"name": name, "scopes": []string{"read"}})
		s.add("/v1/instances", object{"name": name})
		s.add("/v1/customers", object{"email": name + "@example.com", "display_name": name})
	}
	return map[string]string{"/v1/customers": "display_name", "/v1/instances": "name", identities: "display_name", proxyKeys: "name", "/v1/api-keys": "name"}
}

func TestLists(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for path, field := range s.lists() {
		all := []string{"delta", "Charlie", "bravo", "alpha"}
		// The list also has an item that the test needs: the customer, the instance or the API key.
		if path == "/v1/customers" || path == "/v1/api-keys" {
			all = append(all, "")
		} else if path == "/v1/instances" {
			all = append(all, "agent")
		}
		total := float64(len(all))
		for _, rule := range []struct {
			query string
			want  []string
			rest  object
		}{
			{"", all, object{"page": 1.0, "per_page": 20.0, "total": total}},
			{"per_page=2", all[:2], object{"page": 1.0, "per_page": 2.0, "total": total}},
			{"per_page=2&page=2", all[2:4], object{"page": 2.0, "total": total}},
			{"per_page=4&page=2", all[4:], object{"total": total}},
			{"page=3", nil, object{"page": 3.0, "total": total}},
			{"page=999999999999999&per_page=100", nil, object{"total": total}},
			{"sort_dir=desc&sort_by=created_at", all, nil},
			{"sort_dir=asc&per_page=100&page=1&search=", reversed(all), object{"per_page": 100.0}},
			{"search=ELT", []string{"delta"}, object{"total": 1.0}},
			{"search=charlie&sort_by=" + field, []string{"Charlie"}, object{"total": 1.0}},
			{"search=" + url.QueryEscape("%"), nil, object{"total": 0.0}},
			{"search=_", nil, object{"total": 0.0}},
			{"search=" + url.QueryEscape(`\`), nil, nil},
			{"search=" + url.QueryEscape(`' or 1=1 --`), nil, nil},
			{"search=" + url.QueryEscape(`$1`), nil, nil},
			{"search=nobody&page=2", nil, object{"total": 0.0}},
		} {
			a := s.Want(s.ask("GET", path+"?"+rule.query, nil), 200)
			if got := texts(a, field); !slices.Equal(got, rule.want) {
				t.Errorf("%s?%s: %q, want %q", path, rule.query, got, rule.want)
			}
			s.Fields(a, rule.rest)
		}
		named := texts(s.Want(s.ask("GET", path+"?sort_by="+field+"&sort_dir=asc&per_page=100", nil), 200), field)
		named = slices.DeleteFunc(named, func(name string) bool { return name == "" || name == "agent" })
		if !slices.Equal(named, []string{"alpha", "bravo", "Charlie", "delta"}) {
			t.Errorf("%s by name: %q", path, named)
		}
	}
}

func reversed(list []string) []string {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

func TestSearchHasNoWildcards(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, name := range []string{`100% Shop`, `100 Shop`, `a_b`, `aXb`, `back\slash`, `backslash`, `Ünïcode`, `'quoted"`, `(.*)`} {
		s.add("/v1/instances", object{"name": name})
	}
	for search, want := range map[string][]string{
		`%`: {`100% Shop`}, `0% s`: {`100% Shop`}, `shop`: {`100 Shop`, `100% Shop`}, `_`: {`a_b`}, `A_B`: {`a_b`}, `\`: {`back\slash`}, `\S`: {`back\slash`},
		`ack\`: {`back\slash`}, `üNÏ`: {`Ünïcode`}, `'Q`: {`'quoted"`}, `.*`: {`(.*)`}, `%%`: {}, `100%25`: {}, strings.Repeat("é", 255): {}, ` `: {`100 Shop`, `100% Shop`},
	} {
		a := s.Want(s.ask("GET", "/v1/instances?search="+url.QueryEscape(search), nil), 200)
		if got := texts(a, "name"); !slices.Equal(got, want) || a.JSON("total") != float64(len(want)) {
			t.Errorf("%q: %q of %v, want %q", search, got, a.JSON("total"), want)
		}
	}
}

// Items with the same time or the same name have a fixed order, so that pages neither repeat nor omit an item.
func TestPagesDoNotOverlap(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer := s.people.Customer()
	s.people.Exec(`insert into identities (customer_id, instance_id, channel, external_id) select $1, $2, 'sms', n from generate_series(1, 53) n`,
		customer, s.people.Instance())
	for _, sort := range []string{"created_at", "display_name", "external_id"} {
		for _, direction := range []string{"asc", "desc"} {
			seen := map[string]bool{}
			for page := 1; page <= 6; page++ {
				path := fmt.Sprintf("/v1/customers/%s/identities?per_page=10&page=%d&sort_by=%s&sort_dir=%s", customer, page, sort, direction)
				a := s.Want(s.ask("GET", path, nil), 200)
				for _, id := range texts(a, "id") {
					seen[id] = true
				}
				s.Fields(a, object{"total": 53.0})
				s.people.Exec(`update identities set updated_at = now() where external_id like $1 || '%'`, page) // changes the physical order of the rows
			}
			if len(seen) != 53 {
				t.Errorf("sorted by %s %s: %d different items on all pages, want 53", sort, direction, len(seen))
			}
		}
	}
}

func TestInvalidListParametersAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for path := range s.lists() {
		for _, rule := range []struct{ query, kind, field string }{
			{"page=0", "greater_than_equal", "page"},
			{"page=-1", "greater_than_equal", "page"},
			{"page=x", "int_parsing", "page"},
			{"page=", "int_parsing", "page"},
			{"page=1.5", "int_parsing", "page"},
			{"page=9999999999999999999999", "int_parsing", "page"},
			{"page=1&page=2", "value_error", "page"},
			{"per_page=0", "greater_than_equal", "per_page"},
			{"per_page=101", "less_than_equal", "per_page"},
			{"per_page=all", "int_parsing", "per_page"},
			{"sort_by=password", "enum", "sort_by"},
			{"sort_by=", "enum", "sort_by"},
			{"sort_by=created_at%20desc", "enum", "sort_by"},
			{"sort_by=created_at%3B%20drop%20table%20customers", "enum", "sort_by"},
			{"sort_dir=up", "enum", "sort_dir"},
			{"sort_dir=DESC", "enum", "sort_dir"},
			{"search=%00", "value_error", "search"},
			{"search=%ff", "value_error", "search"},
			{"search=" + strings.Repeat("x", 256), "string_too_long", "search"},
		} {
			a := s.ask("GET", path+"?"+rule.query, nil)
			if a.Status != 422 || a.JSON("detail.0.type") != rule.kind || a.JSON("detail.0.loc.0") != "query" || a.JSON("detail.0.loc.1") != rule.field {
				t.Errorf("%s?%s: %d %s, want %s", path, rule.query, a.Status, a.Body, rule.kind)
			}
		}
		several := s.Want(s.ask("GET", path+"?page=0&per_page=101&sort_dir=up", nil), 422)
		if issues, _ := several.JSON("detail").([]any); len(issues) != 3 {
			t.Errorf("%s: %d issues, want 3", path, len(issues))
		}
	}
	s.Want(s.ask("GET", "/v1/instances/"+uuid.NewString()+"/proxy-keys", nil), 404)
}
