package api

import "github.com/countersign/countersign/pkg/page"

// pageOf reads the parameters that every list has. Their defaults are the OpenAPI document's.
func pageOf(number, size *int, search, sortBy, sortDir *string) page.Page {
	return page.Page{
		Number: given(number, 1), Size: given(size, 20), Search: given(search, ""),
		SortBy: given(sortBy, "created_at"), Ascending: given(sortDir, "desc") == "asc",
	}
}

func given[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}

// each shows a list: never null, also when it is empty.
func each[A, B any](list []A, show func(A) B) []B {
	shown := make([]B, len(list))
	for i, one := range list {
		shown[i] = show(one)
	}
	return shown
}
