package skill

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/fault"
)

const transferSchema = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,
	"required":["amount","to"],"properties":{
	"amount":{"type":"number","exclusiveMinimum":0,"maximum":1000,"multipleOf":0.01},
	"currency":{"enum":["EUR","USD"]},
	"to":{"$ref":"#/$defs/party"},
	"mail":{"type":"string","format":"email"},
	"lines":{"type":"array","maxItems":2,"prefixItems":[{"type":"string"}],"items":{"$ref":"#/$defs/party"}},
	"either":{"anyOf":[{"type":"string"},{"type":"integer"}]}},
	"$defs":{"party":{"type":"object","additionalProperties":false,"required":["name"],"properties":{
	"name":{"type":"string","minLength":1,"maxLength":5},"iban":{"type":"string","pattern":"^DE[0-9]{2}$"}}}}}`

func TestArgumentsOutsideTheSchema(t *testing.T) {
	t.Parallel()
	schema, err := ParseSchema(transferSchema)
	if err != nil {
		t.Fatal(err)
	}
	for arguments, want := range map[string]string{
		`{"amount":1,"to":{"name":"Bob"}}`:                                      "",
		`{"amount":0.07,"to":{"name":"Bob","iban":"DE12"},"either":3}`:          "",
		`{"amount":1e-300,"to":{"name":"Bob"}}`:                                 "arguments.amount does not match multipleOf in the schema",
		`{"amount":1e300,"to":{"name":"Bob"}}`:                                  "arguments.amount is more than the schema allows",
		`{}`:                                                                    "arguments.amount is missing",
		`{"amount":"canary","to":{"name":"Bob"}}`:                               "arguments.amount must be of the type number",
		`{"amount":0,"to":{"name":"Bob"}}`:                                      "arguments.amount is less than the schema allows",
		`{"amount":0.005,"to":{"name":"Bob"}}`:                                  "arguments.amount does not match multipleOf in the schema",
		`{"amount":1,"to":{"name":""}}`:                                         "arguments.to.name must have at least 1 characters",
		`{"amount":1,"to":{"name":"canary"}}`:                                   "arguments.to.name must have at most 5 characters",
		`{"amount":1,"to":{"name":"Bob","iban":"canary"}}`:                      "arguments.to.iban does not match the pattern in the schema",
		`{"amount":1,"to":{"name":"Bob"},"mail":"canary"}`:                      "arguments.mail does not have the format email",
		`{"amount":1,"to":{"name":"Bob"},"currency":"canary"}`:                  "arguments.currency is not one of the values that the schema allows",
		`{"amount":1,"to":{"name":"Bob"},"either":{"canary":"canary"}}`:         "arguments.either does not match anyOf in the schema",
		`{"amount":1,"to":{"name":"Bob"},"lines":["a",{"name":1}]}`:             "arguments.lines.1.name must be of the type string",
		`{"amount":1,"to":{"name":"Bob"},"lines":["a",{"name":"b"},"c"]}`:       "arguments.lines must have at most 2 elements",
		`{"amount":1,"to":{"name":"Bob"},"z":1,"b\u202e":2}`:                    "arguments.b⟨U+202E⟩ is not a property in the schema",
		`{"amount":1,"to":{"name":"Bob"},"` + strings.Repeat("k", 100) + `":1}`: "arguments." + strings.Repeat("k", 60) + "… is not a property in the schema",
	} {
		canonical, err := action.Canonical([]byte(arguments))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for range 5 { // the order of the library's errors is random
			if err := schema.Check(canonical); err != nil {
				var refused *action.Error
				if got = err.Error(); !errors.As(err, &refused) {
					t.Errorf("%s: the error is a %T", arguments, err)
				}
			}
			if got != want || strings.Contains(strings.TrimPrefix(got, "arguments.canary"), "canary") {
				t.Errorf("%.80s: %q, want %q", arguments, got, want)
			}
		}
	}
}

func TestSchemasThatAreRefused(t *testing.T) {
	t.Parallel()
	chain := `{"$ref":"#/$defs/d0","$defs":{`
	for i := range 40 {
		chain += fmt.Sprintf(`"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
	}
	chain += `"d40":{"type":"string"}}}`
	for name, rule := range map[string]struct{ schema, text string }{
		"not an object":           {`[]`, "The schema's values must be an object"},
		"broken JSON":             {`{"type":`, "The schema's values are not valid JSON"},
		"a repeated key":          {`{"type":"object","type":"string"}`, "At type: the schema's values occurs twice"},
		"too large":               {`{"title":"` + strings.Repeat("x", 16384) + `"}`, "The schema's values are too large"},
		"too deep":                {strings.Repeat(`{"not":`, 32) + `{}` + strings.Repeat(`}`, 32), "The schema's values have more than 32 levels"},
		"a huge number":           {`{"properties":{"a":{"minimum":1e999999}}}`, "At properties.a.minimum: "},
		"an unknown type":         {`{"properties":{"a":{"type":"money"}}}`, "At properties.a.type: this is not valid"},
		"properties not a map":    {`{"properties":[]}`, "At properties: this is not valid"},
		"another draft":           {`{"$schema":"http://json-schema.org/draft-07/schema#"}`, "At $schema: only the draft 2020-12"},
		"a remote reference":      {`{"$ref":"https://example.com/schema.json"}`, "At $ref: a reference must"},
		"a file":                  {`{"$ref":"file:///etc/passwd"}`, "At $ref: a reference must"},
		"a reference to the root": {`{"properties":{"a":{"$ref":"#"}}}`, "At properties.a.$ref: a reference must"},
		"an unknown definition":   {`{"$ref":"#/$defs/a"}`, "At $ref: a reference must"},
		"a reference to no text":  {`{"$ref":5}`, "At $ref: a reference must"},
		"a loop":                  {`{"$defs":{"a":{"properties":{"b":{"$ref":"#/$defs/a"}}}}}`, "At $defs.a.properties.b.$ref: a definition must not refer to itself"},
		"a loop over two":         {`{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`, "At $defs."},
		"an id":                   {`{"properties":{"a":{"$id":"https://example.com"}}}`, "At properties.a.$id: "},
		"a dynamic reference":     {`{"$dynamicRef":"#a"}`, "At $dynamicRef: "},
		"old definitions":         {`{"definitions":{}}`, "At definitions: the schema has a keyword that is not supported"},
		"doubling references":     {chain, "At $defs.d36: one value"},
		"lookahead":               {`{"properties":{"a":{"pattern":"(?=canary)"}}}`, "At properties.a.pattern: the regular expression is not valid"},
		"a broken pattern name":   {`{"patternProperties":{"(":{}}}`, "At patternProperties: the regular expression is not valid"},
		"the format regex":        {`{"items":{"format":"regex"}}`, "At items.format: the format regex is not supported"},
		"a long pattern":          {`{"pattern":"` + strings.Repeat("a", 257) + `"}`, "At pattern: a regular expression must have at most 256 bytes"},
		"large patterns":          {`{"allOf":[` + strings.Repeat(`{"pattern":"a{200}b{100}"},`, 2) + `{}]}`, "One value would have to match"},
		"patterns of names":       {`{"patternProperties":{"a{300}b{200}":{},"c{100}":{}}}`, "One value would have to match"},
		"many at the same value":  {`{"items":{"anyOf":[` + strings.Repeat(`{},`, 49) + `{}]}}`, "At items: one value would have to match"},
		"many at a value below":   {`{"allOf":[` + strings.Repeat(`{"items":{"minimum":1,"not":{}}},`, 26) + `{}]}`, "One value would have to match"},
	} {
		_, err := ParseSchema(rule.schema)
		refused, ok := err.(*fault.Error)
		if !ok || refused.Field != "arguments" || refused.Kind != fault.Invalid || !strings.HasPrefix(refused.Text, rule.text) || strings.Contains(refused.Text, "canary") {
			t.Errorf("%s: %v, want %s", name, err, rule.text)
		}
	}
}

