package stores

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"

	"github.com/lib/pq"
)

// ChangedNothing reports whether the error of a statement in a transaction of its own proves that the statement changed nothing.
// It returns false for every other error: Postgres may have committed the statement, or may still commit it.
func ChangedNothing(err error) bool {
	var network *net.OpError
	if errors.As(err, &network) && network.Op == opConnect {
		return true // the statement was not sent
	}
	var pgErr *pq.Error
	if !errors.As(err, &pgErr) {
		return false
	}
	switch pgErr.Code {
	case "55P03", "57014", "40001", "40P01": // lock_not_available, query_canceled, serialization_failure, deadlock_detected
		return true
	case "40003": // statement_completion_unknown
		return false
	}
	// After ERROR, the transaction was rolled back. With FATAL and PANIC Postgres ends the connection, perhaps after the commit.
	return pgErr.Severity == "ERROR" && pgErr.Code.Class() != "08"
}

// Unavailable reports whether an error means that Postgres is unreachable or cannot answer now. It returns false for a
// wrong statement.
func Unavailable(err error) bool {
	var pgErr *pq.Error
	if errors.As(err, &pgErr) {
		switch pgErr.Code.Class() {
		case "08", "40", "53", "57", "58": // connection, deadlock, resources (including a full disk), shutdown, system error
			return true
		}
		switch pgErr.Code {
		// read_only_sql_transaction (a standby that is not promoted yet), lock_not_available, idle_in_transaction_session_timeout
		case "25006", "55P03", "25P03":
			return true
		}
		return false
	}
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) || errors.Is(err, ErrUnconfirmed)
}
