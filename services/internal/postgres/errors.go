package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Map gives an error of the database its kind (PostgreSQL, Appendix A): away, overloaded, stopping, lost a race or
// interrupted is errs.Unavailable; a unique key that is taken errs.Exists; no row errs.NotFound; the rest
// errs.Internal. Errors that have a kind, or have nothing to do with the database, come back unchanged. The text holds
// code and object names, never a value.
func Map(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*errs.Error](err); ok {
		return err
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return errs.E(errs.NotFound, "NOT_FOUND", "There is no such thing.", err)
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return mapCode(pg, err)
	}
	if lost(err) {
		return errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "The database does not answer; try again.", conceal(err))
	}
	return err
}

func mapCode(pg *pgconn.PgError, err error) error {
	cause := conceal(err)
	switch kindOfCode(pg.Code) {
	case errs.Exists:
		return errs.E(errs.Exists, "ALREADY_EXISTS", "It is there already.", cause)
	case errs.Unavailable:
		return errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "The database is busy; try again.", cause)
	default:
		return errs.E(errs.Internal, "INTERNAL", "The database refused the statement.", cause)
	}
}

func kindOfCode(code string) errs.Kind {
	switch code {
	case "23505": // unique_violation
		return errs.Exists
	case "40001", "40P01", // serialization_failure, deadlock_detected
		"55P03",                            // lock_not_available
		"57014",                            // query_canceled: a timeout
		"57P01", "57P02", "57P03", "57P05", // admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout
		"25P03", // idle_in_transaction_session_timeout
		"25006": // read_only_sql_transaction: a failover
		return errs.Unavailable
	}
	switch code[:min(2, len(code))] {
	case "08", "53", "58": // connection, insufficient resources, system error
		return errs.Unavailable
	}
	return errs.Internal
}

// lost tells whether the connection, not the statement, failed.
func lost(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, target := range []error{
		context.Canceled, context.DeadlineExceeded, // the caller's deadline or our shutdown
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, pgconn.ErrConnClosed,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return pgconn.SafeToRetry(err)
}

// concealed is an error whose text is safe for a log.
type concealed struct {
	text  string
	cause error
}

func (e *concealed) Error() string { return e.text }
func (e *concealed) Unwrap() error { return e.cause }

// conceal keeps values out of the text of err: PostgreSQL quotes the offending value in data exceptions (class 22), and
// pgconn names host, user and database when it cannot connect.
func conceal(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		text := fmt.Sprintf("SQLSTATE %s (table %q, column %q, constraint %q)", pg.Code, pg.TableName, pg.ColumnName, pg.ConstraintName)
		if pg.Code[:min(2, len(pg.Code))] != "22" {
			text = pg.Message + ": " + text
		}
		return &concealed{text: text, cause: err}
	}
	return err
}
