package api

import "github.com/countersign/countersign/pkg/page"

// pageOf returns the page that the parameters of a list describe. The defaults are the same as in the OpenAPI document.
func pageOf(number, size *int, search, sortBy, sortDir *string) page.Page {
	return page.Page{
		Number: valueOr(number, 1), Size: valueOr(size, 20), Search: valueOr(search, ""),
		SortBy: valueOr(sortBy, "created_at"), Ascending: valueOr(sortDir, "desc") == "asc",
	}
}

func valueOr[T any](value *T, fallback T) T {
	if value == nil {
		return fallback
	}
	return *value
}

// each applies convert to each item. An empty list becomes [] in JSON, not null.
func each[A, B any](list []A, convert func(A) B) []B {
	converted := make([]B, len(list))
	for i, item := range list {
		converted[i] = convert(item)
	}
	return converted
}
