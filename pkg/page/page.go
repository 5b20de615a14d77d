// Package page reads one page of a list: which rows, in which order, and how many there are in all. The rows come out of
// an index, after those on the pages before. What costs is the total, which is exact, so that Postgres has to count: with
// a million rows some 50 ms, or 200 ms for a search that most of them match. It is not counted when the page shows it.
package page

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
)

// Page says which part of a list is wanted. What each field may be is up to the OpenAPI document.
type Page struct {
	Number, Size int
	// Search is a part of one of the list's texts, in any case; empty: everything.
	Search string
	// SortBy is one of the list's sorts; everything else is by created_at.
	SortBy    string
	Ascending bool
}

// List is a list as SQL. What a client sends is never part of it.
type List struct {
	Columns, Table string
	// Where limits the list to what it is about, with Args; empty: the whole table.
	Where string
	Args  []any
	// Searched are expressions in lower case.
	Searched []string
	// Sorts are expressions by their name in the API. Equals are sorted by id.
	Sorts map[string]string
}

// Of is a page of Ts.
type Of[T any] struct {
	Items []T
	// Total is how many there are on all pages together.
	Total int
}

// Read reads a page. A page after the last is empty.
func Read[T any](ctx context.Context, db *sqlx.DB, l List, p Page) (Of[T], error) {
	from, args := l.from(p.Search)
	direction := "desc"
	if p.Ascending {
		direction = "asc"
	}
	before := (p.Number - 1) * p.Size
	q := fmt.Sprintf(`select %s from %s order by %s %s, id %[4]s limit $%d offset $%d`,
		l.Columns, from, cmp.Or(l.Sorts[p.SortBy], "created_at"), direction, len(args)+1, len(args)+2)
	result := Of[T]{Items: []T{}}
	if err := db.SelectContext(ctx, &result.Items, q, append(args[:len(args):len(args)], p.Size, before)...); err != nil {
		return Of[T]{}, fmt.Errorf("reading a page of %s: %w", l.Table, err)
	}
	if n := len(result.Items); n < p.Size && (n > 0 || before == 0) {
		result.Total = before + n
		return result, nil
	}
	if err := db.GetContext(ctx, &result.Total, `select count(*) from `+from, args...); err != nil {
		return Of[T]{}, fmt.Errorf("counting %s: %w", l.Table, err)
	}
	return result, nil
}

// from is the table with its conditions, and their arguments.
func (l List) from(search string) (string, []any) {
	var conditions []string
	args := l.Args
	if l.Where != "" {
		conditions = append(conditions, l.Where)
	}
	if search != "" {
		args = append(args[:len(args):len(args)], containing(search))
		var found []string
		for _, text := range l.Searched {
			found = append(found, fmt.Sprintf(`%s like lower($%d)`, text, len(args)))
		}
		conditions = append(conditions, `(`+strings.Join(found, ` or `)+`)`)
	}
	if len(conditions) == 0 {
		return l.Table, args
	}
	return l.Table + ` where ` + strings.Join(conditions, ` and `), args
}

var wildcards = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// containing is the LIKE pattern for texts that contain this one, in which nothing is a wildcard.
func containing(text string) string { return `%` + wildcards.Replace(text) + `%` }