// Each of these would take seconds or hundreds of megabytes for 16 KiB of arguments.
func TestLongListsInSchemasAreRefused(t *testing.T) {
	t.Parallel()
	list := func(format string, n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return strings.Join(all, ",")
	}
	for _, rule := range []struct{ name, accepted, refused string }{
		{"numbers of an enum", `{"items":{"enum":[` + list("%d", 48) + `]}}`, `{"items":{"enum":[` + list("%d", 50) + `]}}`},
		{"numbers inside an enum", `{"enum":[{"a":[` + list("%d", 48) + `]}]}`, `{"enum":[{"a":[` + list("%d", 50) + `]}]}`},
		{"texts of an enum", `{"enum":[` + list(`"%d"`, 1000) + `]}`, `{"$defs":{"e":{"enum":[` + list(`"%d"`, 1000) + `]}},"allOf":[` + list(`{"$ref":"#/$defs/e","title":"%d"}`, 6) + `]}`},
		{"required names", `{"required":[` + list(`"%d"`, 190) + `]}`, `{"required":[` + list(`"%d"`, 210) + `]}`},
		{"names that another name requires", `{"dependentRequired":{"a":[` + list(`"%d"`, 190) + `]}}`, `{"dependentRequired":{"a":[` + list(`"%d"`, 210) + `]}}`},
		{"names that require another name", `{"dependentRequired":{` + list(`"%d":["a"]`, 90) + `}}`, `{"dependentRequired":{` + list(`"%d":["a"]`, 110) + `}}`},
	} {
		if _, err := ParseSchema(rule.accepted); err != nil {
			t.Errorf("%s: %v", rule.name, err)
		}
		if _, err := ParseSchema(rule.refused); err == nil || !strings.Contains(err.Error(), "more than 50 subschemas") {
			t.Errorf("%s: %v, want a refusal", rule.name, err)
		}
	}
}

