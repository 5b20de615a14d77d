package exchange

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestOpenAPIDocumentListsEveryExchange(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?m)^    Exchange:\n(?:      .*\n)*?      enum: \[(.*)\]$`).FindSubmatch(document)
	if list == nil {
		t.Fatal("the document has no list of exchanges")
	}
	documented, supported := strings.Split(string(list[1]), ", "), append(slices.Collect(maps.Keys(exchanges)), "sandbox")
	slices.Sort(documented)
	slices.Sort(supported)
	if !slices.Equal(documented, supported) {
		t.Errorf("documented: %v, supported: %v", documented, supported)
	}
}
