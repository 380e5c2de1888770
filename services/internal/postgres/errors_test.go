package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

func TestMapKinds(t *testing.T) {
	plain := errors.New("not of the database")
	tests := map[string]struct {
		err  error
		want errs.Kind
	}{
		"unique":          {&pgconn.PgError{Code: "23505"}, errs.Exists},
		"foreign key":     {&pgconn.PgError{Code: "23503"}, errs.Internal},
		"deadlock":        {&pgconn.PgError{Code: "40P01"}, errs.Unavailable},
		"stopping":        {&pgconn.PgError{Code: "57P01"}, errs.Unavailable},
		"starting":        {&pgconn.PgError{Code: "57P03"}, errs.Unavailable},
		"disk full":       {&pgconn.PgError{Code: "53100"}, errs.Unavailable},
		"connection":      {&pgconn.PgError{Code: "08006"}, errs.Unavailable},
		"syntax":          {&pgconn.PgError{Code: "42601"}, errs.Internal},
		"without a code":  {&pgconn.PgError{}, errs.Internal},
		"no rows":         {fmt.Errorf("get: %w", pgx.ErrNoRows), errs.NotFound},
		"deadline":        {fmt.Errorf("get: %w", context.DeadlineExceeded), errs.Unavailable},
		"connection lost": {fmt.Errorf("get: %w", pgconn.ErrConnClosed), errs.Unavailable},
		"has a kind":      {fmt.Errorf("x: %w", errs.E(errs.Denied, "", "", nil)), errs.Denied},
		"foreign":         {plain, errs.Internal},
	}
	for name, test := range tests {
		if got := postgres.Map(test.err); errs.KindOf(got) != test.want || !errors.Is(got, test.err) {
			t.Errorf("%s: %v of kind %v, want kind %v", name, got, errs.KindOf(got), test.want)
		}
	}
	if postgres.Map(nil) != nil || !errors.Is(postgres.Map(plain), plain) || errs.KindOf(postgres.Map(plain)) != errs.Internal {
		t.Error("nil or a foreign error was changed")
	}
}

func TestMapHidesValues(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", notes)
	const number = "919876543210"
	for _, sql := range []string{
		"SELECT '" + number + "x'::bigint",
		"SELECT '" + number + "'::text::int",
		"INSERT INTO counters SELECT '" + number + "' FROM generate_series(1, 2)",
		"INSERT INTO counters VALUES ('" + number + "', NULL)",
	} {
		_, err := d.DB.Worker.Exec(ctx, sql)
		if mapped := postgres.Map(err); mapped == nil || strings.Contains(mapped.Error(), number) {
			t.Errorf("%v", mapped)
		}
	}
}

func TestMapKnowsAKilledConnection(t *testing.T) {
	ctx, d := t.Context(), postgrestest.New(t, "ingest", notes)
	err := postgres.InTx(ctx, d.DB.Worker, func(tx pgx.Tx) error {
		var pid int
		if err := tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		admin, err := pgx.Connect(ctx, d.AdminURL)
		if err != nil {
			return err
		}
		defer func() { _ = admin.Close(ctx) }()
		if _, err := admin.Exec(ctx, "SELECT pg_terminate_backend($1)", pid); err != nil {
			return err
		}
		for { // the signal takes a moment to arrive
			if _, err := tx.Exec(ctx, "SELECT 1"); err != nil {
				return err
			}
		}
	})
	if errs.KindOf(err) != errs.Unavailable {
		t.Errorf("got %v", err)
	}
}