func TestSchemasThatAreAccepted(t *testing.T) {
	t.Parallel()
	many := `"p":{}`
	for i := range 350 {
		many += fmt.Sprintf(`,"p%d":{"type":"string","minLength":1}`, i)
	}
	for name, schema := range map[string]string{
		"empty":                        `{}`,
		"a property with a name of $":  `{"properties":{"$id":{"type":"string"},"$ref":{"type":"string"},"pattern":{"type":"string"}}}`,
		"unknown keywords":             `{"x-order":["a"],"example":{"$ref":"nowhere"}}`,
		"the same definition twice":    `{"properties":{"a":{"$ref":"#/$defs/x"},"b":{"$ref":"#/$defs/x"}},"$defs":{"x":{"type":"string"}}}`,
		"many properties":              `{"properties":{` + many + `},"items":{"oneOf":[{},{},{}]}}`,
		"a doubled tree":               `{"$ref":"#/$defs/a","$defs":{"a":{"properties":{"x":{"$ref":"#/$defs/b"},"y":{"$ref":"#/$defs/b"}}},"b":{"items":{"type":"string"}}}}`,
		"a catastrophic pattern of JS": `{"properties":{"a":{"pattern":"^(a+)+$"}}}`,
	} {
		if _, err := ParseSchema(schema); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Schema{}).Check(`{"anything":1}`); err != nil {
		t.Errorf("without a schema: %v", err)
	}
}

func TestDefine(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	closed := text(transferSchema)
	for _, rule := range []struct {
		name  string
		skill Skill
		field string
	}{
		{"only a name", Skill{Name: "pay"}, ""},
		{"every field", Skill{Name: "pay", Title: text("Pay"), Summary: text("{amount} to {to.name} {lines.0} {lines.1.iban} {either}"), Arguments: closed, Audience: text("bank")}, ""},
		{"a name with a slash", Skill{Name: "pay/transfer öäü"}, ""},
		{"an object in a placeholder", Skill{Name: "pay", Summary: text("{to}"), Arguments: closed}, ""},
		{"without a schema every placeholder", Skill{Name: "pay", Summary: text("{no.such}")}, ""},
		{"an open schema", Skill{Name: "pay", Summary: text("{no.such}"), Arguments: text(`{"properties":{"a":{}}}`)}, ""},
		{"a wildcard", Skill{Name: "pay.*"}, "skill"},
		{"a hidden character in the name", Skill{Name: "pay\u200B"}, "skill"},
		{"a line break in the title", Skill{Name: "pay", Title: text("a\nb")}, "title"},
		{"bidi in the audience", Skill{Name: "pay", Audience: text("a\u202Eb")}, "audience"},
		{"an unknown property", Skill{Name: "pay", Summary: text("{amont}"), Arguments: closed}, "summary"},
		{"an unknown property of a definition", Skill{Name: "pay", Summary: text("{to.nam}"), Arguments: closed}, "summary"},
		{"a property of a number", Skill{Name: "pay", Summary: text("{amount.eur}"), Arguments: closed}, "summary"},
		{"an unknown property of an element", Skill{Name: "pay", Summary: text("{lines.1.x}"), Arguments: closed}, "summary"},
		{"a property of a first element", Skill{Name: "pay", Summary: text("{lines.0.name}"), Arguments: closed}, "summary"},
		{"a name where an array is", Skill{Name: "pay", Summary: text("{lines.first}"), Arguments: closed}, "summary"},
		{"closed by allOf", Skill{Name: "pay", Summary: text("{b}"), Arguments: text(`{"allOf":[{"properties":{"a":{}},"additionalProperties":false}]}`)}, "summary"},
		{"template syntax", Skill{Name: "pay", Summary: text("{a|b}")}, "summary"},
		{"a schema", Skill{Name: "pay", Arguments: text(`{"type":1}`)}, "arguments"},
	} {
		_, err := rule.skill.Define()
		var refused *fault.Error
		if field := ""; errors.As(err, &refused) {
			if field = refused.Field; field != rule.field {
				t.Errorf("%s: %v about %q, want %q", rule.name, err, field, rule.field)
			}
		} else if err != nil || rule.field != "" {
			t.Errorf("%s: %v, want a refusal of %q", rule.name, err, rule.field)
		}
	}
}

// The slowest checks that the limits allow: every value matches almost no subschema of the allowed number.
func BenchmarkSlowestCheck(b *testing.B) {
	allOf := `{"allOf":[` + strings.Repeat(`{"type":"string"},`, 47) + `{}]}`
	schema, err := ParseSchema(`{"additionalProperties":{"items":` + allOf + `}}`)
	if err != nil {
		b.Fatal(err)
	}
	arguments := `{"a":[` + strings.Repeat("1,", 8180) + `1]}`
	for b.Loop() {
		if schema.Check(arguments) == nil {
			b.Fatal("accepted")
		}
	}
}
